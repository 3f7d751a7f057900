//! State that can be deleted, and the read-up-to markers, which are set like state.
//!
//! Deleted state is state with empty content in today's rooms; this API shows it without content, and does not find it.
//!
//! A marker says up to which event its user has got, inclusive. It also tells when that event was sent, for clients that
//! do not have the event: everything older counts as marked. Markers are today's receipts (`m.read`, and `m.delivered`,
//! which today's specification does not define), because in a room of today not everybody may set state.

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::Method;
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, RoomId, UInt, UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Today, answer, ask, forward, invitation::leave, path_for_today, respond};
use crate::{
    api::{
        ApiError, ApiResult, AppState, Empty, Reply, Requester, Segments,
        extract::{parse, read_body},
    },
    homeserver::Services,
    room::Direction,
    user::Receipt,
};

/// Markers, and the receipts that they are.
const MARKERS: [(&str, &str); 2] =
    [("m.room.marker.read", "m.read"), ("m.room.marker.delivered", "m.delivered")];

fn receipt_kind(event_type: &str) -> Option<&'static str> {
    MARKERS.iter().find(|(marker, _)| *marker == event_type).map(|(_, kind)| *kind)
}

/// A piece of state that a request is about.
struct About {
    room_id: OwnedRoomId,
    event_type: String,
    state_key: Option<String>,
}

type WithoutKey = Segments<(OwnedRoomId, String)>;
type WithKey = Segments<(OwnedRoomId, String, String)>;

macro_rules! handlers {
    ($($name:ident, $with_key:ident => $does:ident;)*) => {$(
        pub(super) async fn $name(
            State(app): State<AppState>,
            Extension(today): Extension<Today>,
            requester: Requester,
            Segments((room_id, event_type)): WithoutKey,
            request: Request,
        ) -> Response {
            let about = About { room_id, event_type, state_key: None };
            respond($does(app, today, requester, about, request).await)
        }

        pub(super) async fn $with_key(
            State(app): State<AppState>,
            Extension(today): Extension<Today>,
            requester: Requester,
            Segments((room_id, event_type, state_key)): WithKey,
            request: Request,
        ) -> Response {
            let about = About { room_id, event_type, state_key: Some(state_key) };
            respond($does(app, today, requester, about, request).await)
        }
    )*};
}

handlers! {
    get, get_with_key => read;
    put, put_with_key => set;
    delete, delete_with_key => remove;
}

async fn read(
    app: AppState,
    today: Today,
    requester: Requester,
    about: About,
    request: Request,
) -> ApiResult<Response> {
    let gone = || ApiError::not_found("the room has no such state");
    if let Some(kind) = receipt_kind(&about.event_type) {
        app.joined_room(&about.room_id, &requester.user_id)?;
        let whose = about.state_key.as_deref().unwrap_or(requester.user_id.as_str());
        let whose = <&UserId>::try_from(whose).map_err(|_| gone())?;
        let markers = app.users.receipts.latest(&about.room_id, whose)?;
        let marker = markers.iter().find(|receipt| receipt.kind == kind && receipt.thread_id.is_none());
        return Ok(Reply(app.marker_content(&marker.ok_or_else(gone)?.event_id)?).into_response());
    }
    let path = path_for_today(request.uri());
    match answer(forward(&app, &today, request, &path).await).await {
        Err(response) => Ok(response),
        Ok(content) if content == json!({}) => Err(gone()),
        Ok(content) => Ok(Reply(content).into_response()),
    }
}

async fn set(
    app: AppState,
    today: Today,
    requester: Requester,
    about: About,
    request: Request,
) -> ApiResult<Response> {
    let Some(kind) = receipt_kind(&about.event_type) else {
        let path = path_for_today(request.uri());
        return Ok(forward(&app, &today, request, &path).await);
    };
    if about.state_key.is_some_and(|whose| whose != requester.user_id.as_str()) {
        return Err(ApiError::forbidden("everybody sets their own markers"));
    }
    let body = read_body(request.into_body(), app.config.max_request_size).await?;
    let room = app.joined_room(&about.room_id, &requester.user_id)?;
    let event_id = marked(&app, &about.room_id, &requester, &parse(&body)?).await?;
    app.receive(&room, Receipt::new(&requester.user_id, kind, event_id, None)).await?;
    Ok(Empty.into_response())
}

