//! [Sending events to a room](https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room) and redacting
//! them.

use axum::{
    extract::State,
    routing::{post, put},
};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UInt,
    events::{StateEventType, TimelineEventType},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    ApiError, ApiResult, AppState, Json, OptionalJson, Params, Reply, Requester, Routes, Segments,
    create_room::invitee, read,
};
use crate::{
    homeserver::Limit,
    room::{Append, TxnKey},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .since_2014("/rooms/{room_id}/send/{event_type}/{txn_id}", put(send_message))
        .since_2014("/rooms/{room_id}/redact/{event_id}/{txn_id}", put(redact_event))
        .since_2014("/rooms/{room_id}/redact/{event_id}", post(redact_event_once))
        .since_2014("/rooms/{room_id}/state/{event_type}", put(set_state).get(read::get_state_event))
        .since_2014("/rooms/{room_id}/state/{event_type}/", put(set_state).get(read::get_state_event))
        .since_2014(
            "/rooms/{room_id}/state/{event_type}/{state_key}",
            put(set_state_with_key).get(read::get_state_event_with_key),
        )
        .of_2014("/rooms/{room_id}/send/{event_type}", post(send_message_once))
        .draft("/rooms/{room_id}/send/{event_type}", put(send_message_once).post(send_message_once))
}

/// When an event happened, as an application service tells it
/// ([timestamp massaging](https://spec.matrix.org/v1.19/application-service-api/#timestamp-massaging)).
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Massaged {
    ts: Option<UInt>,
}

impl Massaged {
    pub(super) fn timestamp(self, requester: &Requester) -> Option<MilliSecondsSinceUnixEpoch> {
        requester.appservice.as_ref().or(requester.granted_to.as_ref())?;
        self.ts.map(MilliSecondsSinceUnixEpoch)
    }
}

/// The content of an event, which is an object.
fn content(body: Box<RawValue>) -> ApiResult<Box<RawValue>> {
    if body.get().starts_with('{') {
        Ok(body)
    } else {
        Err(ApiError::bad_json("the content of an event is an object"))
    }
}

fn txn_key(requester: &Requester, endpoint: String, txn_id: String) -> TxnKey {
    TxnKey { user_id: requester.user_id.clone(), device_id: requester.device_id.clone(), endpoint, txn_id }
}

fn sent(event_id: &OwnedEventId) -> Reply<Value> {
    Reply(json!({"event_id": event_id}))
}

async fn send_message(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_type, txn_id)): Segments<(OwnedRoomId, TimelineEventType, String)>,
    Params(massaged): Params<Massaged>,
    Json(body): Json<Box<RawValue>>,
) -> ApiResult<Reply<Value>> {
    let txn = txn_key(&requester, format!("send/{room_id}/{event_type}"), txn_id);
    send(&app, &requester, room_id, event_type, massaged, body, Some(txn)).await
}

/// The drafts' way, without a transaction ID: every request makes an event.
async fn send_message_once(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_type)): Segments<(OwnedRoomId, TimelineEventType)>,
    Params(massaged): Params<Massaged>,
    Json(body): Json<Box<RawValue>>,
) -> ApiResult<Reply<Value>> {
    send(&app, &requester, room_id, event_type, massaged, body, None).await
}

async fn send(
    app: &AppState,
    requester: &Requester,
    room_id: OwnedRoomId,
    event_type: TimelineEventType,
    massaged: Massaged,
    body: Box<RawValue>,
    txn: Option<TxnKey>,
) -> ApiResult<Reply<Value>> {
    app.throttle_user(Limit::Message, requester)?;
    let content = content(body)?;
    if app.config.drafts {
        app.join_by_the_way(requester, &room_id).await?;
    }
    if event_type == TimelineEventType::RoomRedaction {
        return redact_by_send(app, requester, room_id, massaged, content, txn).await;
    }
    let is_message = event_type == TimelineEventType::RoomMessage;
    let event_id = app
        .rooms
        .append(Append {
            room_id: room_id.clone(),
            sender: requester.user_id.clone(),
            event_type,
            state_key: None,
            content,
            origin_server_ts: massaged.timestamp(requester),
            redacts: None,
            txn,
        })
        .await?;
    app.users.presence.acted(&requester.user_id);
    if is_message {
        app.stop_typing(&room_id, &requester.user_id).await?;
    }
    Ok(sent(&event_id))
}

/// Redactions may be sent as any other event; `redacts` is in the content then.
async fn redact_by_send(
    app: &AppState,
    requester: &Requester,
    room_id: OwnedRoomId,
    massaged: Massaged,
    content: Box<RawValue>,
    txn: Option<TxnKey>,
) -> ApiResult<Reply<Value>> {
    #[derive(Deserialize)]
    struct Redacts {
        redacts: Option<OwnedEventId>,
    }
    let Redacts { redacts } =
        serde_json::from_str(content.get()).map_err(|_| ApiError::bad_json("redacts is not an event ID"))?;
    let Some(redacts) = redacts else { return Err(ApiError::bad_json("redacts is missing")) };
    redact(app, requester, room_id, redacts, massaged, content, txn).await
}

async fn redact_event(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_id, txn_id)): Segments<(OwnedRoomId, OwnedEventId, String)>,
    Params(massaged): Params<Massaged>,
    OptionalJson(body): OptionalJson<Box<RawValue>>,
) -> ApiResult<Reply<Value>> {
    app.throttle_user(Limit::Message, &requester)?;
    let txn = txn_key(&requester, format!("redact/{room_id}/{event_id}"), txn_id);
    redact(&app, &requester, room_id, event_id, massaged, content(body)?, Some(txn)).await
}

