//! [Getting events for a room](https://spec.matrix.org/v1.19/client-server-api/#getting-events-for-a-room).

use axum::{extract::State, routing::get};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, RoomId, UInt,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{ApiError, ApiResult, AppState, Params, Reply, Requester, Routes, Segments};
pub(crate) use crate::sync::token;
use crate::{
    room::{Direction, MembersRequest, PageRequest, RoomError, RoomEventFilter, Viewer},
    store::Position,
};

/// The longest page of events.
const MAX_EVENTS: usize = 1000;

pub(super) fn routes() -> Routes {
    Routes::new()
        .since_2014("/rooms/{room_id}/state", get(get_room_state))
        .v3("/rooms/{room_id}/members", get(get_members_by_room))
        .since_2014("/rooms/{room_id}/joined_members", get(get_joined_members_by_room))
        .since_2014("/rooms/{room_id}/event/{event_id}", get(get_one_room_event))
        .v3("/rooms/{room_id}/messages", get(get_room_events))
        .since_2014("/rooms/{room_id}/context/{event_id}", get(get_event_context))
        .v1("/rooms/{room_id}/timestamp_to_event", get(get_event_by_timestamp))
}

impl Requester {
    /// How the requester sees events.
    pub(super) fn viewer(&self) -> Viewer<'_> {
        Viewer { user_id: &self.user_id, device_id: self.device_id.as_deref(), format: self.dialect.format() }
    }
}

/// Reads a token that this server gave out.
pub(crate) fn position(token: &str) -> ApiResult<Position> {
    let number = token.strip_prefix('s').and_then(|number| number.parse().ok());
    number.map(Position).ok_or_else(|| ApiError::invalid_param("the token is not one of this server"))
}

async fn get_room_state(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
) -> ApiResult<Reply<Vec<Box<RawValue>>>> {
    Ok(Reply(app.rooms.state(&room_id, &requester.viewer())?))
}

/// In which form a state event is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Format {
    format: Option<String>,
}

pub(super) async fn get_state_event(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_type)): Segments<(OwnedRoomId, StateEventType)>,
    Params(format): Params<Format>,
) -> ApiResult<Reply<Box<RawValue>>> {
    state_event(&app, &requester, &room_id, &event_type, "", &format)
}

pub(super) async fn get_state_event_with_key(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_type, state_key)): Segments<(OwnedRoomId, StateEventType, String)>,
    Params(format): Params<Format>,
) -> ApiResult<Reply<Box<RawValue>>> {
    state_event(&app, &requester, &room_id, &event_type, &state_key, &format)
}

fn state_event(
    app: &AppState,
    requester: &Requester,
    room_id: &RoomId,
    event_type: &StateEventType,
    state_key: &str,
    format: &Format,
) -> ApiResult<Reply<Box<RawValue>>> {
    let event = app
        .rooms
        .state_event(room_id, &requester.user_id, event_type, state_key)?
        .ok_or_else(|| ApiError::not_found("the room has no such state"))?;
    match format.format.as_deref() {
        None | Some("content") => Ok(Reply(event.pdu.content.clone())),
        Some("event") => Ok(Reply(app.rooms.render(&event, &requester.viewer(), None)?)),
        Some(_) => Err(ApiError::invalid_param("format is content or event")),
    }
}

#[derive(Debug, Deserialize)]
struct Members {
    at: Option<String>,
    membership: Option<MembershipState>,
    not_membership: Option<MembershipState>,
}

async fn get_members_by_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(query): Params<Members>,
) -> ApiResult<Reply<Value>> {
    let request = MembersRequest {
        at: query.at.as_deref().map(position).transpose()?,
        membership: query.membership,
        not_membership: query.not_membership,
    };
    let chunk = app.rooms.members(&room_id, &requester.viewer(), &request)?;
    Ok(Reply(json!({"chunk": chunk})))
}

async fn get_joined_members_by_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
) -> ApiResult<Reply<Value>> {
    let view = app.rooms.joined_members(&room_id, &requester.user_id)?;
    let mut joined = Map::new();
    for (user_id, member) in &view.members {
        if member.membership == MembershipState::Join {
            let about = json!({"display_name": member.displayname, "avatar_url": member.avatar_url});
            joined.insert(user_id.to_string(), about);
        }
    }
    Ok(Reply(json!({"joined": joined})))
}

