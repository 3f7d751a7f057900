//! [Typing](https://spec.matrix.org/v1.19/client-server-api/#typing-notifications),
//! [receipts](https://spec.matrix.org/v1.19/client-server-api/#receipts) and
//! [read markers](https://spec.matrix.org/v1.19/client-server-api/#fully-read-markers).

use std::time::Duration;

use axum::{
    extract::State,
    routing::{post, put},
};
use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{json, value::to_raw_value};

use super::{ApiError, ApiResult, AppState, Empty, Json, OptionalJson, Requester, Routes, Segments};
use crate::{
    room::Room,
    user::{Receipt, Scope},
};

/// How long somebody types who does not say how long.
const TYPING: u64 = 30_000;

pub(super) fn routes() -> Routes {
    Routes::new()
        .since_2014("/rooms/{room_id}/typing/{user_id}", put(set_typing))
        .since_2014("/rooms/{room_id}/receipt/{kind}/{event_id}", post(post_receipt))
        .v3("/rooms/{room_id}/read_markers", post(set_read_marker))
}

#[derive(Debug, Deserialize)]
struct Typing {
    typing: bool,
    timeout: Option<u64>,
}

async fn set_typing(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, user_id)): Segments<(OwnedRoomId, OwnedUserId)>,
    Json(body): Json<Typing>,
) -> ApiResult<Empty> {
    requester.must_be(&user_id)?;
    app.joined_room(&room_id, &user_id)?;
    if body.typing {
        let timeout = Duration::from_millis(body.timeout.unwrap_or(TYPING));
        app.users.typing.start(&room_id, &user_id, timeout).await?;
    } else {
        app.stop_typing(&room_id, &user_id).await?;
    }
    Ok(Empty)
}

#[derive(Debug, Default, Deserialize)]
struct Thread {
    thread_id: Option<String>,
}

async fn post_receipt(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, kind, event_id)): Segments<(OwnedRoomId, String, OwnedEventId)>,
    OptionalJson(body): OptionalJson<Thread>,
) -> ApiResult<Empty> {
    let room = app.joined_room(&room_id, &requester.user_id)?;
    match kind.as_str() {
        "m.read" | "m.read.private" => {
            check_thread(&app, &room, &event_id, body.thread_id.as_deref())?;
            let receipt = Receipt::new(&requester.user_id, &kind, event_id, body.thread_id);
            app.receive(&room, receipt).await?;
        }
        "m.fully_read" => {
            if body.thread_id.is_some() {
                return Err(ApiError::invalid_param("m.fully_read knows no threads"));
            }
            mark_fully_read(&app, &requester.user_id, &room, &event_id).await?;
        }
        _ => return Err(ApiError::invalid_param("the kind is m.read, m.read.private or m.fully_read")),
    }
    Ok(Empty)
}

/// A receipt for a thread is for something in the thread, or its root; `main` has what is in none, and every root
/// ([threaded read receipts](https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts)).
fn check_thread(app: &AppState, room: &Room, event_id: &EventId, thread: Option<&str>) -> ApiResult<()> {
    let Some(thread) = thread else { return Ok(()) };
    if thread != "main" && !thread.starts_with('$') {
        return Err(ApiError::invalid_param("thread_id is main or the ID of an event"));
    }
    let Some((event, _)) = app.rooms.events().by_id(event_id)? else {
        // Receipts are kept by thread: of those that are made up there is no end.
        if thread == "main" {
            return Ok(());
        }
        return Err(ApiError::invalid_param("the event is not in this thread"));
    };
    let root = app.rooms.thread_root_of(&event)?;
    let belongs = match root {
        None => thread == "main" || thread == event_id.as_str(),
        Some(root) => thread == root.as_str(),
    };
    if event.pdu.room_id != room.room_id || !belongs {
        return Err(ApiError::invalid_param("the event is not in this thread"));
    }
    Ok(())
}

async fn mark_fully_read(
    app: &AppState,
    user_id: &UserId,
    room: &Room,
    event_id: &OwnedEventId,
) -> ApiResult<()> {
    let content = to_raw_value(&json!({"event_id": event_id})).expect("a value is JSON");
    app.set_account_data(user_id, Scope::Room(&room.room_id), "m.fully_read", &content).await
}

#[derive(Debug, Deserialize)]
struct Markers {
    #[serde(rename = "m.fully_read")]
    fully_read: Option<OwnedEventId>,
    #[serde(rename = "m.read")]
    read: Option<OwnedEventId>,
    #[serde(rename = "m.read.private")]
    read_private: Option<OwnedEventId>,
}

async fn set_read_marker(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Json(markers): Json<Markers>,
) -> ApiResult<Empty> {
    let room = app.joined_room(&room_id, &requester.user_id)?;
    for (kind, event_id) in [("m.read", markers.read), ("m.read.private", markers.read_private)] {
        if let Some(event_id) = event_id {
            app.receive(&room, Receipt::new(&requester.user_id, kind, event_id, None)).await?;
        }
    }
    if let Some(event_id) = markers.fully_read {
        mark_fully_read(&app, &requester.user_id, &room, &event_id).await?;
    }
    Ok(Empty)
}
