//! What application services are told of devices: messages to those of their users, whose keys have changed, what is
//! left of the keys of their users' devices.
//!
//! None of it is in the specification yet. It goes under the names of today's proposals, and under those that are in
//! use: [MSC4203] for messages, [MSC3202] for keys. Messages come to those who set `receive_ephemeral`, keys to those
//! who set `org.matrix.msc3202`.
//!
//! [MSC3202]: https://github.com/matrix-org/matrix-spec-proposals/pull/3202
//! [MSC4203]: https://github.com/matrix-org/matrix-spec-proposals/pull/4203

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use matrix_appservice::transaction::DeviceLists;
use ruma::{
    DeviceId, OwnedDeviceId, OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::{Deserialize, Serialize};
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

use super::{
    Appservice, Appservices, NamedRoom, Queues,
    queue::{Waiting, WaitingMessage},
};
use crate::{
    directory::Directory,
    room::{Room, RoomError, Rooms, StoredEvent},
    store::{StoreError, WriteSet},
    sync::Window,
    user::{DeviceObserver, ToDeviceMessage, Users},
};

/// Something of every device of every user.
pub(super) type ByDevice<T> = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, T>>;

/// What one transaction tells of devices.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct DeviceNews {
    pub(super) to_device: Vec<Box<RawValue>>,
    pub(super) lists: DeviceLists,
    pub(super) one_time_keys: ByDevice<BTreeMap<String, u64>>,
    pub(super) fallback_keys: ByDevice<Vec<String>>,
}

impl DeviceNews {
    pub(super) fn is_empty(&self) -> bool {
        self.to_device.is_empty() && self.lists.is_empty() && self.one_time_keys.is_empty()
    }
}

impl Appservice {
    /// Whether it wants to hear of keys.
    pub(super) fn wants_keys(&self) -> bool {
        self.registration.extra.get("org.matrix.msc3202").and_then(Value::as_bool).unwrap_or(false)
    }
}

/// Puts what happens to devices in line for the application services whose users they belong to.
#[derive(Debug)]
pub(crate) struct AppserviceDevices(pub(crate) Arc<Appservices>);

impl DeviceObserver for AppserviceDevices {
    fn message(&self, message: &ToDeviceMessage, writes: &mut WriteSet) {
        for appservice in &self.0.registered.read().all {
            let wants = appservice.link.is_some() && appservice.registration.receive_ephemeral;
            if wants && appservice.may_act_as(&message.user_id) {
                Queues::stage_message(writes, appservice.id(), message);
                appservice.ring_with(writes);
            }
        }
    }

    fn keys_left(&self, user_id: &UserId, device_id: &DeviceId, writes: &mut WriteSet) {
        for appservice in &self.0.registered.read().all {
            let wants = appservice.link.is_some() && appservice.wants_keys();
            if wants && appservice.may_act_as(user_id) {
                Queues::stage_counts(writes, appservice.id(), user_id, device_id);
                appservice.ring_with(writes);
            }
        }
    }
}

impl Appservices {
    /// Somebody's keys have changed: those who want to hear of it look whether it matters to them.
    pub(crate) fn keys_were_changed(&self) {
        for appservice in &self.registered.read().all {
            if appservice.wants_keys() {
                appservice.outgoing.ring();
            }
        }
    }
}

/// Where the rest of a transaction is read.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) rooms: Rooms,
    pub(crate) users: Arc<Users>,
    pub(crate) directory: Arc<Directory>,
}

impl Sources {
    /// What a transaction with these events tells of devices.
    pub(super) fn device_news(
        &self,
        appservice: &Appservice,
        waiting: &Waiting,
    ) -> Result<DeviceNews, StoreError> {
        let mut news = DeviceNews::default();
        for (_, message) in &waiting.messages {
            news.to_device.push(addressed(message)?);
        }
        if !appservice.wants_keys() {
            return Ok(news);
        }
        news.lists = self.device_lists(appservice, waiting).map_err(|error| match error {
            RoomError::Store(error) => error,
            error => StoreError::damaged(error.to_string()),
        })?;
        let receivers = waiting.messages.iter().map(|(_, message)| (&message.user_id, &message.device_id));
        let counted = waiting.counts.iter().map(|(user_id, device_id, _)| (user_id, device_id));
        for (user_id, device_id) in receivers.chain(counted) {
            let counts = self.users.keys.counts(user_id, device_id)?;
            let one_time = news.one_time_keys.entry(user_id.clone()).or_default();
            one_time.insert(device_id.clone(), counts.one_time);
            let fallback = news.fallback_keys.entry(user_id.clone()).or_default();
            fallback.insert(device_id.clone(), counts.unused_fallback);
        }
        Ok(news)
    }

