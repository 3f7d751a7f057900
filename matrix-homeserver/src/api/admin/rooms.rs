//! Rooms as administrators see them: the part about rooms of
//! [Synapse's admin API](https://element-hq.github.io/synapse/latest/admin_api/rooms.html).

use std::cmp::Ordering;

use axum::{
    extract::State,
    routing::{get, post},
};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId, events::StateEventType, events::room::member::MembershipState,
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    api::{
        ApiError, ApiResult, AppState, Json, OptionalJson, Params, Reply, Requester, Routes, Segments,
        membership::find_room,
    },
    room::{Append, JsonObject, MembershipAction, MembershipChange, Room},
};

pub(in crate::api) fn routes() -> Routes {
    Routes::new()
        .absolute("/_synapse/admin/v1/rooms", get(list_rooms))
        .absolute("/_synapse/admin/v1/rooms/{room_id}", get(get_room))
        .absolute("/_synapse/admin/v1/rooms/{room_id}/members", get(get_members))
        .absolute("/_synapse/admin/v1/rooms/{room_id}/state", get(get_state))
        .absolute("/_synapse/admin/v1/rooms/{room}/make_room_admin", post(make_room_admin))
        .absolute("/_synapse/admin/v1/join/{room}", post(join_user))
}

fn existing(app: &AppState, room_id: &RoomId) -> ApiResult<std::sync::Arc<Room>> {
    let room = app.rooms.get(room_id)?.filter(|_| !app.rooms.closed().is_deleted(room_id));
    room.ok_or_else(|| ApiError::not_found("there is no such room"))
}

/// What the list tells of a room.
fn summary(app: &AppState, room: &Room) -> ApiResult<Value> {
    let room_id = &room.room_id;
    let view = room.view();
    let field = |kind: StateEventType, name: &str| app.field(room_id, &kind, name);
    let create = app.rooms.current_state_event(room_id, &StateEventType::RoomCreate, "")?;
    let local = view.joined_members().filter(|user_id| app.is_local(user_id)).count();
    Ok(json!({
        "room_id": room_id,
        "name": field(StateEventType::RoomName, "name")?,
        "canonical_alias": field(StateEventType::RoomCanonicalAlias, "alias")?,
        "joined_members": view.joined,
        "joined_local_members": local,
        "version": room.version,
        "creator": create.map(|create| create.pdu.sender.clone()),
        "encryption": field(StateEventType::RoomEncryption, "algorithm")?,
        "federatable": field(StateEventType::RoomCreate, "m.federate")?.is_none_or(|federate| federate != false),
        "public": app.directory.is_listed(room_id),
        "join_rules": field(StateEventType::RoomJoinRules, "join_rule")?,
        "guest_access": field(StateEventType::RoomGuestAccess, "guest_access")?,
        "history_visibility": field(StateEventType::RoomHistoryVisibility, "history_visibility")?,
        "state_events": view.state.entries(app.rooms.store())?.len(),
        "room_type": field(StateEventType::RoomCreate, "type")?,
    }))
}

#[derive(Debug, Deserialize)]
struct List {
    #[serde(default)]
    from: usize,
    limit: Option<usize>,
    order_by: Option<String>,
    dir: Option<String>,
    search_term: Option<String>,
    public_rooms: Option<bool>,
    empty_rooms: Option<bool>,
}

/// The member of a room's summary that a list is ordered by, and whether the largest comes first.
fn order(name: &str) -> ApiResult<(&str, bool)> {
    match name {
        "alphabetical" => Ok(("name", false)),
        "size" => Ok(("joined_members", true)),
        "joined_members" | "joined_local_members" | "version" | "state_events" => Ok((name, true)),
        "name" | "canonical_alias" | "creator" | "encryption" | "federatable" | "public" | "join_rules"
        | "guest_access" | "history_visibility" => Ok((name, false)),
        _ => Err(ApiError::invalid_param("rooms are not ordered by this")),
    }
}

/// The order of two members of summaries. What is missing comes first.
fn compare(one: &Value, other: &Value) -> Ordering {
    let key = |value: &Value| match value {
        Value::Null => (0, 0, String::new()),
        Value::Bool(value) => (1, u64::from(*value), String::new()),
        Value::String(text) => (2, 0, text.clone()),
        value => (3, value.as_u64().unwrap_or(0), String::new()),
    };
    key(one).cmp(&key(other))
}

