//! [Room upgrades](https://spec.matrix.org/v1.19/client-server-api/#room-upgrades).

use axum::{extract::State, routing::post};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, RoomVersionId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    state_res::events::RoomCreateEvent,
};
use serde::Deserialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::{ApiError, ApiResult, AppState, Json, Reply, Requester, Routes, Segments};
use crate::{
    homeserver::Limit,
    room::{
        Append, CreateRoom, InitialState, JsonObject, MembershipAction, MembershipChange, Preset, Room, Rooms,
    },
};

/// The state that moves with a room.
const MOVED: [StateEventType; 9] = [
    StateEventType::RoomServerAcl,
    StateEventType::RoomEncryption,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomGuestAccess,
    StateEventType::RoomHistoryVisibility,
    StateEventType::RoomJoinRules,
    StateEventType::RoomCanonicalAlias,
];

pub(super) fn routes() -> Routes {
    Routes::new().v3("/rooms/{room_id}/upgrade", post(upgrade_room))
}

#[derive(Debug, Deserialize)]
struct Body {
    new_version: String,
    #[serde(default)]
    additional_creators: Vec<OwnedUserId>,
}

async fn upgrade_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Json(body): Json<Body>,
) -> ApiResult<Reply<Value>> {
    app.throttle_user(Limit::Join, &requester)?;
    let version = RoomVersionId::try_from(body.new_version.as_str())
        .ok()
        .filter(|version| Rooms::supported_versions().contains(version))
        .ok_or_else(|| {
            ApiError::unsupported_room_version("this server does not make rooms of this version")
        })?;
    let room = app.joined_room(&room_id, &requester.user_id)?;
    if !app.may_send(&room_id, &requester.user_id, &TimelineEventType::from("m.room.tombstone"))? {
        return Err(ApiError::forbidden("you may not upgrade this room"));
    }
    let mut request = successor(&app, &requester, &room, version, &body.additional_creators)?;
    let levels = with_power_for(&requester, &mut request);
    let replacement = app.rooms.create(request).await?;
    let tombstone = json!({"body": "This room has been replaced", "replacement_room": replacement});
    set_state(&app, &requester, &room_id, "m.room.tombstone", &tombstone).await?;
    copy_bans(&app, &requester, &room, &replacement).await;
    if let Some(levels) = levels {
        set_state(&app, &requester, &replacement, "m.room.power_levels", &levels.into()).await?;
    }
    move_canonical_alias(&app, &requester, &room_id).await;
    move_listing(&app, &room_id, &replacement).await?;
    quieten(&app, &requester, &room_id).await;
    app.take_along(&requester.user_id, &replacement).await?;
    Ok(Reply(json!({"replacement_room": replacement})))
}

/// The room that takes the place of another, with its state.
fn successor(
    app: &AppState,
    requester: &Requester,
    room: &Room,
    version: RoomVersionId,
    additional_creators: &[OwnedUserId],
) -> ApiResult<CreateRoom> {
    let room_id = &room.room_id;
    let mut creation_content: JsonObject =
        read(app, room_id, &StateEventType::RoomCreate)?.unwrap_or_default();
    for replaced in ["creator", "room_version", "additional_creators", "predecessor"] {
        creation_content.remove(replaced);
    }
    let mut predecessor = json!({"room_id": room_id});
    if let Some(last) = room.view().extremities.first() {
        predecessor["event_id"] = last.event.event_id.as_str().into();
    }
    creation_content.insert("predecessor".to_owned(), predecessor);
    let privileged =
        version.rules().is_some_and(|rules| rules.authorization.explicitly_privilege_room_creators);
    if privileged && !additional_creators.is_empty() {
        creation_content.insert("additional_creators".to_owned(), json!(additional_creators));
    }
    let mut initial_state = Vec::new();
    for kind in MOVED {
        if let Some(content) = app.state_content(room_id, &kind, "")? {
            let event_type = TimelineEventType::from(kind.to_string());
            initial_state.push(InitialState { event_type, state_key: String::new(), content });
        }
    }
    for child in app.rooms.current_state_of_type(room_id, &StateEventType::SpaceChild)? {
        let state_key = child.pdu.state_key.clone().unwrap_or_default();
        // A child without content was taken out of the space.
        if child.pdu.content.get() != "{}" {
            let (event_type, content) = (child.pdu.event_type.clone(), child.pdu.content.clone());
            initial_state.push(InitialState { event_type, state_key, content });
        }
    }
    let levels = successor_levels(app, requester, room, privileged, additional_creators)?;
    Ok(CreateRoom {
        creator: requester.user_id.clone(),
        creator_profile: app.member_content(&requester.user_id)?,
        version: Some(version),
        preset: Preset::PrivateChat,
        creation_content,
        power_level_content_override: levels,
        initial_state,
        name: None,
        topic: None,
        alias: None,
        invite: Vec::new(),
        is_direct: false,
        room_id: None,
        origin_server_ts: None,
        txn: None,
    })
}

