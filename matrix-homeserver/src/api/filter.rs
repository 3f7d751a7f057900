//! [Filtering](https://spec.matrix.org/v1.19/client-server-api/#filtering).

use std::sync::{Arc, LazyLock};

use axum::{
    extract::State,
    routing::{get, post},
};
use ruma::{OwnedUserId, UserId};
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};

use super::{ApiError, ApiResult, AppState, Json, Reply, Requester, Routes, Segments};
use crate::room::FilterDefinition;

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/user/{user_id}/filter", post(define_filter))
        .v3("/user/{user_id}/filter/{filter_id}", get(get_filter))
}

async fn define_filter(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    Json(filter): Json<Box<RawValue>>,
) -> ApiResult<Reply<Value>> {
    requester.must_be(&user_id)?;
    parse::<FilterDefinition>(filter.get()).map_err(ApiError::bad_json)?;
    let filter_id = app.users.put_filter(&user_id, &filter).await?;
    Ok(Reply(json!({"filter_id": filter_id})))
}

async fn get_filter(
    State(app): State<AppState>,
    requester: Requester,
    Segments((user_id, filter_id)): Segments<(OwnedUserId, String)>,
) -> ApiResult<Reply<Box<RawValue>>> {
    requester.must_be(&user_id)?;
    match app.users.filter(&user_id, &filter_id)? {
        Some(filter) => Ok(Reply(filter)),
        None => Err(ApiError::not_found("there is no such filter")),
    }
}

/// The filter that a parameter holds or names.
pub(super) fn find(
    app: &AppState,
    user_id: &UserId,
    filter: Option<&str>,
) -> ApiResult<Arc<FilterDefinition>> {
    static NONE: LazyLock<Arc<FilterDefinition>> = LazyLock::new(Arc::default);
    let Some(filter) = filter else { return Ok(NONE.clone()) };
    if filter.starts_with('{') {
        return parse(filter).map(Arc::new).map_err(ApiError::invalid_param);
    }
    let stored = app.users.filter(user_id, filter)?;
    let stored = stored.ok_or_else(|| ApiError::invalid_param("there is no such filter"))?;
    parse(stored.get()).map(Arc::new).map_err(ApiError::invalid_param)
}

/// Reads a filter, or says which part of it is none.
pub(super) fn parse<T: DeserializeOwned>(filter: &str) -> Result<T, String> {
    if !filter.trim_ascii_start().starts_with('{') {
        return Err("a filter is an object".to_owned());
    }
    let mut json = serde_json::Deserializer::from_str(filter);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        format!("filter: {path} is not what it should be: {}", error.inner())
    })?;
    json.end().map_err(|_| "a filter is one object".to_owned())?;
    Ok(parsed)
}
