//! Joining rooms, also by the event of an invitation, and rejecting invitations.

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::Method;
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId, events::room::member::MembershipState};
use serde_json::json;

use super::{Today, ask, bundle::Shape, filter::Filter, respond};
use crate::{
    api::{ApiError, ApiResult, AppState, Empty, Reply, Requester, Segments},
    testing::encode,
};

/// The room of an invitation that the requester has not answered yet.
fn invited_to(app: &AppState, requester: &Requester, event_id: &EventId) -> ApiResult<OwnedRoomId> {
    let not_found = || ApiError::not_found("you have no invitation with this event ID");
    let (event, _) = app.rooms.events().by_id(event_id)?.ok_or_else(not_found)?;
    let rooms = app.rooms.of_user(&requester.user_id)?;
    let mine = rooms.get(&event.pdu.room_id).ok_or_else(not_found)?;
    if mine.number == event.number && mine.membership == MembershipState::Invite {
        Ok(event.pdu.room_id.clone())
    } else {
        Err(not_found())
    }
}

/// Joins a room by its ID, an alias or the event of an invitation, and shows it.
pub(super) async fn join(
    State(app): State<AppState>,
    Extension(today): Extension<Today>,
    requester: Requester,
    Segments(target): Segments<String>,
    request: Request,
) -> Response {
    respond(join_and_show(app, today, requester, target, request).await)
}

async fn join_and_show(
    app: AppState,
    today: Today,
    requester: Requester,
    target: String,
    request: Request,
) -> ApiResult<Response> {
    let filter = Filter::of(request.uri())?;
    let (parts, body) = request.into_parts();
    let target = match EventId::parse(&target) {
        Ok(event_id) => invited_to(&app, &requester, &event_id)?.to_string(),
        Err(_) => target,
    };
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("/join/{}{query}", encode(&target));
    let joined = match ask(&app, &today, &parts, Method::POST, &path, body).await {
        Ok(joined) => joined,
        Err(response) => return Ok(response),
    };
    let room_id = joined["room_id"].as_str().unwrap_or_default().to_owned();
    let path = format!("/rooms/{}/initialSync{query}", encode(&room_id));
    let room = match ask(&app, &today, &parts, Method::GET, &path, Body::empty()).await {
        Ok(room) => room,
        Err(response) => return Ok(response),
    };
    let aliases = RoomId::parse(&room_id).map(|room_id| app.directory.aliases_of(&room_id));
    let mut room = Shape { app, requester, filter, bundled: true }.apply(room).await?;
    room["aliases"] = json!(aliases.unwrap_or_default());
    Ok(Reply(room).into_response())
}

/// Rejects an invitation: its event is deleted.
pub(super) async fn reject(
    State(app): State<AppState>,
    Extension(today): Extension<Today>,
    requester: Requester,
    Segments(event_id): Segments<OwnedEventId>,
    request: Request,
) -> Response {
    let room_id = match invited_to(&app, &requester, &event_id) {
        Ok(room_id) => room_id,
        Err(error) => return error.into_response(),
    };
    let (parts, _) = request.into_parts();
    leave(&app, &today, &parts, &room_id).await
}

/// Leaves a room, or rejects the invitation to it.
pub(super) async fn leave(
    app: &AppState,
    today: &Today,
    parts: &http::request::Parts,
    room_id: &RoomId,
) -> Response {
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("/rooms/{}/leave{query}", encode(room_id.as_str()));
    match ask(app, today, parts, Method::POST, &path, Body::empty()).await {
        Ok(_) => Empty.into_response(),
        Err(response) => response,
    }
}
