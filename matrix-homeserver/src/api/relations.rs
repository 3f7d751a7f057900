//! [Relationships between events](https://spec.matrix.org/v1.19/client-server-api/#relationships-api) and
//! [threads](https://spec.matrix.org/v1.19/client-server-api/#querying-threads-in-a-room).

use axum::{extract::State, routing::get};
use ruma::{OwnedEventId, OwnedRoomId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState, Params, Reply, Requester, Routes, Segments,
    read::{position, token},
};
use crate::room::{Direction, RelationsRequest, ThreadsRequest};

/// The longest page.
const MAX_LIMIT: usize = 100;

pub(super) fn routes() -> Routes {
    Routes::new()
        .v1("/rooms/{room_id}/relations/{event_id}", get(get_relating_events))
        .v1("/rooms/{room_id}/relations/{event_id}/{rel_type}", get(get_relating_events_with_rel_type))
        .v1(
            "/rooms/{room_id}/relations/{event_id}/{rel_type}/{event_type}",
            get(get_relating_events_with_rel_type_and_event_type),
        )
        .v1("/rooms/{room_id}/threads", get(get_thread_roots))
}

#[derive(Debug, Deserialize)]
struct Query {
    from: Option<String>,
    to: Option<String>,
    dir: Option<String>,
    limit: Option<usize>,
    #[serde(default, alias = "org.matrix.msc3981.recurse")]
    recurse: bool,
}

async fn get_relating_events(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_id)): Segments<(OwnedRoomId, OwnedEventId)>,
    Params(query): Params<Query>,
) -> ApiResult<Reply<Value>> {
    relations(&app, &requester, (&room_id, &event_id), None, None, &query)
}

async fn get_relating_events_with_rel_type(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_id, rel_type)): Segments<(OwnedRoomId, OwnedEventId, String)>,
    Params(query): Params<Query>,
) -> ApiResult<Reply<Value>> {
    relations(&app, &requester, (&room_id, &event_id), Some(&rel_type), None, &query)
}

async fn get_relating_events_with_rel_type_and_event_type(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_id, rel_type, event_type)): Segments<(
        OwnedRoomId,
        OwnedEventId,
        String,
        String,
    )>,
    Params(query): Params<Query>,
) -> ApiResult<Reply<Value>> {
    relations(&app, &requester, (&room_id, &event_id), Some(&rel_type), Some(&event_type), &query)
}

fn relations(
    app: &AppState,
    requester: &Requester,
    (room_id, event_id): (&OwnedRoomId, &OwnedEventId),
    rel_type: Option<&str>,
    event_type: Option<&str>,
    query: &Query,
) -> ApiResult<Reply<Value>> {
    let direction = match query.dir.as_deref() {
        None | Some("b") => Direction::Backward,
        Some("f") => Direction::Forward,
        Some(_) => return Err(ApiError::invalid_param("dir is b or f")),
    };
    let place = |token: Option<&str>| token.filter(|token| !token.is_empty()).map(position).transpose();
    let (from, to) = (place(query.from.as_deref())?, place(query.to.as_deref())?);
    let limit = query.limit.unwrap_or(5).clamp(1, MAX_LIMIT);
    let request =
        RelationsRequest { rel_type, event_type, from, to, direction, limit, recurse: query.recurse };
    let found = app.rooms.relations(room_id, &requester.viewer(), event_id, request)?;
    let mut reply = json!({"chunk": found.chunk});
    if let Some(next) = found.next {
        reply["next_batch"] = token(next).into();
    }
    if let Some(from) = &query.from {
        reply["prev_batch"] = from.as_str().into();
    }
    if query.recurse {
        reply["recursion_depth"] = found.depth.into();
    }
    Ok(Reply(reply))
}

#[derive(Debug, Deserialize)]
struct ThreadsQuery {
    include: Option<String>,
    from: Option<String>,
    limit: Option<usize>,
}

async fn get_thread_roots(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(query): Params<ThreadsQuery>,
) -> ApiResult<Reply<Value>> {
    let participated = match query.include.as_deref() {
        None | Some("all") => false,
        Some("participated") => true,
        Some(_) => return Err(ApiError::invalid_param("include is all or participated")),
    };
    let from = query.from.as_deref().map(position).transpose()?;
    let limit = query.limit.unwrap_or(20).clamp(1, MAX_LIMIT);
    let threads =
        app.rooms.threads(&room_id, &requester.viewer(), ThreadsRequest { participated, from, limit })?;
    let mut reply = json!({"chunk": threads.chunk});
    if let Some(next) = threads.next {
        reply["next_batch"] = token(next).into();
    }
    Ok(Reply(reply))
}