    /// Whose keys the application service has to ask for again, and who matters to it no more: by changes of keys, and
    /// by who came and went in encrypted rooms according to the events of the transaction.
    fn device_lists(&self, appservice: &Appservice, waiting: &Waiting) -> Result<DeviceLists, RoomError> {
        let window = Window { since: Some(waiting.lists_since), upto: waiting.upto };
        let mut changed: BTreeSet<OwnedUserId> = BTreeSet::new();
        for user_id in self.users.keys.changes().between(window) {
            if appservice.may_act_as(&user_id) || self.share_room(appservice, &user_id, false)? {
                changed.insert(user_id);
            }
        }
        let mut went = BTreeSet::new();
        for number in &waiting.events {
            let Some(event) = self.rooms.events().get(*number)? else { continue };
            self.follow(appservice, &event, &mut changed, &mut went)?;
        }
        let mut left = Vec::new();
        for user_id in went {
            if !appservice.may_act_as(&user_id) && !self.share_room(appservice, &user_id, true)? {
                changed.remove(&user_id);
                left.push(user_id.to_string());
            }
        }
        Ok(DeviceLists { changed: changed.iter().map(ToString::to_string).collect(), left })
    }

    /// Takes over who comes and goes by one event.
    fn follow(
        &self,
        appservice: &Appservice,
        event: &StoredEvent,
        came: &mut BTreeSet<OwnedUserId>,
        went: &mut BTreeSet<OwnedUserId>,
    ) -> Result<(), RoomError> {
        let pdu = &event.pdu;
        let begins = pdu.event_type == TimelineEventType::RoomEncryption && pdu.state_key.is_some();
        if !begins && pdu.event_type != TimelineEventType::RoomMember {
            return Ok(());
        }
        let Some(room) = self.rooms.get(&pdu.room_id)? else { return Ok(()) };
        if !self.is_encrypted(&room)? {
            return Ok(());
        }
        let everybody = || room.view().joined_members().map(ToOwned::to_owned).collect::<Vec<_>>();
        if begins {
            came.extend(everybody());
            return Ok(());
        }
        let member = pdu.state_key.as_deref().and_then(|key| OwnedUserId::try_from(key).ok());
        let Some(member) = member else { return Ok(()) };
        let is_in = room.membership(&member) == Some(MembershipState::Join);
        let list = if is_in { came } else { went };
        if appservice.may_act_as(&member) {
            list.extend(everybody());
        }
        list.insert(member);
        Ok(())
    }

    /// Whether one of the application service's users is in a room with somebody.
    fn share_room(
        &self,
        appservice: &Appservice,
        user_id: &UserId,
        encrypted: bool,
    ) -> Result<bool, RoomError> {
        for room_id in self.rooms.joined_rooms(user_id)? {
            let Some(room) = self.rooms.get(&room_id)? else { continue };
            let view = room.view();
            let named = NamedRoom { room_id: &room_id, view: &view, directory: &self.directory };
            if appservice.has_members_in(&room_id, &named) && (!encrypted || self.is_encrypted(&room)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_encrypted(&self, room: &Room) -> Result<bool, RoomError> {
        let event = self.rooms.current_state_event(&room.room_id, &StateEventType::RoomEncryption, "")?;
        Ok(event.is_some())
    }
}

/// The message with whom it is for.
fn addressed(message: &WaitingMessage) -> Result<Box<RawValue>, StoreError> {
    let damaged = || StoreError::damaged("a message to a device");
    let mut event: Map<String, Value> = serde_json::from_str(message.event.get()).map_err(|_| damaged())?;
    event.insert("to_user_id".to_owned(), message.user_id.as_str().into());
    event.insert("to_device_id".to_owned(), message.device_id.as_str().into());
    to_raw_value(&event).map_err(|_| damaged())
}
