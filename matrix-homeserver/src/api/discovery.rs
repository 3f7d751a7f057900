//! Finding out about rooms one may not be in: [room summaries](https://spec.matrix.org/v1.19/client-server-api/#room-summaries)
//! and [mutual rooms](https://spec.matrix.org/v1.19/client-server-api/#mutual-rooms).

use axum::{extract::State, routing::get};
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState, Params, Reply, Requester, Routes, Segments, auth::MaybeRequester,
    membership::find_room,
};

pub(super) fn routes() -> Routes {
    Routes::new().v1("/room_summary/{room}", get(get_room_summary)).v1("/mutual_rooms", get(get_mutual_rooms))
}

async fn get_room_summary(
    State(app): State<AppState>,
    MaybeRequester(requester): MaybeRequester,
    Segments(room): Segments<String>,
) -> ApiResult<Reply<Value>> {
    let not_found = || ApiError::not_found("there is no such room, or you may not see it");
    let room_id = find_room(&app, &room).await?;
    let mut summary = app.room_summary(&room_id)?.ok_or_else(not_found)?;
    let user_id = requester.as_ref().map(|requester| &*requester.user_id);
    if !app.may_find(&summary, &room_id, user_id)? {
        return Err(not_found());
    }
    if let Some(user_id) = user_id
        && let Some(membership) = app.rooms.membership_of(&room_id, user_id)?
    {
        summary["membership"] = membership.as_str().into();
    }
    Ok(Reply(summary))
}

#[derive(Debug, Deserialize)]
struct Mutual {
    user_id: Option<OwnedUserId>,
}

async fn get_mutual_rooms(
    State(app): State<AppState>,
    requester: Requester,
    Params(query): Params<Mutual>,
) -> ApiResult<Reply<Value>> {
    let Some(other) = query.user_id else { return Err(ApiError::missing_param("user_id is missing")) };
    if other == requester.user_id {
        return Err(ApiError::invalid_param("user_id is your own"));
    }
    let others = app.rooms.joined_rooms(&other)?;
    let mut joined = app.rooms.joined_rooms(&requester.user_id)?;
    joined.retain(|room_id| others.contains(room_id));
    Ok(Reply(json!({"joined": joined, "count": joined.len()})))
}