impl List {
    fn wants(&self, room: &Value) -> bool {
        let searched = self.search_term.as_ref().is_none_or(|term| {
            let lowered = term.to_lowercase();
            let contains = |text: &str| text.to_lowercase().contains(&lowered);
            let localpart = |alias: &str| alias.trim_start_matches('#').split(':').next().map(str::to_owned);
            let alias = room["canonical_alias"].as_str().and_then(localpart);
            room["name"].as_str().is_some_and(contains)
                || alias.as_deref().is_some_and(contains)
                || room["room_id"] == term.as_str()
        });
        searched
            && self.public_rooms.is_none_or(|public| room["public"] == public)
            && self.empty_rooms.is_none_or(|empty| (room["joined_members"] == 0) == empty)
    }
}

async fn list_rooms(
    State(app): State<AppState>,
    requester: Requester,
    Params(list): Params<List>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    if list.search_term.as_deref() == Some("") {
        return Err(ApiError::invalid_param("search_term is empty"));
    }
    let (member, largest_first) = order(list.order_by.as_deref().unwrap_or("name"))?;
    let backwards = match list.dir.as_deref() {
        None | Some("f") => false,
        Some("b") => true,
        Some(_) => return Err(ApiError::invalid_param("dir is b or f")),
    };
    let mut rooms = Vec::new();
    for room_id in app.rooms.all()? {
        if app.rooms.closed().is_deleted(&room_id) {
            continue;
        }
        let room = summary(&app, &*existing(&app, &room_id)?)?;
        if list.wants(&room) {
            rooms.push(room);
        }
    }
    rooms.sort_by(|one, other| {
        let order = compare(&one[member], &other[member]);
        let order = if largest_first == backwards { order } else { order.reverse() };
        order.then_with(|| compare(&one["room_id"], &other["room_id"]))
    });
    let (total, limit) = (rooms.len(), list.limit.unwrap_or(100));
    let end = list.from.saturating_add(limit);
    let page: Vec<Value> = rooms.into_iter().skip(list.from).take(limit).collect();
    let mut reply = json!({"rooms": page, "offset": list.from, "total_rooms": total});
    if end < total {
        reply["next_batch"] = end.into();
    }
    if list.from > 0 {
        reply["prev_batch"] = list.from.saturating_sub(limit).into();
    }
    Ok(Reply(reply))
}

async fn get_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let room = existing(&app, &room_id)?;
    let view = room.view();
    let mut devices = 0;
    for user_id in view.joined_members().filter(|user_id| app.is_local(user_id)) {
        devices += app.users.devices(user_id)?.len();
    }
    let mut forgotten = true;
    for user_id in view.members.keys().filter(|user_id| app.is_local(user_id)) {
        forgotten &= app.rooms.of_user(user_id)?.get(&room_id).is_none_or(|room| room.forgotten);
    }
    let tombstone = app.state_content(&room_id, &StateEventType::RoomTombstone, "")?;
    let mut reply = summary(&app, &room)?;
    reply["avatar"] = json!(app.field(&room_id, &StateEventType::RoomAvatar, "url")?);
    reply["topic"] = json!(app.field(&room_id, &StateEventType::RoomTopic, "topic")?);
    reply["joined_local_devices"] = devices.into();
    reply["forgotten"] = forgotten.into();
    reply["tombstoned"] = tombstone.is_some().into();
    let replacement = app.field(&room_id, &StateEventType::RoomTombstone, "replacement_room")?;
    reply["replacement_room"] = json!(replacement);
    Ok(Reply(reply))
}

async fn get_members(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let view = existing(&app, &room_id)?.view();
    let members: Vec<&UserId> = view.joined_members().collect();
    Ok(Reply(json!({"members": members, "total": members.len()})))
}

#[derive(Debug, Deserialize)]
struct OfType {
    #[serde(rename = "type")]
    kind: Option<String>,
}

async fn get_state(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(OfType { kind }): Params<OfType>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let view = existing(&app, &room_id)?.view();
    let wanted = kind.filter(|kind| !kind.is_empty());
    let state: Vec<Box<RawValue>> = app.rooms.render_state(&view.state, &requester.viewer(), |event| {
        wanted.as_ref().is_none_or(|wanted| event.pdu.event_type.to_string() == *wanted)
    })?;
    Ok(Reply(json!({ "state": state })))
}

#[derive(Debug, Default, Deserialize)]
struct Whom {
    user_id: Option<OwnedUserId>,
}