async fn redact_event_once(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_id)): Segments<(OwnedRoomId, OwnedEventId)>,
    Params(massaged): Params<Massaged>,
    OptionalJson(body): OptionalJson<Box<RawValue>>,
) -> ApiResult<Reply<Value>> {
    app.throttle_user(Limit::Message, &requester)?;
    redact(&app, &requester, room_id, event_id, massaged, content(body)?, None).await
}

async fn redact(
    app: &AppState,
    requester: &Requester,
    room_id: OwnedRoomId,
    redacts: OwnedEventId,
    massaged: Massaged,
    content: Box<RawValue>,
    txn: Option<TxnKey>,
) -> ApiResult<Reply<Value>> {
    let append = Append {
        room_id,
        sender: requester.user_id.clone(),
        event_type: TimelineEventType::RoomRedaction,
        state_key: None,
        content,
        origin_server_ts: massaged.timestamp(requester),
        redacts: Some(redacts),
        txn,
    };
    Ok(sent(&app.rooms.append(append).await?))
}

async fn set_state(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_type)): Segments<(OwnedRoomId, TimelineEventType)>,
    Params(massaged): Params<Massaged>,
    Json(body): Json<Box<RawValue>>,
) -> ApiResult<Reply<Value>> {
    put_state(&app, &requester, room_id, event_type, String::new(), massaged, body).await
}

async fn set_state_with_key(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_type, state_key)): Segments<(OwnedRoomId, TimelineEventType, String)>,
    Params(massaged): Params<Massaged>,
    Json(body): Json<Box<RawValue>>,
) -> ApiResult<Reply<Value>> {
    put_state(&app, &requester, room_id, event_type, state_key, massaged, body).await
}

async fn put_state(
    app: &AppState,
    requester: &Requester,
    room_id: OwnedRoomId,
    event_type: TimelineEventType,
    state_key: String,
    massaged: Massaged,
    body: Box<RawValue>,
) -> ApiResult<Reply<Value>> {
    app.throttle_user(Limit::Message, requester)?;
    let content = content(body)?;
    if event_type == TimelineEventType::RoomMember {
        before_membership(app, requester, &room_id, &state_key, &content).await?;
    }
    if event_type == TimelineEventType::RoomCanonicalAlias {
        check_aliases(app, requester, &room_id, &content)?;
    }
    let about_guests = event_type == TimelineEventType::RoomGuestAccess;
    let append = Append {
        room_id: room_id.clone(),
        sender: requester.user_id.clone(),
        event_type,
        state_key: Some(state_key),
        content,
        origin_server_ts: massaged.timestamp(requester),
        redacts: None,
        txn: None,
    };
    let event_id = app.rooms.append(append).await?;
    if about_guests {
        app.send_guests_away(&room_id).await?;
    }
    Ok(sent(&event_id))
}

/// Guests join only where they may. Application services make those who are invited by a state event, as by an invitation.
async fn before_membership(
    app: &AppState,
    requester: &Requester,
    room_id: &RoomId,
    state_key: &str,
    content: &RawValue,
) -> ApiResult<()> {
    #[derive(Deserialize)]
    struct Membership {
        membership: Option<String>,
    }
    let Membership { membership } =
        serde_json::from_str(content.get()).map_err(|_| ApiError::bad_json("membership is not a string"))?;
    let user_id = OwnedUserId::try_from(state_key)
        .map_err(|_| ApiError::bad_json("the state key of a member event is a user ID"))?;
    match membership.as_deref() {
        Some("invite") => invitee(app, &user_id).await.map(drop),
        Some("join") => app.may_join_as_guest(requester, room_id),
        _ => Ok(()),
    }
}

/// Canonical aliases have to lead to the room. Those that were there before are left in peace.
fn check_aliases(
    app: &AppState,
    requester: &Requester,
    room_id: &RoomId,
    content: &RawValue,
) -> ApiResult<()> {
    #[derive(Default, Deserialize)]
    struct Aliases {
        alias: Option<String>,
        #[serde(default)]
        alt_aliases: Vec<String>,
    }
    let new: Aliases = serde_json::from_str(content.get())
        .map_err(|_| ApiError::bad_json("alias is a string, alt_aliases a list of strings"))?;
    let before = app.state_content(room_id, &StateEventType::RoomCanonicalAlias, "")?;
    let before: Aliases =
        before.and_then(|content| serde_json::from_str(content.get()).ok()).unwrap_or_default();
    let kept = |alias: &String| before.alias.as_ref() == Some(alias) || before.alt_aliases.contains(alias);
    for alias in new.alias.iter().chain(&new.alt_aliases).filter(|alias| !kept(alias)) {
        if alias.is_empty() {
            continue;
        }
        let alias =
            RoomAliasId::parse(alias).map_err(|_| ApiError::invalid_param("an alias is not valid"))?;
        let leads_here = app.directory.resolve(&alias).is_some_and(|target| target.room_id == room_id);
        if !leads_here {
            tracing::debug!(%room_id, user_id = %requester.user_id, "a canonical alias does not lead to its room");
            return Err(ApiError::bad_alias("the alias does not lead to this room"));
        }
    }
    Ok(())
}
