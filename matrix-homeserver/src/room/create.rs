//! Making a room ([createRoom]).
//!
//! [createRoom]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom

use std::sync::Arc;

use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UInt,
    events::TimelineEventType, room_version_rules::RoomVersionRules,
};
use serde_json::{json, value::RawValue};

use super::{
    CreateRoom, InitialState, JsonObject, Known, Preset, RoomError, Rooms, TxnKey,
    live::{Authorities, Head, Room, RoomState},
    load,
    membership::as_raw,
    write::{Proposal, Signed},
};
use crate::{
    event::{Draft, canonical_content},
    rules,
    store::{StoreError, WriteSet},
};

/// How often an ID is tried that turns out to be taken.
const ATTEMPTS: usize = 1000;
/// The most creators that a room has beside the one who makes it.
const MAX_ADDITIONAL_CREATORS: usize = 10;

impl Preset {
    fn join_rule(self) -> &'static str {
        match self {
            Self::PublicChat => "public",
            Self::PrivateChat | Self::TrustedPrivateChat => "invite",
        }
    }

    fn guest_access(self) -> &'static str {
        match self {
            Self::PublicChat => "forbidden",
            Self::PrivateChat | Self::TrustedPrivateChat => "can_join",
        }
    }

    /// The power that inviting takes.
    fn invite(self) -> i64 {
        match self {
            Self::PublicChat => 50,
            Self::PrivateChat | Self::TrustedPrivateChat => 0,
        }
    }
}

impl Rooms {
    /// Makes a room with everything that it is to start with: all of it or nothing.
    ///
    /// # Errors
    /// If the version is not supported, or something that the room is to start with is not valid or not
    /// allowed.
    pub(crate) async fn create(&self, request: CreateRoom) -> Result<OwnedRoomId, RoomError> {
        let version = request.version.clone().unwrap_or_else(|| self.default_version().clone());
        let unsupported = || RoomError::UnsupportedVersion(version.to_string());
        if !Self::supported_versions().contains(&version) {
            return Err(unsupported());
        }
        let rules = version.rules().ok_or_else(unsupported)?;
        let mut created = request.origin_server_ts.unwrap_or_else(|| self.now());
        for _ in 0..ATTEMPTS {
            if let Some(room_id) = self.try_create(&request, created, &version, &rules).await? {
                return Ok(room_id);
            }
            // An ID that is a hash is taken when the creator makes the same room within a millisecond.
            created.0 = created.0.saturating_add(UInt::from(1_u32));
        }
        Err(RoomError::BadState("there is a room with this ID".to_owned()))
    }

    /// The room that a request with this transaction ID has made, if there was one.
    pub(crate) async fn created_before(&self, txn: &TxnKey) -> Result<Option<OwnedRoomId>, RoomError> {
        let generation = self.inner.store.generation();
        let room_id = match self.inner.transactions.lookup(txn)? {
            Known::No => return Ok(None),
            Known::Answered(room_id) => room_id,
            Known::InFlight(room_id) => {
                self.inner.store.stage_barrier(generation).await?;
                room_id
            }
        };
        let room_id = room_id.try_into();
        room_id.map(Some).map_err(|_| StoreError::damaged("the answer to a request").into())
    }

    /// Makes a room, if there is none with its ID.
    async fn try_create(
        &self,
        request: &CreateRoom,
        created: MilliSecondsSinceUnixEpoch,
        version: &RoomVersionId,
        rules: &RoomVersionRules,
    ) -> Result<Option<OwnedRoomId>, RoomError> {
        let generation = self.inner.store.generation();
        let head = Head { generation, state: RoomState::empty(), authorities: Authorities::default() };
        let (signed, room_id) = self.create_event(request, created, version, rules)?;
        let number = self.inner.store.event_number();
        let room = Arc::new(Room::new(room_id.clone(), number, version.clone(), rules.clone(), head));
        let pending = {
            let mut guard = room.writer.lock().await;
            let head = &mut *guard;
            let mut set = WriteSet::new();
            let mut after = head.state.clone();
            load::put_room(&mut set, &room_id, number);
            self.insert(&room, head, &mut after, signed, &mut set)?;
            self.furnish(&room, head, &mut after, request, &mut set)?;
            let mut rooms = self.inner.rooms.write();
            if rooms.contains_key(&room_id) || load::exists(&self.inner.store, &room_id)? {
                return Ok(None);
            }
            rooms.insert(room_id.clone(), room.clone());
            drop(rooms);
            if let Some(txn) = &request.txn {
                self.inner.transactions.record(txn, room_id.as_str(), &mut set);
            }
            self.stage(&room, head, after, set)
        };
        match pending.await {
            Ok(_) => Ok(Some(room_id)),
            Err(error) => {
                self.inner.rooms.write().remove(&room_id);
                Err(error.into())
            }
        }
    }

