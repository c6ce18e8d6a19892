//! What every request must be: with a token set, all but `/livez` carry it; no body is compressed, too large
//! or late.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use secrecy::ExposeSecret;

use super::{App, error::ApiError};

/// Lets a request pass that carries the token, if there is one.
pub(super) async fn check_token(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(token) = &app.token else { return Ok(next.run(request).await) };
    let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let given = given.and_then(|value| value.split_at_checked(7));
    let passes = request.uri().path() == "/livez"
        || given.is_some_and(|(scheme, given)| {
            scheme.eq_ignore_ascii_case(b"bearer ") && equal(given, token.expose_secret().as_bytes())
        });
    match passes {
        true => Ok(next.run(request).await),
        false => Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "this server asks for a token; send 'Authorization: Bearer <token>'",
        )),
    }
}

/// Lets a request pass whose body is sent as it is.
pub(super) async fn refuse_encoding(request: Request, next: Next) -> Result<Response, ApiError> {
    let mut encodings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(next.run(request).await);
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_encoding",
        "a body is taken as it is: send it without Content-Encoding",
    ))
}

/// Lets a request pass whose body is here as a whole.
pub(super) async fn read_body(
    State(App { request_within: within, .. }): State<App>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let body = Bytes::from_request(Request::from_parts(parts.clone(), body), &());
    match tokio::time::timeout(within, body).await {
        Ok(body) => Ok(next.run(Request::from_parts(parts, Body::from(body?))).await),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            format!("the body did not arrive within {} seconds; send it again", within.as_secs()),
        )),
    }
}

/// Compares in a time that depends on the lengths only, so that a token cannot be guessed byte by byte.
fn equal(left: &[u8], right: &[u8]) -> bool {
    let differing = left.iter().zip(right).fold(0, |seen, (a, b)| std::hint::black_box(seen | (a ^ b)));
    left.len() == right.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn only_the_same_bytes_are_equal() {
        assert!(equal(b"secret", b"secret"));
        for other in [&b"secreT"[..], b"secre", b"secrets", b""] {
            assert!(!equal(b"secret", other), "{other:?}");
        }
    }
}
