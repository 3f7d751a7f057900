//! Reading rooms, where it differs from today's way: members between tokens, and messages with their own defaults.

use axum::{extract::State, routing::get};
use ruma::OwnedRoomId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{bad_pagination, page_limit, page_token};
use crate::{
    api::{
        ApiError, ApiResult, AppState, Params, Reply, Requester, Routes, Segments,
        read::{event_filter, token},
    },
    room::{Direction, MembersRequest, PageRequest},
    store::Position,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .of_2014("/rooms/{room_id}/members", get(members))
        .of_2014("/rooms/{room_id}/messages", get(messages))
}

#[derive(Debug, Deserialize)]
struct Page {
    from: Option<String>,
    to: Option<String>,
    dir: Option<String>,
    limit: Option<String>,
    filter: Option<String>,
}

/// The member events of a room, as they were at `to` where that is given.
async fn members(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(page): Params<Page>,
) -> ApiResult<Reply<Value>> {
    let from = page_token(page.from.as_deref())?.unwrap_or_default();
    let to = page_token(page.to.as_deref())?;
    if to.is_some_and(|to| to < from) {
        return Err(bad_pagination("to is before from"));
    }
    let upto = app.rooms.access(&room_id, &requester.user_id)?.upto;
    let request = MembersRequest { at: to, ..MembersRequest::default() };
    let chunk = app.rooms.members(&room_id, &requester.viewer(), &request)?;
    let end = to.map_or(upto, |to| to.min(upto));
    Ok(Reply(json!({"start": token(from.min(end)), "end": token(end), "chunk": chunk})))
}

/// Events of a room, from the oldest on unless told otherwise.
async fn messages(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(page): Params<Page>,
) -> ApiResult<Reply<Value>> {
    let direction = match page.dir.as_deref() {
        None | Some("f") => Direction::Forward,
        Some("b") => Direction::Backward,
        Some(_) => return Err(ApiError::invalid_param("dir is b or f")),
    };
    let filter = event_filter(page.filter.as_deref())?;
    let request = PageRequest {
        from: page_token(page.from.as_deref())?,
        to: page_token(page.to.as_deref())?,
        direction,
        limit: page_limit(page.limit.as_deref())?.max(1),
        filter: &filter,
    };
    let messages = app.rooms.messages(&room_id, &requester.viewer(), request)?;
    // Clients of 2014 go on until a page is empty, so that there is always an end.
    let end = messages.end.unwrap_or(match direction {
        Direction::Backward => Position::ZERO,
        Direction::Forward => app.rooms.access(&room_id, &requester.user_id)?.upto,
    });
    let mut reply = json!({"chunk": messages.chunk, "start": token(messages.start), "end": token(end)});
    if !messages.state.is_empty() {
        reply["state"] = json!(messages.state);
    }
    Ok(Reply(reply))
}
