//! The event stream and single events ([deprecated] today, with their successors beside them).
//!
//! [deprecated]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3events

use std::{pin::pin, time::Duration};

use axum::{extract::State, routing::get};
use ruma::{EventId, OwnedRoomId};
use serde::Deserialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use tokio::time::{Instant, timeout_at};

use super::{page_limit, page_token};
use crate::{
    api::{ApiError, ApiResult, AppState, Params, Reply, Requester, Routes, Segments, read::token},
    store::Position,
    user::PresenceState,
};

/// The longest that a request may wait.
const MAX_TIMEOUT: Duration = Duration::from_mins(5);
/// How many events one answer holds, unless the client says how many.
const DEFAULT_LIMIT: usize = 100;

pub(super) fn routes() -> Routes {
    Routes::new().since_2014("/events", get(get_events)).since_2014("/events/{event_id}", get(get_one_event))
}

#[derive(Debug, Deserialize)]
struct Query {
    from: Option<String>,
    timeout: Option<String>,
    limit: Option<String>,
    /// Only this room, which the user need not be in.
    room_id: Option<OwnedRoomId>,
}

/// What is looked for.
struct Wanted {
    requester: Requester,
    room_id: Option<OwnedRoomId>,
    from: Position,
    limit: usize,
}

async fn get_events(
    State(app): State<AppState>,
    requester: Requester,
    Params(query): Params<Query>,
) -> ApiResult<Reply<Value>> {
    let timeout = match query.timeout.as_deref().map(str::parse::<u64>) {
        None => Duration::ZERO,
        Some(Ok(millis)) => Duration::from_millis(millis).min(MAX_TIMEOUT),
        Some(Err(_)) => return Err(ApiError::invalid_param("timeout is a number of milliseconds")),
    };
    let deadline = Instant::now() + timeout;
    let limit = match query.limit.as_deref() {
        None => DEFAULT_LIMIT,
        limit => page_limit(limit)?.max(1),
    };
    let now = app.sync.now();
    // A token of before the server lost its memory is ahead of everything that there is.
    let from = page_token(query.from.as_deref())?.unwrap_or(now).min(now);
    if app.users.presence.is_offline(&requester.user_id) {
        app.set_presence(&requester.user_id, PresenceState::Online, None).await?;
    }
    let _there = app.users.presence.connect(&requester.user_id);
    let wanted = Wanted { requester, room_id: query.room_id, from, limit };
    let (chunk, end) = wait(&app, &wanted, deadline).await?;
    Ok(Reply(json!({"chunk": chunk, "start": token(from), "end": token(end)})))
}

/// Looks, and waits until there is something to see.
async fn wait(
    app: &AppState,
    wanted: &Wanted,
    deadline: Instant,
) -> ApiResult<(Vec<Box<RawValue>>, Position)> {
    let waiting = app.rooms.wakers().register(&wanted.requester.user_id);
    loop {
        // Before looking, so that nothing is missed that happens between looking and waiting.
        let mut woken = pin!(match &wanted.room_id {
            None => waiting.notified(),
            Some(_) => app.rooms.wakers().in_any_room(),
        });
        woken.as_mut().enable();
        let (chunk, end) = look(app, wanted)?;
        if !chunk.is_empty() || Instant::now() >= deadline || app.rooms.wakers().are_closed() {
            return Ok((chunk, end));
        }
        let _ = timeout_at(deadline, woken).await;
    }
}

/// Everything that has happened since the token.
fn look(app: &AppState, wanted: &Wanted) -> ApiResult<(Vec<Box<RawValue>>, Position)> {
    let Wanted { requester, room_id, from, limit } = wanted;
    let (from, viewer) = (*from, requester.viewer());
    let stream = match room_id {
        Some(room_id) => app.sync.peek(room_id, &viewer, from, *limit)?,
        None => app.sync.stream(&viewer, from, *limit)?,
    };
    let (mut chunk, end) = (stream.events, stream.end);
    let mut beside = app.presence_events(requester, from, end)?;
    let rooms = match room_id {
        Some(room_id) if !app.rooms.is_joined(room_id, &requester.user_id)? => Vec::new(),
        Some(room_id) => vec![room_id.clone()],
        None => app.rooms.joined_rooms(&requester.user_id)?,
    };
    for room_id in rooms {
        if let Some(users) = app.users.typing_seen_by(&requester.user_id, &room_id, from)? {
            beside.push(json!({"type": "m.typing", "room_id": room_id, "content": {"user_ids": users}}));
        }
        if let Some(content) = app.users.receipts_seen_by(&requester.user_id, &room_id, from, end)? {
            beside.push(json!({"type": "m.receipt", "room_id": room_id, "content": content}));
        }
    }
    chunk.extend(beside.iter().map(|event| to_raw_value(event).expect("a value is JSON")));
    Ok((chunk, end))
}

async fn get_one_event(
    State(app): State<AppState>,
    requester: Requester,
    Segments(event_id): Segments<String>,
) -> ApiResult<Reply<Box<RawValue>>> {
    let not_found = || ApiError::not_found("there is no such event, or you may not see it");
    let event_id = EventId::parse(event_id).map_err(|_| not_found())?;
    let Some((event, _)) = app.rooms.events().by_id(&event_id)? else { return Err(not_found()) };
    match app.rooms.event(&event.pdu.room_id, &requester.viewer(), &event_id) {
        Ok(event) => Ok(Reply(event)),
        // Not even that there is such a room is told.
        Err(crate::room::RoomError::Forbidden(_)) => Err(not_found()),
        Err(error) => Err(error.into()),
    }
}