/// Deletes state. Somebody's own membership is deleted by leaving, and others' is not deleted.
async fn remove(
    app: AppState,
    today: Today,
    requester: Requester,
    about: About,
    request: Request,
) -> ApiResult<Response> {
    let state_key = about.state_key.as_deref().unwrap_or_default();
    let (parts, _) = request.into_parts();
    if about.event_type == "m.room.member" && state_key == requester.user_id.as_str() {
        let membership = app.rooms.membership_of(&about.room_id, &requester.user_id)?;
        return match membership {
            Some(MembershipState::Join | MembershipState::Invite | MembershipState::Knock) => {
                Ok(leave(&app, &today, &parts, &about.room_id).await)
            }
            _ => Err(ApiError::not_found("the room has no such state")),
        };
    }
    let kind = StateEventType::from(about.event_type.as_str());
    let event = app.rooms.state_event(&about.room_id, &requester.user_id, &kind, state_key)?;
    if event.is_none_or(|event| event.pdu.content.get() == "{}") {
        return Err(ApiError::not_found("the room has no such state"));
    }
    let path = path_for_today(&parts.uri);
    Ok(match ask(&app, &today, &parts, Method::PUT, &path, Body::from("{}")).await {
        Ok(_) => Empty.into_response(),
        Err(response) => response,
    })
}

/// Up to where somebody has got.
#[derive(Debug, Deserialize)]
struct Upto {
    event_id: Option<OwnedEventId>,
    /// Where the client does not know the event, or the server does not: when it was sent, in milliseconds since 1970.
    ts: Option<UInt>,
}

/// The event that a marker is about: the one that is named, else the last one that is old enough.
async fn marked(
    app: &AppState,
    room_id: &RoomId,
    requester: &Requester,
    upto: &Upto,
) -> ApiResult<OwnedEventId> {
    if let Some(event_id) = &upto.event_id {
        match (app.rooms.event(room_id, &requester.viewer(), event_id), upto.ts) {
            (Ok(_), _) => return Ok(event_id.clone()),
            (Err(error), None) => return Err(error.into()),
            (Err(_), Some(_)) => {}
        }
    }
    let Some(ts) = upto.ts else { return Err(ApiError::missing_param("event_id is missing")) };
    let (app, room_id, user_id) = (app.clone(), room_id.to_owned(), requester.user_id.clone());
    // It may read the whole history; whoever else wants an answer does not wait for it.
    let found = tokio::task::spawn_blocking(move || {
        app.rooms.event_near(&room_id, &user_id, MilliSecondsSinceUnixEpoch(ts), Direction::Backward)
    });
    let found = found.await.map_err(|error| ApiError::internal(&error))??;
    let found = found.ok_or_else(|| ApiError::not_found("no event is that old"))?;
    Ok(found.pdu.event_id.clone())
}

impl Services {
    fn marker_content(&self, event_id: &EventId) -> ApiResult<Value> {
        let mut content = json!({"event_id": event_id});
        if let Some((event, _)) = self.rooms.events().by_id(event_id)? {
            content["ts"] = json!(event.pdu.origin_server_ts);
        }
        Ok(content)
    }

    /// The markers in an `m.receipt`, as events of state.
    pub(super) fn markers(&self, receipts: &Value) -> ApiResult<Vec<Value>> {
        let mut markers = Vec::new();
        for (event_id, kinds) in receipts["content"].as_object().into_iter().flatten() {
            let Ok(parsed) = EventId::parse(event_id) else { continue };
            for (marker, kind) in MARKERS {
                for user_id in kinds[kind].as_object().into_iter().flatten().map(|(user_id, _)| user_id) {
                    markers.push(json!({
                        "type": marker, "room_id": receipts["room_id"], "state_key": user_id,
                        "sender": user_id, "content": self.marker_content(&parsed)?,
                    }));
                }
            }
        }
        Ok(markers)
    }
}