/// The power levels of a room for the one that takes its place.
///
/// Creators stand above all levels in some versions ([version 12]). From there to an older version they get a level that
/// lets them do everything; the other way they lose theirs, as it must be.
///
/// [version 12]: https://spec.matrix.org/v1.19/rooms/v12/
fn successor_levels(
    app: &AppState,
    requester: &Requester,
    room: &Room,
    privileged: bool,
    additional_creators: &[OwnedUserId],
) -> ApiResult<JsonObject> {
    let mut levels: JsonObject =
        read(app, &room.room_id, &StateEventType::RoomPowerLevels)?.unwrap_or_default();
    let were_privileged = room.rules.authorization.explicitly_privilege_room_creators;
    if privileged && let Some(users) = levels.get_mut("users").and_then(Value::as_object_mut) {
        users.retain(|user_id, _| {
            user_id != requester.user_id.as_str() && !additional_creators.iter().any(|other| other == user_id)
        });
    }
    if were_privileged && !privileged {
        let highest = highest_level(&levels);
        let users = levels.entry("users").or_insert_with(|| json!({}));
        let create = app.rooms.current_state_event(&room.room_id, &StateEventType::RoomCreate, "")?;
        if let (Some(users), Some(create)) = (users.as_object_mut(), create) {
            let creators = RoomCreateEvent::new(&*create.pdu).creators(&room.rules.authorization);
            for creator in creators.unwrap_or_default() {
                users.insert(creator.into(), highest.into());
            }
        }
    }
    Ok(levels)
}

/// Gives who makes the new room the power to do so, in versions where being its creator does not. Returns the levels
/// that are to hold once the room is made, if they are others.
fn with_power_for(requester: &Requester, request: &mut CreateRoom) -> Option<JsonObject> {
    let rules = request.version.as_ref().and_then(RoomVersionId::rules)?;
    if rules.authorization.explicitly_privilege_room_creators {
        return None;
    }
    let levels = request.power_level_content_override.clone();
    let needed = highest_level(&levels);
    let users = request.power_level_content_override.entry("users").or_insert_with(|| json!({}));
    let has = users[requester.user_id.as_str()].as_i64();
    let has = has.or_else(|| levels.get("users_default")?.as_i64()).unwrap_or(0);
    if has >= needed {
        return None;
    }
    users.as_object_mut()?.insert(requester.user_id.to_string(), needed.into());
    Some(levels)
}

/// What lets its holder do everything: the highest level that power levels ask for, at least 100.
fn highest_level(levels: &JsonObject) -> i64 {
    let events = levels.get("events").and_then(Value::as_object);
    let asked = levels.iter().filter(|(name, _)| *name != "users").chain(events.into_iter().flatten());
    asked.filter_map(|(_, level)| level.as_i64()).fold(100, i64::max)
}

fn read(app: &AppState, room_id: &RoomId, kind: &StateEventType) -> ApiResult<Option<JsonObject>> {
    let content = app.state_content(room_id, kind, "")?;
    Ok(content.and_then(|content| serde_json::from_str(content.get()).ok()))
}

async fn set_state(
    app: &AppState,
    requester: &Requester,
    room_id: &RoomId,
    kind: &str,
    content: &Value,
) -> ApiResult<()> {
    let content: Box<RawValue> = to_raw_value(content).expect("a value is JSON");
    let append = Append {
        room_id: room_id.to_owned(),
        sender: requester.user_id.clone(),
        event_type: TimelineEventType::from(kind),
        state_key: Some(String::new()),
        content,
        origin_server_ts: None,
        redacts: None,
        txn: None,
    };
    app.rooms.append(append).await?;
    Ok(())
}

/// Who was banned stays banned, as far as the upgrading user may ban.
async fn copy_bans(app: &AppState, requester: &Requester, room: &Room, replacement: &RoomId) {
    for (user_id, member) in &room.view().members {
        if member.membership != MembershipState::Ban {
            continue;
        }
        let ban = MembershipChange {
            room_id: replacement.to_owned(),
            sender: requester.user_id.clone(),
            target: user_id.clone(),
            action: MembershipAction::Ban,
            content: JsonObject::new(),
            origin_server_ts: None,
            txn: None,
        };
        if let Err(error) = app.rooms.membership(ban).await {
            tracing::warn!(room_id = %replacement, %user_id, %error, "a ban did not move with its room");
        }
    }
}

/// The old room is not called by an alias any more that leads to the new one.
async fn move_canonical_alias(app: &AppState, requester: &Requester, room_id: &RoomId) {
    if !matches!(app.state_content(room_id, &StateEventType::RoomCanonicalAlias, ""), Ok(Some(_))) {
        return;
    }
    if let Err(error) = set_state(app, requester, room_id, "m.room.canonical_alias", &json!({})).await {
        tracing::debug!(%room_id, %error, "an upgraded room keeps its canonical alias");
    }
}

/// Aliases and the place in the public list move, too.
async fn move_listing(app: &AppState, room_id: &RoomId, replacement: &RoomId) -> ApiResult<()> {
    app.directory.move_aliases(room_id, replacement).await?;
    if app.directory.is_listed(room_id) {
        app.directory.list(replacement, true).await?;
        app.directory.list(room_id, false).await?;
    }
    app.appservices.room_was_renamed(room_id);
    app.appservices.room_was_renamed(replacement);
    Ok(())
}

/// Only those with some power speak and invite in the old room from now on, where its rules let the upgrading user say
/// so.
async fn quieten(app: &AppState, requester: &Requester, room_id: &RoomId) {
    let Ok(Some(mut levels)) = read(app, room_id, &StateEventType::RoomPowerLevels) else { return };
    let level = |levels: &JsonObject, name| levels.get(name).and_then(Value::as_i64).unwrap_or(0);
    let quiet = level(&levels, "users_default").saturating_add(1).max(50);
    for name in ["events_default", "invite"] {
        let raised = level(&levels, name).max(quiet);
        levels.insert(name.to_owned(), raised.into());
    }
    if let Err(error) = set_state(app, requester, room_id, "m.room.power_levels", &levels.into()).await {
        tracing::debug!(%room_id, %error, "an upgraded room stays as open as it was");
    }
}