async fn get_one_room_event(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_id)): Segments<(OwnedRoomId, OwnedEventId)>,
) -> ApiResult<Reply<Box<RawValue>>> {
    match app.rooms.event(&room_id, &requester.viewer(), &event_id) {
        // Whether it is there is not told to who may not see it.
        Err(RoomError::Forbidden(_)) => Err(ApiError::not_found("there is no such event")),
        event => Ok(Reply(event?)),
    }
}

#[derive(Debug, Deserialize)]
struct Messages {
    from: Option<String>,
    to: Option<String>,
    dir: Option<String>,
    limit: Option<usize>,
    filter: Option<String>,
}

/// A filter for events, as a parameter in JSON.
pub(super) fn event_filter(filter: Option<&str>) -> ApiResult<RoomEventFilter> {
    match filter {
        None => Ok(RoomEventFilter::default()),
        Some(filter) => super::filter::parse(filter).map_err(ApiError::invalid_param),
    }
}

fn direction(dir: Option<&str>) -> ApiResult<Direction> {
    match dir {
        Some("b") => Ok(Direction::Backward),
        Some("f") => Ok(Direction::Forward),
        None => Err(ApiError::missing_param("dir is missing")),
        Some(_) => Err(ApiError::invalid_param("dir is b or f")),
    }
}

async fn get_room_events(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(query): Params<Messages>,
) -> ApiResult<Reply<Value>> {
    let direction = direction(query.dir.as_deref())?;
    let filter = event_filter(query.filter.as_deref())?;
    let asked = query.limit.or(filter.limit);
    let request = PageRequest {
        from: query.from.as_deref().filter(|from| !from.is_empty()).map(position).transpose()?,
        to: query.to.as_deref().map(position).transpose()?,
        direction,
        limit: asked.unwrap_or(10).clamp(1, MAX_EVENTS),
        filter: &filter,
    };
    let messages = app.rooms.messages(&room_id, &requester.viewer(), request)?;
    let mut reply = json!({"chunk": messages.chunk, "start": token(messages.start)});
    if let Some(end) = messages.end {
        reply["end"] = token(end).into();
    }
    if !messages.state.is_empty() {
        reply["state"] = json!(messages.state);
    }
    Ok(Reply(reply))
}

#[derive(Debug, Deserialize)]
struct Around {
    limit: Option<usize>,
    filter: Option<String>,
}

async fn get_event_context(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_id)): Segments<(OwnedRoomId, OwnedEventId)>,
    Params(query): Params<Around>,
) -> ApiResult<Reply<Value>> {
    let filter = event_filter(query.filter.as_deref())?;
    let limit = query.limit.unwrap_or(10).min(MAX_EVENTS);
    let context = app.rooms.context(&room_id, &requester.viewer(), &event_id, limit, &filter)?;
    Ok(Reply(json!({
        "event": context.event,
        "start": token(context.start),
        "end": token(context.end),
        "events_before": context.events_before,
        "events_after": context.events_after,
        "state": context.state,
    })))
}

#[derive(Debug, Deserialize)]
struct Moment {
    ts: Option<u64>,
    /// Forward, unless the client says otherwise, which it should.
    dir: Option<String>,
}

async fn get_event_by_timestamp(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(query): Params<Moment>,
) -> ApiResult<Reply<Value>> {
    let ts = query.ts.ok_or_else(|| ApiError::missing_param("ts is missing"))?;
    let ts = UInt::new(ts).ok_or_else(|| ApiError::invalid_param("ts is too large"))?;
    let direction = direction(query.dir.as_deref().or(Some("f")))?;
    let time = MilliSecondsSinceUnixEpoch(ts);
    let found = app.rooms.event_near(&room_id, &requester.user_id, time, direction)?;
    let event = found.ok_or_else(|| ApiError::not_found("no event was sent before or after this time"))?;
    Ok(Reply(json!({
        "event_id": event.pdu.event_id, "origin_server_ts": event.pdu.origin_server_ts,
    })))
}
