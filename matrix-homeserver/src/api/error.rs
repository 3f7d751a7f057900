//! What a client is told when a request fails: a status, an `errcode` and a text that gives nothing away.

use std::{borrow::Cow, error::Error, fmt, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::{
    appservice::QueryFailed,
    room::RoomError,
    store::StoreError,
    user::{LocalpartError, UserError},
};

/// The result of every handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// A refusal in the form of the specification's
/// [standard error response](https://spec.matrix.org/v1.19/client-server-api/#standard-error-response).
///
/// A status of 5xx never quotes its cause: that goes to the log.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    errcode: &'static str,
    message: Cow<'static, str>,
    extra: Option<Box<Map<String, Value>>>,
    retry_after: Option<Duration>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:ident $errcode:literal;)*) => {
        impl ApiError {
            $($(#[$doc])* pub(crate) fn $name(message: impl Into<Cow<'static, str>>) -> Self {
                Self::new(StatusCode::$status, $errcode, message)
            })*
        }
    };
}

kinds! {
    forbidden = FORBIDDEN "M_FORBIDDEN";
    not_found = NOT_FOUND "M_NOT_FOUND";
    /// The body is not JSON at all.
    not_json = BAD_REQUEST "M_NOT_JSON";
    /// The body is JSON, but not of the demanded shape.
    bad_json = BAD_REQUEST "M_BAD_JSON";
    too_large = PAYLOAD_TOO_LARGE "M_TOO_LARGE";
    missing_token = UNAUTHORIZED "M_MISSING_TOKEN";
    invalid_param = BAD_REQUEST "M_INVALID_PARAM";
    missing_param = BAD_REQUEST "M_MISSING_PARAM";
    invalid_username = BAD_REQUEST "M_INVALID_USERNAME";
    user_in_use = BAD_REQUEST "M_USER_IN_USE";
    room_in_use = BAD_REQUEST "M_ROOM_IN_USE";
    exclusive = BAD_REQUEST "M_EXCLUSIVE";
    unknown = BAD_REQUEST "M_UNKNOWN";
    bad_state = FORBIDDEN "M_BAD_STATE";
    duplicate_annotation = BAD_REQUEST "M_DUPLICATE_ANNOTATION";
    invite_blocked = FORBIDDEN "M_INVITE_BLOCKED";
    bad_alias = BAD_REQUEST "M_BAD_ALIAS";
    invalid_room_state = BAD_REQUEST "M_INVALID_ROOM_STATE";
    unsupported_room_version = BAD_REQUEST "M_UNSUPPORTED_ROOM_VERSION";
    weak_password = BAD_REQUEST "M_WEAK_PASSWORD";
    guest_access_forbidden = FORBIDDEN "M_GUEST_ACCESS_FORBIDDEN";
    user_deactivated = FORBIDDEN "M_USER_DEACTIVATED";
    unknown_device = BAD_REQUEST "M_UNKNOWN_DEVICE";
    url_not_set = BAD_REQUEST "M_URL_NOT_SET";
    connection_failed = BAD_GATEWAY "M_CONNECTION_FAILED";
    bad_status = BAD_GATEWAY "M_BAD_STATUS";
    connection_timeout = GATEWAY_TIMEOUT "M_CONNECTION_TIMEOUT";
    /// An application service did not answer a query in time.
    query_timeout = REQUEST_TIMEOUT "M_UNKNOWN";
}

impl ApiError {
    /// Any other combination.
    pub(crate) fn new(
        status: StatusCode,
        errcode: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, errcode, message: message.into(), extra: None, retry_after: None }
    }

    /// No such endpoint.
    pub(crate) fn unrecognized() -> Self {
        Self::new(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "unrecognized request")
    }

    /// The endpoint exists, but not for this method.
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED", "unrecognized method for this path")
    }

    /// The access token is not or no longer known.
    pub(crate) fn unknown_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", "unrecognised access token")
            .with("soft_logout", false)
    }

    /// The access token is not good any more, but the device is still there: the client can get another.
    pub(crate) fn soft_logout(message: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", message).with("soft_logout", true)
    }

    /// Too many requests; the client may come back after the given time.
    pub(crate) fn limit_exceeded(retry_after: Duration) -> Self {
        let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED", "too many requests")
            .with("retry_after_ms", millis);
        error.retry_after = Some(retry_after);
        error
    }

    /// An answer that the fault dial asked for.
    pub(crate) fn fault(status: StatusCode, retry_after_ms: Option<u64>) -> Self {
        let errcode = if status == StatusCode::TOO_MANY_REQUESTS { "M_LIMIT_EXCEEDED" } else { "M_UNKNOWN" };
        let mut error = Self::new(status, errcode, "the fault dial says so");
        if let Some(millis) = retry_after_ms {
            error = error.with("retry_after_ms", millis);
            error.retry_after = Some(Duration::from_millis(millis));
        }
        error
    }

    /// A fault of the server. The cause goes to the log only.
    pub(crate) fn internal(cause: &(dyn Error + 'static)) -> Self {
        let mut chain = cause.to_string();
        let mut source = cause.source();
        while let Some(inner) = source {
            chain.push_str(": ");
            chain.push_str(&inner.to_string());
            source = inner.source();
        }
        tracing::error!(cause = %chain, "a request failed inside the server");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN", "internal server error")
    }

    /// Adds a member to the body.
    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extra.get_or_insert_default().insert(key.to_owned(), value.into());
        self
    }

    /// The same answer under another name.
    pub(crate) fn named(mut self, errcode: &'static str, message: &'static str) -> Self {
        self.errcode = errcode;
        self.message = message.into();
        self
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<RoomError> for ApiError {
    fn from(error: RoomError) -> Self {
        let text = || error.to_string();
        match &error {
            RoomError::Forbidden(_) => Self::forbidden(text()),
            RoomError::NotFound(_) => Self::not_found(text()),
            RoomError::TooLarge(_) => Self::too_large(text()),
            RoomError::BadJson(_) => Self::bad_json(text()),
            RoomError::InvalidParam(_) => Self::invalid_param(text()),
            RoomError::UnsupportedVersion(_) => Self::unsupported_room_version(text()),
            RoomError::BadState(_) => Self::bad_state(text()),
            RoomError::InvalidRoomState(_) => Self::invalid_room_state(text()),
            RoomError::DuplicateAnnotation => Self::duplicate_annotation(text()),
            RoomError::InvalidThread => Self::unknown(text()),
            RoomError::Store(_) | RoomError::Internal(_) => Self::internal(&error),
        }
    }
}

impl From<LocalpartError> for ApiError {
    fn from(error: LocalpartError) -> Self {
        Self::invalid_username(error.to_string())
    }
}

impl From<UserError> for ApiError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Deactivated => Self::user_deactivated("this account has been deactivated"),
            UserError::DeviceId => Self::invalid_param(error.to_string()),
            UserError::InUse => Self::user_in_use("the user ID is taken"),
            UserError::Localpart(error) => error.into(),
            UserError::Store(error) => error.into(),
        }
    }
}

impl From<QueryFailed> for ApiError {
    fn from(_: QueryFailed) -> Self {
        Self::query_timeout("an application service did not answer in time")
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.errcode, self.message)
    }
}

impl Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = self.extra.map(|extra| *extra).unwrap_or_default();
        // The first answer of user-interactive authentication is a 401 without a fault in it.
        if !self.errcode.is_empty() {
            body.insert("errcode".into(), self.errcode.into());
            body.insert("error".into(), self.message.into_owned().into());
        }
        let mut response =
            (self.status, [(header::CONTENT_TYPE, "application/json")], json!(body).to_string())
                .into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