    /// The event that a room starts with, and the room's ID.
    fn create_event(
        &self,
        request: &CreateRoom,
        created: MilliSecondsSinceUnixEpoch,
        version: &RoomVersionId,
        rules: &RoomVersionRules,
    ) -> Result<(Signed, OwnedRoomId), RoomError> {
        let auth = &rules.authorization;
        let mut content = request.creation_content.clone();
        content.insert("room_version".to_owned(), version.as_str().into());
        if auth.use_room_create_sender {
            content.remove("creator");
        } else {
            content.insert("creator".to_owned(), request.creator.as_str().into());
        }
        if auth.additional_room_creators && request.preset == Preset::TrustedPrivateChat {
            add_creators(&mut content, request)?;
        }
        let room_id = match (&request.room_id, auth.room_create_event_id_as_room_id) {
            (_, true) => None,
            (Some(room_id), false) => Some(room_id.clone()),
            (None, false) => Some(RoomId::new_v1(self.server_name())),
        };
        let content: CanonicalJsonObject = canonical_content(&as_raw(&content)?)?;
        let draft = Draft {
            room_id,
            sender: request.creator.clone(),
            event_type: TimelineEventType::RoomCreate,
            state_key: Some(String::new()),
            content,
            origin_server_ts: created,
            redacts: None,
            prev_events: Vec::new(),
            auth_events: Vec::new(),
            depth: 1,
        };
        let (pdu, json) = draft.sign(rules, self.key())?;
        rules::check_auth_events(rules, &pdu, |_| None)
            .map_err(|denied| RoomError::InvalidRoomState(denied.0))?;
        let room_id = pdu.room_id.clone();
        Ok((Signed { pdu, json, sent_by: None, before: super::StateTree::default() }, room_id))
    }

    /// Adds what follows the create event, in the order that the specification gives.
    fn furnish(
        &self,
        room: &Arc<Room>,
        head: &mut Head,
        after: &mut RoomState,
        request: &CreateRoom,
        set: &mut WriteSet,
    ) -> Result<(), RoomError> {
        let mut profile = request.creator_profile.clone();
        profile.insert("membership".to_owned(), "join".into());
        let creator = request.creator.as_str();
        let mut events = vec![state("m.room.member", creator, as_raw(&profile)?)];
        let mut rest = request.initial_state.clone();
        // What is given takes the place of the default, and is sent where the default would be.
        let mut or_default = |event_type: &str, default: serde_json::Value| {
            let given = rest
                .iter()
                .position(|given| given.state_key.is_empty() && given.event_type.to_string() == event_type);
            match given {
                Some(at) => Ok(rest.remove(at)),
                None => Ok::<_, RoomError>(state(event_type, "", raw(&default)?)),
            }
        };
        events.push(or_default("m.room.power_levels", power_levels(request, &room.rules))?);
        if let Some(alias) = &request.alias {
            events.push(or_default("m.room.canonical_alias", json!({ "alias": alias }))?);
        }
        events.push(or_default("m.room.join_rules", json!({ "join_rule": request.preset.join_rule() }))?);
        events.push(or_default("m.room.history_visibility", json!({ "history_visibility": "shared" }))?);
        events.push(or_default(
            "m.room.guest_access",
            json!({ "guest_access": request.preset.guest_access() }),
        )?);
        events.append(&mut rest);
        if let Some(name) = &request.name {
            events.push(state("m.room.name", "", raw(&json!({ "name": name }))?));
        }
        if let Some(topic) = &request.topic {
            let rich = json!({ "topic": topic, "m.topic": { "m.text": [{ "body": topic }] } });
            events.push(state("m.room.topic", "", raw(&rich)?));
        }
        for (user_id, profile) in &request.invite {
            events.push(state("m.room.member", user_id.as_str(), invitation(profile, request.is_direct)?));
        }
        for InitialState { event_type, state_key, content } in events {
            let proposal = Proposal {
                sender: request.creator.clone(),
                event_type,
                state_key: Some(state_key),
                content,
                origin_server_ts: request.origin_server_ts,
                redacts: None,
                sent_by: None,
            };
            self.add(room, head, after, proposal, set).map_err(|error| match error {
                RoomError::Forbidden(reason) => RoomError::InvalidRoomState(reason),
                error => error,
            })?;
        }
        Ok(())
    }
}

