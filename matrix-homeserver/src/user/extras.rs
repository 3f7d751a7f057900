//! What `/sync` tells of a user beside rooms.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt::Display,
    sync::Arc,
};

use ruma::{DeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::{DeviceListTracker, PUSH_RULES, Scope, UnreadCounter, Users, rules_content};
use crate::{
    room::{Move, RoomError, Rooms},
    store::Position,
    sync::{DeviceLists, KeyCounts, SyncExtras, Unread, Window},
};

/// Reads for `/sync` from the services about users.
#[derive(Debug)]
pub(crate) struct Extras {
    pub(crate) users: Arc<Users>,
    pub(crate) rooms: Rooms,
    pub(crate) unread: Arc<UnreadCounter>,
    pub(crate) device_lists: Arc<DeviceListTracker>,
}

impl Extras {
    fn data(&self, user_id: &UserId, scope: Scope<'_>, window: Window) -> Vec<Box<RawValue>> {
        let found = self.users.account_data_between(user_id, scope, since(window), window.upto);
        let found = or_log(found).unwrap_or_default();
        found.iter().map(|(kind, content)| raw(&json!({"type": kind, "content": content}))).collect()
    }
}

impl Extras {
    /// Those who came into a room of the viewer's, or whom the viewer found when coming into one.
    fn newly_shared(&self, viewer: &UserId, window: Window) -> Result<BTreeSet<OwnedUserId>, RoomError> {
        let mut newly = BTreeSet::new();
        for (room_id, mine) in &self.rooms.of_user(viewer)? {
            if mine.membership != MembershipState::Join {
                continue;
            }
            let Some(room) = self.rooms.get(room_id)? else { continue };
            let moves = self.rooms.moves_since(&room, since(window))?;
            if moves.iter().any(|moved| moved.user_id == viewer) {
                newly.extend(room.view().joined_members().map(ToOwned::to_owned));
            } else {
                newly.extend(moves.into_iter().filter(Move::came).map(|moved| moved.user_id));
            }
        }
        newly.remove(viewer);
        Ok(newly)
    }
}

impl SyncExtras for Extras {
    fn account_data(&self, user_id: &UserId, window: Window) -> Vec<Box<RawValue>> {
        let mut events = self.data(user_id, Scope::Global, window);
        // Who has never changed the rules has no row, but clients wait for them at first.
        let unchanged = window.since.is_none()
            && !self
                .users
                .account_data(user_id, Scope::Global, PUSH_RULES)
                .is_ok_and(|rules| rules.is_some());
        if unchanged && let Some(rules) = or_log(self.users.push_rules(user_id)) {
            events.push(raw(&json!({"type": PUSH_RULES, "content": rules_content(&rules)})));
        }
        events
    }

    fn room_account_data(&self, user_id: &UserId, room_id: &RoomId, window: Window) -> Vec<Box<RawValue>> {
        self.data(user_id, Scope::Room(room_id), window)
    }

    fn receipts(&self, room_id: &RoomId, viewer: &UserId, window: Window) -> Option<Box<RawValue>> {
        let receipts = self.users.receipts_seen_by(viewer, room_id, since(window), window.upto);
        or_log(receipts).flatten().map(|content| raw(&content))
    }

    fn typing(&self, room_id: &RoomId, viewer: &UserId, window: Window) -> Option<Vec<OwnedUserId>> {
        let typing = or_log(self.users.typing_seen_by(viewer, room_id, since(window))).flatten()?;
        // That nobody types is only news to those who thought otherwise.
        if window.since.is_none() && typing.is_empty() { None } else { Some(typing) }
    }

    fn presence(&self, viewer: &UserId, window: Window) -> Vec<Box<RawValue>> {
        let changed = self.users.presence.changed_between(since(window), window.upto);
        let visible = |user_id: &UserId| {
            user_id == viewer
                || self.users.presence.lists.may_see(viewer, user_id)
                || self.rooms.shares_room(viewer, user_id).unwrap_or(false)
        };
        let mut told: BTreeMap<OwnedUserId, Value> =
            changed.into_iter().filter(|(user_id, _)| visible(user_id)).collect();
        if window.since.is_some() {
            let newly = or_log(self.newly_shared(viewer, window)).unwrap_or_default();
            told.extend(self.users.presence.of_those(&newly));
        }
        told.into_iter()
            .map(|(user_id, content)| {
                raw(&json!({"type": "m.presence", "sender": user_id, "content": content}))
            })
            .collect()
    }

    fn to_device(
        &self,
        user_id: &UserId,
        device_id: Option<&DeviceId>,
        window: Window,
    ) -> Vec<(Position, Box<RawValue>)> {
        let Some(device_id) = device_id else { return Vec::new() };
        or_log(self.users.to_device.receive(user_id, device_id, window)).unwrap_or_default()
    }

    fn device_lists(&self, user_id: &UserId, window: Window) -> DeviceLists {
        or_log(self.device_lists.between(user_id, window)).unwrap_or_default()
    }

    fn key_counts(&self, user_id: &UserId, device_id: Option<&DeviceId>) -> KeyCounts {
        let Some(device_id) = device_id else { return KeyCounts::default() };
        or_log(self.users.keys.counts(user_id, device_id)).unwrap_or_default()
    }

    fn unread(&self, user_id: &UserId, room_id: &RoomId) -> Unread {
        or_log(self.unread.count(user_id, room_id)).unwrap_or_default()
    }

    fn direct_rooms(&self, user_id: &UserId) -> HashSet<OwnedRoomId> {
        let data = or_log(self.users.account_data(user_id, Scope::Global, "m.direct")).flatten();
        let by_user = data.and_then(|content| serde_json::from_str::<Value>(content.get()).ok());
        let lists = by_user.as_ref().and_then(Value::as_object).into_iter().flatten();
        let rooms = lists.filter_map(|(_, rooms)| rooms.as_array()).flatten().filter_map(Value::as_str);
        rooms.filter_map(|room_id| OwnedRoomId::try_from(room_id).ok()).collect()
    }

    fn tags(&self, user_id: &UserId, room_id: &RoomId) -> Vec<String> {
        let data = or_log(self.users.account_data(user_id, Scope::Room(room_id), "m.tag")).flatten();
        let content = data.and_then(|content| serde_json::from_str::<Value>(content.get()).ok());
        let tags = content.as_ref().and_then(|content| content["tags"].as_object()).into_iter().flatten();
        tags.map(|(tag, _)| tag.clone()).collect()
    }

    fn ignored_users(&self, user_id: &UserId) -> Vec<OwnedUserId> {
        let ignored = or_log(self.users.ignored(user_id));
        ignored.map(|ignored| ignored.iter().cloned().collect()).unwrap_or_default()
    }
}

fn since(window: Window) -> Position {
    window.since.unwrap_or(Position::ZERO)
}

fn raw(value: &Value) -> Box<RawValue> {
    to_raw_value(value).expect("a value is JSON")
}

/// What could not be read is left out of the answer, and someone must look at the database.
fn or_log<T, E: Display>(read: Result<T, E>) -> Option<T> {
    read.inspect_err(|error| tracing::error!(%error, "a part of a sync could not be read")).ok()
}
