//! Rooms as their users see them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, UInt, UserId,
    server_name,
};
use serde_json::{Value, json, value::RawValue};

use super::*;
use crate::{
    event::{ClientFormat, ServerKey},
    store::{Position, Store, WriteSet},
};

mod crash;
mod creating;
mod forks;
mod graphs;
mod history;
mod members;
mod seam;
mod sending;
mod threads;
mod times;
mod versions;

/// Takes no part.
struct NoObserver;

impl RoomObserver for NoObserver {
    fn stage(&self, _staged: &Staged<'_>, _writes: &mut WriteSet) {}

    fn committed(&self, _room_id: &RoomId, _position: Position) {}
}

/// A server without its HTTP part.
pub(crate) struct Fixture {
    pub(crate) rooms: Rooms,
    pub(crate) store: Store,
}

pub(crate) fn user(name: &str) -> OwnedUserId {
    OwnedUserId::try_from(format!("@{name}:hs.test")).unwrap()
}

pub(crate) fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is not an object"),
    }
}

pub(crate) fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

/// A clock that moves on by a second whenever it is looked at.
pub(crate) fn clock() -> Clock {
    let now = AtomicU64::new(1_700_000_000_000);
    Arc::new(move || {
        let now = now.fetch_add(1000, Ordering::Relaxed);
        MilliSecondsSinceUnixEpoch(UInt::try_from(now).unwrap())
    })
}

/// Users who ignore nobody and are remembered.
struct NoPolicies;

impl super::UserPolicies for NoPolicies {
    fn ignored_by(
        &self,
        _: &ruma::UserId,
    ) -> Result<Arc<std::collections::HashSet<OwnedUserId>>, crate::store::StoreError> {
        Ok(Arc::default())
    }

    fn is_erased(&self, _: &ruma::UserId) -> Result<bool, crate::store::StoreError> {
        Ok(false)
    }
}

/// Keeps the store from writing anything until what is returned is dropped.
fn hold(store: &Store) -> std::sync::mpsc::Sender<()> {
    let (go, wait) = std::sync::mpsc::channel();
    let (there, arrived) = std::sync::mpsc::channel();
    let mut set = WriteSet::new();
    set.on_commit(move |_| {
        there.send(()).unwrap();
        let _ = wait.recv();
    });
    drop(store.stage(set));
    arrived.recv().unwrap();
    go
}

pub(crate) fn rooms_in(store: Store) -> Rooms {
    let key =
        ServerKey::from_der(server_name!("hs.test").to_owned(), &ServerKey::generate(), "a_test").unwrap();
    let config = RoomsConfig {
        key,
        default_version: RoomVersionId::V12,
        clock: clock(),
        policies: Arc::new(NoPolicies),
    };
    Rooms::new(store, config, Arc::new(NoObserver)).unwrap()
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let store = Store::temporary().unwrap();
        Self { rooms: rooms_in(store.clone()), store }
    }

    pub(crate) fn request(creator: &str) -> CreateRoom {
        CreateRoom {
            creator: user(creator),
            creator_profile: JsonObject::new(),
            version: None,
            preset: Preset::PublicChat,
            creation_content: JsonObject::new(),
            power_level_content_override: JsonObject::new(),
            initial_state: Vec::new(),
            name: None,
            topic: None,
            alias: None,
            invite: Vec::new(),
            is_direct: false,
            room_id: None,
            origin_server_ts: None,
            txn: None,
        }
    }

    /// A public room.
    pub(crate) async fn room(&self, creator: &str) -> OwnedRoomId {
        self.rooms.create(Self::request(creator)).await.unwrap()
    }

    pub(crate) async fn room_of_version(&self, creator: &str, version: RoomVersionId) -> OwnedRoomId {
        let request = CreateRoom { version: Some(version), ..Self::request(creator) };
        self.rooms.create(request).await.unwrap()
    }

    pub(crate) fn message(room_id: &OwnedRoomId, sender: &str, body: &str) -> Append {
        Append {
            room_id: room_id.clone(),
            sender: user(sender),
            event_type: "m.room.message".into(),
            state_key: None,
            content: raw(&json!({ "msgtype": "m.text", "body": body })),
            origin_server_ts: None,
            redacts: None,
            txn: None,
        }
    }

    pub(crate) async fn send(
        &self,
        room_id: &OwnedRoomId,
        sender: &str,
        body: &str,
    ) -> Result<OwnedEventId, RoomError> {
        self.rooms.append(Self::message(room_id, sender, body)).await
    }

    pub(crate) async fn set_state(
        &self,
        room_id: &OwnedRoomId,
        sender: &str,
        event_type: &str,
        content: Value,
    ) -> Result<OwnedEventId, RoomError> {
        let append = Append {
            event_type: event_type.into(),
            state_key: Some(String::new()),
            content: raw(&content),
            ..Self::message(room_id, sender, "")
        };
        self.rooms.append(append).await
    }

    pub(crate) async fn change(
        &self,
        room_id: &OwnedRoomId,
        sender: &str,
        action: MembershipAction,
        target: &str,
    ) -> Result<OwnedEventId, RoomError> {
        let change = MembershipChange {
            room_id: room_id.clone(),
            sender: user(sender),
            target: user(target),
            action,
            content: JsonObject::new(),
            origin_server_ts: None,
            txn: None,
        };
        self.rooms.membership(change).await
    }

    pub(crate) async fn join(&self, room_id: &OwnedRoomId, name: &str) -> Result<OwnedEventId, RoomError> {
        self.change(room_id, name, MembershipAction::Join, name).await
    }

    /// The bodies that somebody sees, the newest first.
    pub(crate) fn bodies(&self, room_id: &OwnedRoomId, viewer: &str) -> Vec<String> {
        let filter =
            RoomEventFilter { types: Some(vec!["m.room.message".to_owned()]), ..RoomEventFilter::default() };
        let viewer_id = user(viewer);
        let page = self
            .rooms
            .messages(room_id, &viewer_of(&viewer_id), back(&filter))
            .map(|messages| messages.chunk)
            .unwrap_or_default();
        page.iter().map(|event| value(event)["content"]["body"].as_str().unwrap_or("?").to_owned()).collect()
    }

    /// One state event, as somebody sees it.
    pub(crate) fn state_of(&self, room_id: &OwnedRoomId, viewer: &str, event_type: &str, key: &str) -> Value {
        let event = self.rooms.state_event(room_id, &user(viewer), &event_type.into(), key).unwrap();
        event.map_or(Value::Null, |event| serde_json::from_str(event.pdu.content.get()).unwrap())
    }
}

pub(crate) fn viewer_of(user_id: &UserId) -> Viewer<'_> {
    Viewer { user_id, device_id: None, format: ClientFormat::Full }
}

pub(crate) fn back(filter: &RoomEventFilter) -> timeline::PageRequest<'_> {
    timeline::PageRequest { from: None, to: None, direction: Direction::Backward, limit: 1000, filter }
}

pub(crate) fn value(event: &RawValue) -> Value {
    serde_json::from_str(event.get()).unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "asserted on what was just returned")]
pub(crate) fn is_forbidden<T>(result: Result<T, RoomError>) -> bool {
    matches!(result, Err(RoomError::Forbidden(_)))
}