fn state(event_type: &str, state_key: &str, content: Box<RawValue>) -> InitialState {
    InitialState { event_type: event_type.into(), state_key: state_key.to_owned(), content }
}

fn raw(content: &serde_json::Value) -> Result<Box<RawValue>, RoomError> {
    serde_json::value::to_raw_value(content).map_err(|error| RoomError::BadJson(error.to_string()))
}

fn invitation(profile: &JsonObject, is_direct: bool) -> Result<Box<RawValue>, RoomError> {
    let mut content = profile.clone();
    content.insert("membership".to_owned(), "invite".into());
    if is_direct {
        content.insert("is_direct".to_owned(), true.into());
    }
    as_raw(&content)
}

/// Makes the invited users creators, in a room of equals ([trusted private chat]).
///
/// [trusted private chat]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom
fn add_creators(content: &mut JsonObject, request: &CreateRoom) -> Result<(), RoomError> {
    let given = content.remove("additional_creators").unwrap_or_else(|| json!([]));
    let mut creators: Vec<OwnedUserId> = serde_json::from_value(given)
        .map_err(|_| RoomError::BadJson("additional_creators is not a list of user IDs".to_owned()))?;
    for (user_id, _) in &request.invite {
        if !creators.contains(user_id) && *user_id != request.creator {
            creators.push(user_id.clone());
        }
    }
    if creators.len() > MAX_ADDITIONAL_CREATORS {
        return Err(RoomError::InvalidParam(format!(
            "a room has at most {MAX_ADDITIONAL_CREATORS} additional creators"
        )));
    }
    if !creators.is_empty() {
        content.insert("additional_creators".to_owned(), json!(creators));
    }
    Ok(())
}

/// The power levels of a new room. What is given replaces the default field by field.
fn power_levels(request: &CreateRoom, rules: &RoomVersionRules) -> serde_json::Value {
    let creators_are_privileged = rules.authorization.explicitly_privilege_room_creators;
    let mut users = JsonObject::new();
    if !creators_are_privileged {
        users.insert(request.creator.to_string(), 100.into());
        if request.preset == Preset::TrustedPrivateChat {
            users.extend(request.invite.iter().map(|(user_id, _)| (user_id.to_string(), 100.into())));
        }
    }
    // An upgrade takes a room out of use; only creators do that where they stand above all.
    let tombstone = if creators_are_privileged { 150 } else { 100 };
    let mut levels = json!({
        "users": users,
        "users_default": 0,
        "events": {
            "m.room.avatar": 50,
            "m.room.canonical_alias": 50,
            "m.room.encryption": 100,
            "m.room.history_visibility": 100,
            "m.room.name": 50,
            "m.room.power_levels": 100,
            "m.room.server_acl": 100,
            "m.room.tombstone": tombstone,
        },
        "events_default": 0,
        "state_default": 50,
        "ban": 50,
        "kick": 50,
        "redact": 50,
        "invite": request.preset.invite(),
    });
    if let Some(levels) = levels.as_object_mut() {
        levels.extend(request.power_level_content_override.clone());
    }
    levels
}
