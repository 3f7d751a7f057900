//! [Presence](https://spec.matrix.org/v1.19/client-server-api/#presence).

use axum::{extract::State, routing::get};
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::Value;

use super::{ApiError, ApiResult, AppState, Empty, Json, Reply, Requester, Routes, Segments};
use crate::user::PresenceState;

pub(super) fn routes() -> Routes {
    Routes::new().v3("/presence/{user_id}/status", get(get_presence).put(set_presence))
}

async fn get_presence(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
) -> ApiResult<Reply<Value>> {
    if requester.user_id != user_id && !app.rooms.shares_room(&requester.user_id, &user_id)? {
        return Err(ApiError::forbidden("you share no room with this user"));
    }
    Ok(Reply(app.users.presence.content(&user_id)))
}

#[derive(Debug, Deserialize)]
struct Status {
    presence: String,
    status_msg: Option<String>,
}

async fn set_presence(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    Json(status): Json<Status>,
) -> ApiResult<Empty> {
    requester.must_be(&user_id)?;
    let Some(state) = PresenceState::parse(&status.presence) else {
        return Err(ApiError::invalid_param("presence is online, unavailable or offline"));
    };
    app.set_presence(&user_id, state, Some(status.status_msg)).await?;
    Ok(Empty)
}
