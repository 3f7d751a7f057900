//! [Server keys](https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys): this server's own, and those of
//! others as far as they are known.

use std::collections::BTreeMap;

use axum::{
    extract::State,
    routing::{get, post},
};
use ruma::{CanonicalJsonObject, OwnedServerName};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, ApiResult, AppState, Json, Params, Reply, Routes, Segments};
use crate::notary::NotaryError;

/// The most servers that one request may ask about.
const MAX_SERVERS: usize = 100;

pub(super) fn routes() -> Routes {
    Routes::new()
        .absolute("/_matrix/key/v2/server", get(get_server_key))
        .absolute("/_matrix/key/v2/server/{key_id}", get(get_server_key))
        .absolute("/_matrix/key/v2/query", post(bulk_perspectives_key_query))
        .absolute("/_matrix/key/v2/query/{server_name}", get(perspectives_key_query))
        .absolute("/_matrix/key/v2/query/{server_name}/{key_id}", get(perspectives_key_query_by_id))
}

impl From<NotaryError> for ApiError {
    fn from(error: NotaryError) -> Self {
        Self::internal(&error)
    }
}

/// All keys, also where one is named, as today's specification has it.
async fn get_server_key(State(app): State<AppState>) -> ApiResult<Reply<CanonicalJsonObject>> {
    Ok(Reply(app.notary.own()?))
}

#[derive(Debug, Default, Deserialize)]
struct Validity {
    /// Milliseconds since 1970.
    minimum_valid_until_ts: Option<u64>,
}

async fn perspectives_key_query(
    State(app): State<AppState>,
    Segments(server_name): Segments<OwnedServerName>,
    Params(validity): Params<Validity>,
) -> ApiResult<Reply<Value>> {
    let keys = app.notary.keys_of(&server_name, validity.minimum_valid_until_ts.unwrap_or(0)).await?;
    Ok(Reply(json!({"server_keys": keys.into_iter().collect::<Vec<_>>()})))
}

/// The path of before, with the ID of a key in it, which does not restrict the answer.
async fn perspectives_key_query_by_id(
    state: State<AppState>,
    Segments((server_name, _)): Segments<(OwnedServerName, String)>,
    validity: Params<Validity>,
) -> ApiResult<Reply<Value>> {
    perspectives_key_query(state, Segments(server_name), validity).await
}

#[derive(Debug, Deserialize)]
struct Query {
    server_keys: BTreeMap<OwnedServerName, BTreeMap<String, Validity>>,
}

async fn bulk_perspectives_key_query(
    State(app): State<AppState>,
    Json(query): Json<Query>,
) -> ApiResult<Reply<Value>> {
    if query.server_keys.len() > MAX_SERVERS {
        return Err(ApiError::invalid_param("this asks about too many servers at once"));
    }
    let mut found = Vec::new();
    for (server_name, wanted) in query.server_keys {
        let minimum = wanted.values().filter_map(|validity| validity.minimum_valid_until_ts).max();
        found.extend(app.notary.keys_of(&server_name, minimum.unwrap_or(0)).await?);
    }
    Ok(Reply(json!({ "server_keys": found })))
}
