//! Look-ups of what the other network has.
//!
//! [Specification](https://spec.matrix.org/v1.19/application-service-api/#third-party-networks).

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use axum::{
    Router,
    extract::{Path, RawQuery, State},
    response::Response,
    routing::get,
};
use ruma::{
    RoomAliasId, UserId,
    thirdparty::{Location, Protocol, User},
};

use super::{
    Shared,
    answer::{ServiceError, json},
};

/// Answers which users and chats the other network has. Every method is called while a client waits.
#[async_trait]
pub trait ThirdParty: Send + Sync {
    /// What there is to say of a protocol; `None` if it is not one of this service.
    async fn protocol(&self, protocol: &str) -> Option<Protocol>;

    /// The chats that the fields describe; by the aliases of their portals.
    async fn locations(&self, _protocol: &str, _fields: BTreeMap<String, String>) -> Vec<Location> {
        Vec::new()
    }

    /// The users that the fields describe; by the IDs of their ghosts.
    async fn users(&self, _protocol: &str, _fields: BTreeMap<String, String>) -> Vec<User> {
        Vec::new()
    }

    /// The chats behind an alias.
    async fn locations_of(&self, _alias: &RoomAliasId) -> Vec<Location> {
        Vec::new()
    }

    /// The users behind a Matrix user.
    async fn users_of(&self, _user_id: &UserId) -> Vec<User> {
        Vec::new()
    }
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/protocol/{protocol}", get(get_protocol))
        .route("/user/{protocol}", get(query_users))
        .route("/location/{protocol}", get(query_locations))
        .route("/user", get(users_of_user_id))
        .route("/location", get(locations_of_alias))
}

/// The query as a map, without the token. Repeated keys: the last one counts.
fn fields(query: Option<&str>) -> BTreeMap<String, String> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned();
    pairs.filter(|(key, _)| key != "access_token").collect()
}

fn look_up(shared: &Shared) -> Result<&dyn ThirdParty, ServiceError> {
    shared.handler.third_party().ok_or(ServiceError::NotFound("this service answers no look-ups"))
}

async fn get_protocol(
    State(shared): State<Arc<Shared>>,
    Path(protocol): Path<String>,
) -> Result<Response, ServiceError> {
    let found = look_up(&shared)?.protocol(&protocol).await;
    found.map(|found| json(&found)).ok_or(ServiceError::NotFound("not a protocol of this service"))
}

async fn query_users(
    State(shared): State<Arc<Shared>>,
    Path(protocol): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ServiceError> {
    Ok(json(&look_up(&shared)?.users(&protocol, fields(query.as_deref())).await))
}

async fn query_locations(
    State(shared): State<Arc<Shared>>,
    Path(protocol): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ServiceError> {
    Ok(json(&look_up(&shared)?.locations(&protocol, fields(query.as_deref())).await))
}

async fn users_of_user_id(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ServiceError> {
    let fields = fields(query.as_deref());
    let user_id = fields.get("userid").ok_or(ServiceError::MissingParam("userid"))?;
    let user_id = <&UserId>::try_from(user_id.as_str()).map_err(|_| ServiceError::InvalidParam("userid"))?;
    Ok(json(&look_up(&shared)?.users_of(user_id).await))
}

async fn locations_of_alias(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ServiceError> {
    let fields = fields(query.as_deref());
    let alias = fields.get("alias").ok_or(ServiceError::MissingParam("alias"))?;
    let alias = <&RoomAliasId>::try_from(alias.as_str()).map_err(|_| ServiceError::InvalidParam("alias"))?;
    Ok(json(&look_up(&shared)?.locations_of(alias).await))
}
