//! Why a request did not succeed, and what can be done about it.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use serde::Deserialize;

/// Why a request did not succeed. Never contains a token or a URL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The homeserver answered with an error.
    #[error(transparent)]
    Api(Box<ApiError>),
    /// There was no connection, so the homeserver has not seen the request.
    #[error("cannot connect to the homeserver")]
    Connect(#[source] reqwest::Error),
    /// The connection broke; whether the homeserver has seen the request is unknown.
    #[error("the connection to the homeserver broke")]
    Broken(#[source] reqwest::Error),
    /// No answer within the deadline.
    #[error("the homeserver did not answer in time")]
    Timeout,
    /// The answer is not what the specification says.
    #[error("the homeserver's answer ({status}) cannot be understood")]
    Answer {
        /// The HTTP status.
        status: u16,
    },
    /// The request cannot be made.
    #[error("the request cannot be made: {0}")]
    Invalid(&'static str),
}

/// What a homeserver answered ([standard error response]).
///
/// [standard error response]: https://spec.matrix.org/v1.19/client-server-api/#standard-error-response
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the homeserver answered {status} {}: {message}", errcode.as_deref().unwrap_or("without an errcode"))]
#[non_exhaustive]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// Such as `M_FORBIDDEN`. `None` if the answer did not come from a homeserver, but from a proxy.
    pub errcode: Option<String>,
    /// What the homeserver says to people.
    pub message: String,
    /// How long the homeserver asks to wait: `Retry-After`, else `retry_after_ms`.
    pub retry_after: Option<Duration>,
}

impl ClientError {
    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Api(error) => {
                error.status >= 500
                    || error.status == 429
                    || error.status == 408
                    || self.is("M_LIMIT_EXCEEDED")
            }
            Self::Connect(_) | Self::Broken(_) | Self::Timeout => true,
            Self::Answer { .. } | Self::Invalid(_) => false,
        }
    }

    /// How long the homeserver asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Api(error) => error.retry_after,
            _ => None,
        }
    }

    /// The homeserver's error code, such as `M_FORBIDDEN`.
    pub fn errcode(&self) -> Option<&str> {
        match self {
            Self::Api(error) => error.errcode.as_deref(),
            _ => None,
        }
    }

    /// Whether the homeserver answered with this error code.
    pub fn is(&self, errcode: &str) -> bool {
        self.errcode() == Some(errcode)
    }

    /// The HTTP status of the homeserver's answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Api(error) => Some(error.status),
            Self::Answer { status } => Some(*status),
            _ => None,
        }
    }

    /// Whether the homeserver said that there is no such thing: `M_NOT_FOUND`, or status 404.
    pub fn is_not_found(&self) -> bool {
        self.is("M_NOT_FOUND") || self.status() == Some(404)
    }

    /// Whether a request with this method may be sent again at once.
    pub(super) fn may_repeat(&self, method: &Method) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Api(error) if error.status == 429 => true,
            _ => self.is_retryable() && method.is_idempotent(),
        }
    }

    pub(crate) fn invalid(text: &'static str) -> Self {
        Self::Invalid(text)
    }

    pub(super) fn from_transport(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if error.is_builder() {
            Self::Invalid("it is not valid HTTP")
        } else if error.is_connect() {
            Self::Connect(error)
        } else if error.is_timeout() {
            Self::Timeout
        } else {
            Self::Broken(error)
        }
    }

    pub(super) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        struct Body {
            errcode: Option<String>,
            #[serde(default)]
            error: String,
            retry_after_ms: Option<f64>,
        }
        let body = serde_json::from_slice::<Body>(body).unwrap_or_default();
        let from_body = body.retry_after_ms.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
        Self::Api(Box::new(ApiError {
            status: status.as_u16(),
            errcode: body.errcode,
            message: body.error,
            retry_after: retry_after(headers).or(from_body),
        }))
    }
}

/// `Retry-After` in seconds. The form with a date is not in use among homeservers.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
