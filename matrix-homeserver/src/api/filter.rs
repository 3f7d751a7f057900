//! [Filtering](https://spec.matrix.org/v1.19/client-server-api/#filtering).

use axum::{
    extract::State,
    routing::{get, post},
};
use ruma::{OwnedUserId, UserId, api::client::filter::FilterDefinition};
use serde_json::{Value, json, value::RawValue};

use super::{ApiError, ApiResult, AppState, Json, Reply, Requester, Routes, Segments};

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
    if parse(&filter).is_none() {
        return Err(ApiError::bad_json("the body is not a filter"));
    }
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

fn parse(filter: &RawValue) -> Option<FilterDefinition> {
    if !filter.get().starts_with('{') {
        return None;
    }
    serde_json::from_str(filter.get()).ok()
}

/// The filter that a parameter holds or names.
pub(super) fn find(app: &AppState, user_id: &UserId, filter: Option<&str>) -> ApiResult<FilterDefinition> {
    let Some(filter) = filter else { return Ok(FilterDefinition::default()) };
    if filter.starts_with('{') {
        return serde_json::from_str(filter).map_err(|_| ApiError::invalid_param("filter is not a filter"));
    }
    let stored = app.users.filter(user_id, filter)?;
    stored.and_then(|filter| parse(&filter)).ok_or_else(|| ApiError::invalid_param("there is no such filter"))
}
