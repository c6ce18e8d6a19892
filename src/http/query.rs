//! What stands after the `?`, and small JSON bodies: unknown names are refused, so that a typing error is no
//! silent other answer.

use axum::{extract::Query, http::Uri};
use serde::de::DeserializeOwned;

use super::error::ApiError;
use crate::limits::{INTEGER_MAX, READ_COUNT_DEFAULT, READ_COUNT_MAX};

/// The parameters of a request.
#[derive(Debug, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let bad = |message: String| ApiError::bad_request("bad_query", message);
        let Some(query) = query else { return Ok(Self::default()) };
        if !is_utf8(query) {
            return Err(bad("the query is no UTF-8 once its %XX are bytes".to_owned()));
        }
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

    /// The last value of a parameter.
    pub fn last(&mut self, name: &str) -> Option<String> {
        self.all(name).pop()
    }

    /// A whole number from 0 on, if it is given.
    pub fn number(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        self.number_from(0, name)
    }

    fn number_from(&mut self, least: i64, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.last(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if (least..=INTEGER_MAX).contains(&number) => Ok(Some(number)),
            _ => {
                let message =
                    format!("{name} must be a whole number from {least} to {INTEGER_MAX}, not '{text}'");
                Err(ApiError::bad_request("bad_query", message))
            }
        }
    }

    /// `count`: how many elements the answer has at most. What is above the bound is cut to it.
    pub fn count(&mut self) -> Result<u32, ApiError> {
        match self.number_from(1, "count")? {
            None => Ok(READ_COUNT_DEFAULT),
            Some(count) => Ok(u32::try_from(count).unwrap_or(READ_COUNT_MAX).min(READ_COUNT_MAX)),
        }
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

/// Whether a query is UTF-8 once its escapes are taken for bytes: the parser puts other characters in place
/// of what is none, and one id would silently become another.
fn is_utf8(query: &str) -> bool {
    let mut bytes = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                digit(high).zip(digit(low)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &rest[3..] } else { tail };
    }
    str::from_utf8(&bytes).is_ok()
}

/// A JSON object as the body, whatever its content type says.
pub(super) fn json_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let bad = |why: String| ApiError::bad_request("bad_body", format!("the body is not what is due: {why}"));
    // An array of the fields' values would be taken for them.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(bad("it must be a JSON object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{Parameters, is_utf8};

    #[test]
    fn a_count_is_at_least_one_and_the_message_says_so() {
        for text in ["-1", "0", "x"] {
            let mut parameters =
                Parameters::parse(Some(&format!("count={text}")), &["count"]).expect("known");
            let message = parameters.count().expect_err("no count").message;
            assert!(message.starts_with("count must be a whole number from 1 to "), "{message}");
        }
    }

    #[test]
    fn escapes_are_bytes_and_what_is_no_escape_is_text() {
        for query in ["", "user=%C3%A9", "user=é+%", "user=%4", "user=%zz%4%41", "user=%F0%9F%98%80"] {
            assert!(is_utf8(query), "{query}");
        }
        for query in ["user=%FF", "user=%C3", "user=%c3%28", "a=%C3&b=%A9"] {
            assert!(!is_utf8(query), "{query}");
        }
    }
}