/// Has a user join a room; the administrator invites first where the room is not public.
async fn join_user(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room): Segments<String>,
    Json(Whom { user_id }): Json<Whom>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let user_id = user_id.ok_or_else(|| ApiError::missing_param("user_id is missing"))?;
    if !app.is_local(&user_id) {
        return Err(ApiError::unknown("the user does not belong to this server"));
    }
    if !app.users.exists(&user_id)? {
        return Err(ApiError::not_found("there is no such user"));
    }
    let room_id = find_room(&app, &room).await?;
    if !is_public(&app, &room_id)? {
        change(&app, &requester.user_id, &user_id, &room_id, MembershipAction::Invite).await?;
    }
    change(&app, &user_id, &user_id, &room_id, MembershipAction::Join).await?;
    app.take_along(&user_id, &room_id).await?;
    Ok(Reply(json!({"room_id": room_id})))
}

fn is_public(app: &AppState, room_id: &RoomId) -> ApiResult<bool> {
    Ok(app.field(room_id, &StateEventType::RoomJoinRules, "join_rule")?.is_some_and(|rule| rule == "public"))
}

pub(super) async fn change(
    app: &AppState,
    sender: &UserId,
    target: &UserId,
    room_id: &RoomId,
    action: MembershipAction,
) -> ApiResult<()> {
    let change = MembershipChange {
        room_id: room_id.to_owned(),
        sender: sender.to_owned(),
        target: target.to_owned(),
        action,
        content: app.member_content(target)?,
        origin_server_ts: None,
        txn: None,
    };
    app.rooms.membership(change).await?;
    Ok(())
}

/// Gives somebody the power of the most powerful member of this server, by that member's hand, and an invitation where
/// one is needed.
async fn make_room_admin(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room): Segments<String>,
    OptionalJson(Whom { user_id }): OptionalJson<Whom>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let user_id = user_id.unwrap_or_else(|| requester.user_id.clone());
    let room_id = find_room(&app, &room).await?;
    let room =
        existing(&app, &room_id).map_err(|_| ApiError::unknown("nobody of this server is in the room"))?;
    let levels = app.state_content(&room_id, &StateEventType::RoomPowerLevels, "")?;
    let mut levels: JsonObject =
        levels.and_then(|levels| serde_json::from_str(levels.get()).ok()).unwrap_or_default();
    let giver = most_powerful(&app, &room, &levels)?
        .ok_or_else(|| ApiError::unknown("no member of this server has the power to share it"))?;
    let users = levels.entry("users").or_insert_with(|| json!({}));
    // Creators of some versions have no level, but all power.
    let level = users[giver.as_str()].as_i64().unwrap_or(100);
    if let Some(users) = users.as_object_mut() {
        users.insert(user_id.to_string(), level.into());
    }
    let event = Append {
        room_id: room_id.clone(),
        sender: giver.clone(),
        event_type: "m.room.power_levels".into(),
        state_key: Some(String::new()),
        content: serde_json::value::to_raw_value(&levels).expect("an object is JSON"),
        origin_server_ts: None,
        redacts: None,
        txn: None,
    };
    app.rooms.append(event).await.map_err(|error| {
        tracing::debug!(%room_id, %error, "power could not be shared");
        ApiError::unknown("no member of this server has the power to share it")
    })?;
    let is_in = matches!(room.membership(&user_id), Some(MembershipState::Join | MembershipState::Invite));
    if !is_in && !is_public(&app, &room_id)? {
        change(&app, &giver, &user_id, &room_id, MembershipAction::Invite).await?;
    }
    Ok(Reply(json!({})))
}

/// The joined user of this server with the most power in a room: a creator, where creators stand above all levels.
fn most_powerful(app: &AppState, room: &Room, levels: &JsonObject) -> ApiResult<Option<OwnedUserId>> {
    let view = room.view();
    let create = app.rooms.current_state_event(&room.room_id, &StateEventType::RoomCreate, "")?;
    let mut candidates: Vec<(i64, OwnedUserId)> = Vec::new();
    for (user_id, level) in levels.get("users").and_then(Value::as_object).into_iter().flatten() {
        let user_id = OwnedUserId::try_from(user_id.as_str()).ok();
        candidates.extend(level.as_i64().zip(user_id));
    }
    let creators_stand_above = room.rules.authorization.explicitly_privilege_room_creators;
    if let Some(create) = create.filter(|_| creators_stand_above || levels.is_empty()) {
        let more = app.field(&room.room_id, &StateEventType::RoomCreate, "additional_creators")?;
        let more: Vec<OwnedUserId> =
            more.and_then(|more| serde_json::from_value(more).ok()).unwrap_or_default();
        candidates.extend(more.into_iter().map(|creator| (i64::MAX, creator)));
        candidates.push((i64::MAX, create.pdu.sender.clone()));
    }
    candidates.retain(|(_, user_id)| app.is_local(user_id) && view.is_joined(user_id));
    Ok(candidates.into_iter().max_by_key(|(level, _)| *level).map(|(_, user_id)| user_id))
}
