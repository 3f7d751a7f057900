//! The [user directory](https://spec.matrix.org/v1.19/client-server-api/#user-directory).

use axum::{extract::State, routing::post};
use ruma::{
    RoomId, UserId,
    events::{StateEventType, room::history_visibility::HistoryVisibility},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, ApiResult, AppState, Json, Reply, Requester, Routes};
use crate::{homeserver::Limit, room::RoomError};

/// The most users in one answer.
const MAX_RESULTS: usize = 50;

pub(super) fn routes() -> Routes {
    Routes::new().v3("/user_directory/search", post(search_user_directory))
}

#[derive(Debug, Deserialize)]
struct Search {
    search_term: Option<String>,
    limit: Option<usize>,
}

async fn search_user_directory(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<Search>,
) -> ApiResult<Reply<Value>> {
    app.throttle_user(Limit::Search, &requester)?;
    let term = body.search_term.ok_or_else(|| ApiError::missing_param("search_term is missing"))?;
    let limit = body.limit.unwrap_or(10).min(MAX_RESULTS);
    // All accounts are looked through: not on the threads that answer everybody else.
    let found = tokio::task::spawn_blocking(move || search(&app, &requester.user_id, &term, limit)).await;
    found.map_err(|error| ApiError::internal(&error))?.map(Reply)
}

fn search(app: &AppState, viewer: &UserId, term: &str, limit: usize) -> ApiResult<Value> {
    let mut results = Vec::new();
    let mut limited = false;
    for found in app.users.search(term)? {
        if found.user_id == viewer || !is_visible(app, viewer, &found.user_id)? {
            continue;
        }
        if results.len() == limit {
            limited = true;
            break;
        }
        let mut user = json!({"user_id": found.user_id});
        for (field, name) in [("displayname", "display_name"), ("avatar_url", "avatar_url")] {
            if let Some(value) = found.profile.get(field) {
                user[name] = value.clone();
            }
        }
        results.push(user);
    }
    Ok(json!({"results": results, "limited": limited}))
}

/// Whether the viewer shares a room with a user, or could see the user in a room that is open to anybody.
fn is_visible(app: &AppState, viewer: &UserId, user_id: &UserId) -> ApiResult<bool> {
    if app.rooms.shares_room(viewer, user_id)? {
        return Ok(true);
    }
    for room_id in app.rooms.joined_rooms(user_id)? {
        if is_open(app, &room_id)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_open(app: &AppState, room_id: &RoomId) -> ApiResult<bool> {
    #[derive(Deserialize)]
    struct JoinRules {
        join_rule: String,
    }
    let rules = app.state_content(room_id, &StateEventType::RoomJoinRules, "")?;
    let rules = rules.and_then(|content| serde_json::from_str::<JoinRules>(content.get()).ok());
    if rules.is_some_and(|rules| rules.join_rule == "public") {
        return Ok(true);
    }
    let Some(room) = app.rooms.get(room_id)? else { return Ok(false) };
    let visibility = app.rooms.history_visibility(&room.view().state).map_err(RoomError::from)?;
    Ok(visibility == HistoryVisibility::WorldReadable)
}
