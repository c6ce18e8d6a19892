//! What stands after the `?`, and small JSON bodies: unknown names are refused, so that a typing error is no
//! silent other answer.

use axum::{extract::Query, http::Uri};
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let bad = |message: String| ApiError::bad_request("bad_query", message);
        let Some(query) = query else { return Ok(Self::default()) };
        let uri: Uri = format!("/?{query}").parse().map_err(|_| bad("the query is no query".to_owned()))?;
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&uri)
            .map_err(|error| bad(format!("the query cannot be read: {error}")))?;
        match pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => {
                Err(bad(format!("there is no parameter '{name}'; there are: {}", known.join(", "))))
            }
            None => Ok(Self(pairs)),
        }
    }

    /// All values of a parameter, in order.
    pub fn all(&mut self, name: &str) -> Vec<String> {
        let matching = self.0.extract_if(.., |(other, _)| other == name);
        matching.map(|(_, value)| value).collect()
    }

    /// `true`, `false`, or left out for `false`.
    pub fn flag(&mut self, name: &str) -> Result<bool, ApiError> {
        match self.all(name).last().map(String::as_str) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => {
                let message = format!("{name} must be true or false, not '{other}'");
                Err(ApiError::bad_request("bad_query", message))
            }
        }
    }
}

/// A JSON body, whatever its content type says.
pub(super) fn json_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request("bad_body", format!("the body is not what is due: {error}")))
}
