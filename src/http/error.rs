//! Errors as every request answers them: `{"error":{"code","message"}}`.

use axum::{
    Json,
    extract::rejection::BytesRejection,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::log::{ErrorClass, LogError};

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    /// For programs; stable.
    pub code: &'static str,
    /// For people: what, where, what to do.
    pub message: String,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"error": {"code": self.code, "message": self.message}});
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

impl From<LogError> for ApiError {
    /// What may pass is 429 or 503; what will not is 500, so that nobody repeats it for ever.
    fn from(error: LogError) -> Self {
        match error.class {
            ErrorClass::Behind => Self::new(StatusCode::TOO_MANY_REQUESTS, "log_behind", error.message),
            ErrorClass::Retriable | ErrorClass::Restore => Self::unavailable("log_away", error.message),
            ErrorClass::Fatal => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "log_failed", error.message),
        }
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                format!("a body has at most {} bytes; send several requests", super::BODY_BYTES_MAX),
            ),
            status => Self::new(status, "unreadable_body", rejection.body_text()),
        }
    }
}
