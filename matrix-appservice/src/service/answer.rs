//! What the service answers.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::json;

/// A refusal, in the [standard form](https://spec.matrix.org/v1.19/client-server-api/#standard-error-response).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceError {
    MissingToken,
    Forbidden,
    NotJson,
    BadJson,
    TooLarge,
    MissingParam(&'static str),
    InvalidParam(&'static str),
    NotFound(&'static str),
    UnknownPath,
    UnknownMethod,
    Unavailable(&'static str),
}

impl ServiceError {
    fn parts(self) -> (StatusCode, &'static str, String) {
        let (status, errcode, text) = match self {
            Self::MissingToken => {
                (StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "the homeserver's token is missing")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "M_FORBIDDEN", "this is not the homeserver's token"),
            Self::NotJson => (StatusCode::BAD_REQUEST, "M_NOT_JSON", "the body is not JSON"),
            Self::BadJson => (StatusCode::BAD_REQUEST, "M_BAD_JSON", "the body is JSON of another shape"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE", "the body is too large"),
            Self::MissingParam(name) => {
                return (StatusCode::BAD_REQUEST, "M_MISSING_PARAM", format!("`{name}` is missing"));
            }
            Self::InvalidParam(name) => {
                return (StatusCode::BAD_REQUEST, "M_INVALID_PARAM", format!("`{name}` is not valid"));
            }
            Self::NotFound(text) => (StatusCode::NOT_FOUND, "M_NOT_FOUND", text),
            Self::UnknownPath => (StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "no such path"),
            Self::UnknownMethod => {
                (StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "no such method at this path")
            }
            Self::Unavailable(text) => (StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN", text),
        };
        (status, errcode, text.to_owned())
    }
}

impl IntoResponse for ServiceError {
    fn into_response(self) -> Response {
        let (status, errcode, error) = self.parts();
        let mut response = json(&json!({"errcode": errcode, "error": error}));
        *response.status_mut() = status;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A body of JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            ServiceError::Unavailable("the answer could not be written").into_response()
        }
    }
}

/// `{}`: done.
pub(super) fn empty() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], "{}").into_response()
}
