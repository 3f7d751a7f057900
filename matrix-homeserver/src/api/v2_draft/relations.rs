//! Events in their surroundings: the stream, the window around an event, what relates to an event, and sending events
//! that relate to another.

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{Method, Uri};
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Today, ask,
    bundle::{BUNDLED, Shape, read_as},
    filter::Filter,
    respond,
    session::InSession,
};
use crate::{
    api::{
        ApiError, ApiResult, AppState, Params, Reply, Requester, Segments,
        extract::{parse, read_body},
        read::{position, token},
    },
    room::RoomEventFilter,
    testing::encode,
    user::random_text,
};

/// The most events before or after another, and in one page.
const MAX_EVENTS: usize = 1000;
/// How many, where nothing is said.
const EVENTS: usize = 10;

/// The event stream, in which every event comes by itself.
pub(super) async fn stream(
    State(app): State<AppState>,
    Extension(today): Extension<Today>,
    requester: Requester,
    request: Request,
) -> Response {
    respond(read_as(app, today, requester, request, false).await)
}

/// The room of an event. Whether the requester sees it is found out by reading it.
pub(super) fn room_of(app: &AppState, event_id: &EventId) -> ApiResult<OwnedRoomId> {
    let found = app.rooms.events().by_id(event_id)?;
    let not_found = || ApiError::not_found("there is no such event, or you may not see it");
    Ok(found.ok_or_else(not_found)?.0.pdu.room_id.clone())
}

#[derive(Debug, Deserialize)]
pub(super) struct Around {
    before: Option<usize>,
    after: Option<usize>,
}

/// A window around an event: events before and after it, as many of each as are wanted, and the state at the end.
pub(super) async fn window(
    State(app): State<AppState>,
    requester: Requester,
    uri: Uri,
    Segments(event_id): Segments<OwnedEventId>,
    Params(around): Params<Around>,
) -> ApiResult<Reply<Value>> {
    let filter = Filter::of(&uri)?;
    let room_id = room_of(&app, &event_id)?;
    let events = RoomEventFilter { types: filter.types.clone(), ..RoomEventFilter::default() };
    let viewer = requester.viewer();
    let read = |limit: Option<usize>| {
        let limit = limit.unwrap_or(EVENTS).min(MAX_EVENTS);
        // Half of it is before the event.
        app.rooms.context(&room_id, &viewer, &event_id, 2 * limit, &events)
    };
    let (before, after) = (read(around.before)?, read(around.after)?);
    let mut chunk = before.events_before;
    chunk.reverse();
    chunk.push(before.event);
    chunk.extend(after.events_after);
    let window = json!({
        "chunk": chunk, "start": token(before.start), "end": token(after.end), "state": after.state,
    });
    Ok(Reply(Shape { app, requester, filter, bundled: true }.apply(window).await?))
}

#[derive(Debug, Deserialize)]
pub(super) struct Page {
    token: Option<String>,
    limit: Option<usize>,
}

/// A page of the events that relate to another.
pub(super) async fn page(
    State(app): State<AppState>,
    requester: Requester,
    Segments(event_id): Segments<OwnedEventId>,
    Params(page): Params<Page>,
) -> ApiResult<Reply<Value>> {
    let room_id = room_of(&app, &event_id)?;
    let from = page.token.as_deref().map(position).transpose()?;
    let limit = page.limit.unwrap_or(BUNDLED).clamp(1, MAX_EVENTS);
    let shape = Shape { app, requester, filter: Filter::default(), bundled: true };
    Ok(Reply(shape.related(&room_id, &event_id, from, limit)?))
}

pub(super) async fn send(
    state: State<AppState>,
    today: Extension<Today>,
    requester: Requester,
    session: InSession,
    Segments((room_id, event_type)): Segments<(OwnedRoomId, String)>,
    request: Request,
) -> Response {
    let to = (room_id, event_type, random_text(24));
    respond(send_related(state.0, today.0, requester, session, to, request).await)
}

pub(super) async fn send_with_txn(
    state: State<AppState>,
    today: Extension<Today>,
    requester: Requester,
    session: InSession,
    Segments(to): Segments<(OwnedRoomId, String, String)>,
    request: Request,
) -> Response {
    respond(send_related(state.0, today.0, requester, session, to, request).await)
}

/// Sends an event. `updates` and `relates_to` in its content become relations, of which clients of today know too.
async fn send_related(
    app: AppState,
    today: Today,
    requester: Requester,
    InSession(session): InSession,
    (room_id, event_type, txn_id): (OwnedRoomId, String, String),
    request: Request,
) -> ApiResult<Response> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, app.config.max_request_size).await?;
    let mut content: Map<String, Value> = parse(&body)?;
    let (updates, relates_to) = (content.remove("updates"), content.remove("relates_to"));
    let parent = match (updates, relates_to) {
        (None, None) => None,
        (Some(parent), None) => Some((parent, "m.replace")),
        (None, Some(parent)) => Some((parent, "m.reference")),
        (Some(_), Some(_)) => {
            return Err(ApiError::bad_json("an event updates another or relates to another, not both"));
        }
    };
    if let Some((parent, rel_type)) = parent {
        let parent = visible(&app, &requester, &room_id, &parent)?;
        if rel_type == "m.replace" {
            content.insert("m.new_content".to_owned(), content.clone().into());
        }
        content.insert("m.relates_to".to_owned(), json!({"rel_type": rel_type, "event_id": parent}));
    }
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!(
        "/rooms/{}/send/{}/{}{query}",
        encode(room_id.as_str()),
        encode(&event_type),
        encode(&txn_id)
    );
    let body = Body::from(Value::Object(content).to_string());
    match ask(&app, &today, &parts, Method::PUT, &path, body).await {
        Err(response) => Ok(response),
        Ok(sent) => {
            // Typing ends with the message.
            session.types_in(room_id, false);
            Ok(Reply(sent).into_response())
        }
    }
}

/// The event that another is about, which has to be in the same room and seen by the sender.
fn visible(
    app: &AppState,
    requester: &Requester,
    room_id: &RoomId,
    parent: &Value,
) -> ApiResult<OwnedEventId> {
    let parent = parent.as_str().and_then(|parent| EventId::parse(parent).ok());
    let parent = parent.ok_or_else(|| ApiError::bad_json("updates and relates_to are event IDs"))?;
    app.rooms.event(room_id, &requester.viewer(), &parent)?;
    Ok(parent)
}
