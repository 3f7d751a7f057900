//! [Sending events to a room](https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room) and redacting
//! them.

use axum::{
    extract::State,
    routing::{post, put},
};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId, UInt,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    ApiError, ApiResult, AppState, Json, OptionalJson, Params, Reply, Requester, Routes, Segments,
    create_room::invitee, read,
};
use crate::{
    homeserver::Limit,
    room::{Append, JsonObject, MembershipAction, MembershipChange, TxnKey},
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
    let content = content(body)?;
    if event_type == TimelineEventType::RoomMember {
        return put_membership(app, requester, room_id, &state_key, massaged, &content).await;
    }
    app.throttle_user(Limit::Message, requester)?;
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

/// A membership that is changed by its state event is changed as by any other request: guests join only where they may,
/// application services make those who are invited, restricted rooms ask the server who may join, and the limits are the
/// same.
async fn put_membership(
    app: &AppState,
    requester: &Requester,
    room_id: OwnedRoomId,
    state_key: &str,
    massaged: Massaged,
    content: &RawValue,
) -> ApiResult<Reply<Value>> {
    let content: JsonObject =
        serde_json::from_str(content.get()).map_err(|_| ApiError::bad_json("the content is no object"))?;
    let target = OwnedUserId::try_from(state_key)
        .map_err(|_| ApiError::bad_json("the state key of a member event is a user ID"))?;
    let own = target == requester.user_id;
    let action = match content.get("membership").and_then(Value::as_str) {
        Some("join") => MembershipAction::Join,
        Some("invite") => MembershipAction::Invite,
        Some("knock") => MembershipAction::Knock,
        Some("ban") => MembershipAction::Ban,
        Some("leave") if own => MembershipAction::Leave,
        Some("leave") if app.rooms.membership_of(&room_id, &target)? == Some(MembershipState::Ban) => {
            MembershipAction::Unban
        }
        Some("leave") => MembershipAction::Kick,
        _ => return Err(ApiError::bad_json("membership is not one that a user can have")),
    };
    match action {
        MembershipAction::Invite => {
            app.throttle_user(Limit::Invite, requester)?;
            invitee(app, &target).await?;
        }
        MembershipAction::Join => {
            app.throttle_user(Limit::Join, requester)?;
            app.may_join_as_guest(requester, &room_id)?;
        }
        MembershipAction::Knock => app.throttle_user(Limit::Join, requester)?,
        _ => app.throttle_user(Limit::Message, requester)?,
    }
    let was_there = app.rooms.membership_of(&room_id, &target)? == Some(MembershipState::Join);
    let change = MembershipChange {
        room_id: room_id.clone(),
        sender: requester.user_id.clone(),
        target,
        action,
        content,
        origin_server_ts: massaged.timestamp(requester),
        txn: None,
    };
    let event_id = app.rooms.membership(change).await?;
    if action == MembershipAction::Join && !was_there {
        app.take_along(&requester.user_id, &room_id).await?;
    }
    Ok(sent(&event_id))
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
