//! The inbound half: what the homeserver calls.
//!
//! Served are today's paths (`/_matrix/app/v1/…`), the drafts' bare ones (`/transactions/{txnId}`, `/users/{userId}`,
//! `/rooms/{roomAlias}`) and the unstable third-party paths of old servers. Outside the specification, and
//! without a token: `/health/live` or `/live` (the process
//! answers), `/health/ready` or `/ready` (it takes transactions) and `/metrics`.
//!
//! [Specification](https://spec.matrix.org/v1.19/application-service-api/#homeserver---application-service-api).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post, put},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use ruma::{RoomAliasId, UserId};
use serde::Deserialize;

mod answer;
mod auth;
pub(crate) mod event;
mod handler;
#[cfg(test)]
mod tests;
mod third_party;

use self::{
    answer::{ServiceError, empty},
    auth::require_token,
};
pub use self::{
    event::{DeviceChanges, Ephemeral, RoomEvent, ToDevice},
    handler::{AppserviceHandler, EventContext, Outcome, QueryReply},
    third_party::ThirdParty,
};
use crate::{
    inbox::{AcceptError, Inbox},
    metrics::{ByResult, Metrics},
    registration::Secret,
};

/// How long a request's body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How much of a body that is too large is read before the answer, in bytes and in time.
const DRAIN_LIMIT: usize = 64 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// What every request needs.
pub(crate) struct Shared {
    pub(crate) hs_token: Secret,
    pub(crate) handler: Arc<dyn AppserviceHandler>,
    pub(crate) inbox: Inbox,
    pub(crate) metrics: Metrics,
    pub(crate) body_limit: usize,
    /// Set when the service stops: nothing new is accepted.
    pub(crate) draining: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Everything that the homeserver may call.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let bare = Router::new()
        .route("/transactions/{txn_id}", put(put_transaction))
        .route("/users/{user_id}", get(query_user))
        .route("/rooms/{alias}", get(query_alias));
    let v1 = bare.clone().route("/ping", post(ping)).nest("/thirdparty", third_party::routes());
    let with_token = Router::new()
        .nest("/_matrix/app/v1", v1)
        .nest("/_matrix/app/unstable/thirdparty", third_party::routes())
        .merge(bare)
        .route_layer(middleware::from_fn_with_state(Arc::clone(&shared), require_token));
    with_token
        .route("/live", get(async || empty()))
        .route("/health/live", get(async || empty()))
        .route("/ready", get(ready))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .fallback(async || ServiceError::UnknownPath)
        .method_not_allowed_fallback(async || ServiceError::UnknownMethod)
        .with_state(shared)
}

async fn put_transaction(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let begun = Instant::now();
    let result = match path {
        Ok(Path(txn_id)) => accept(&shared, txn_id, &headers, body).await,
        Err(_) => Err(ServiceError::InvalidParam("txnId")),
    };
    let name = match &result {
        Ok(()) => "ok",
        Err(ServiceError::Unavailable(_)) => "unavailable",
        Err(_) => "refused",
    };
    shared.metrics.transactions.get_or_create(&ByResult { result: name }).inc();
    shared.metrics.transaction_seconds.observe(begun.elapsed().as_secs_f64());
    result.map_or_else(ServiceError::into_response, |()| empty())
}

async fn accept(
    shared: &Shared,
    txn_id: String,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), ServiceError> {
    if shared.draining.load(Ordering::Relaxed) {
        return Err(ServiceError::Unavailable("the service is shutting down"));
    }
    let body = read_body(body, headers, shared.body_limit).await?;
    shared.inbox.accept(txn_id, body).await.map_err(|error| match error {
        AcceptError::NotJson => ServiceError::NotJson,
        AcceptError::BadJson => ServiceError::BadJson,
        AcceptError::Full => ServiceError::Unavailable("the inbox is full"),
        AcceptError::Store => ServiceError::Unavailable("the transaction could not be stored"),
    })
}

async fn read_body(body: Body, headers: &HeaderMap, limit: usize) -> Result<Bytes, ServiceError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        drain(body).await;
        return Err(ServiceError::TooLarge);
    }
    let mut body = body;
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(&mut body, limit).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            drain(body).await;
            Err(ServiceError::TooLarge)
        }
        // The rest of the body never came.
        Ok(Err(_)) | Err(_) => Err(ServiceError::NotJson),
    }
}

/// Reads on for a while and throws it away: a connection that is closed with unread data is reset,
/// and the other side may never see the answer.
async fn drain(body: Body) {
    let rest = Limited::new(body, DRAIN_LIMIT).collect();
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, rest).await;
}

async fn query_user(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let user_id = path.map(|Path(user_id)| user_id).unwrap_or_default();
    let Ok(user_id) = <&UserId>::try_from(user_id.as_str()) else {
        return ServiceError::InvalidParam("userId").into_response();
    };
    if shared.draining.load(Ordering::Relaxed) {
        return ServiceError::Unavailable("the service is shutting down").into_response();
    }
    reply(&shared.handler.query_user(user_id).await, "no such user")
}

async fn query_alias(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
) -> Response {
    let alias = path.map(|Path(alias)| alias).unwrap_or_default();
    let Ok(alias) = <&RoomAliasId>::try_from(alias.as_str()) else {
        return ServiceError::InvalidParam("roomAlias").into_response();
    };
    if shared.draining.load(Ordering::Relaxed) {
        return ServiceError::Unavailable("the service is shutting down").into_response();
    }
    reply(&shared.handler.query_alias(alias).await, "no such room")
}

fn reply(reply: &QueryReply, not_found: &'static str) -> Response {
    match reply {
        QueryReply::Found => empty(),
        QueryReply::NotFound => ServiceError::NotFound(not_found).into_response(),
        QueryReply::Unavailable => {
            ServiceError::Unavailable("the other network cannot be asked").into_response()
        }
    }
}

#[derive(Deserialize)]
struct Ping {
    #[serde(rename = "transaction_id")]
    _transaction_id: Option<String>,
}

async fn ping(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Body) -> Response {
    let body = match read_body(body, &headers, shared.body_limit).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    match serde_json::from_slice::<Ping>(&body) {
        Ok(_) => empty(),
        Err(error) if error.is_data() => ServiceError::BadJson.into_response(),
        Err(_) => ServiceError::NotJson.into_response(),
    }
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.draining.load(Ordering::Relaxed) || shared.inbox.is_broken() {
        return ServiceError::Unavailable("not ready").into_response();
    }
    empty()
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    (StatusCode::OK, headers, shared.metrics.to_text()).into_response()
}
