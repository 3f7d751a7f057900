//! How far users have read ([receipts](https://spec.matrix.org/v1.19/client-server-api/#receipts)).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{now_ms, parse_row};
use crate::store::{Position, Store, StoreError, Tree, WriteSet, key};

/// The kind of receipt that only its own user sees.
pub(crate) const PRIVATE: &str = "m.read.private";

/// One receipt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) user_id: OwnedUserId,
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread_id: Option<String>,
    pub(crate) event_id: OwnedEventId,
    pub(crate) ts: u64,
    #[serde(default)]
    position: u64,
}

impl Receipt {
    pub(crate) fn new(
        user_id: &UserId,
        kind: &str,
        event_id: OwnedEventId,
        thread_id: Option<String>,
    ) -> Self {
        let (user_id, kind) = (user_id.to_owned(), kind.to_owned());
        Self { user_id, kind, thread_id, event_id, ts: now_ms(), position: 0 }
    }

    fn replaces(&self, other: &Self) -> bool {
        self.user_id == other.user_id && self.kind == other.kind && self.thread_id == other.thread_id
    }

    /// Whether others see it.
    pub(crate) fn is_public(&self) -> bool {
        self.kind != PRIVATE
    }

    fn visible_to(&self, viewer: Option<&UserId>) -> bool {
        self.is_public() || viewer == Some(&self.user_id)
    }
}

type Rooms = HashMap<OwnedRoomId, Vec<Receipt>>;

/// The newest receipt of every user, kind and thread, room by room. Rooms are read from the store when first asked for.
#[derive(Debug)]
pub(crate) struct Receipts {
    store: Store,
    rooms: Arc<Mutex<Rooms>>,
}

impl Receipts {
    pub(super) fn new(store: Store) -> Self {
        Self { store, rooms: Arc::default() }
    }

    /// Keeps a receipt in the place of the one before it, and calls `then` when readers can see it.
    pub(crate) async fn set(
        &self,
        room_id: &RoomId,
        receipt: Receipt,
        then: impl FnOnce() + Send + 'static,
    ) -> Result<(), StoreError> {
        self.load(room_id)?;
        let mut writes = WriteSet::new();
        let thread = receipt.thread_id.as_deref().unwrap_or_default();
        let row_key = key(["receipt", room_id.as_str(), receipt.user_id.as_str(), &receipt.kind, thread]);
        let mut row = receipt.clone();
        writes.positioned(move |position, rows| {
            row.position = position.0;
            let row = serde_json::to_vec(&row).expect("a receipt is plain text and numbers");
            rows.put(Tree::Edge, row_key, row);
        });
        let (rooms, room_id) = (self.rooms.clone(), room_id.to_owned());
        writes.on_commit(move |position| {
            let mut rooms = rooms.lock();
            let room = rooms.entry(room_id).or_default();
            room.retain(|other| !receipt.replaces(other));
            room.push(Receipt { position: position.0, ..receipt });
        });
        writes.on_visible(move |_| then());
        self.store.commit(writes).await.map(drop)
    }

    /// The content of an `m.receipt` with what changed after one position and not after another, as far as the
    /// viewer may see it. Without a viewer: what everybody may see.
    pub(crate) fn content_between(
        &self,
        room_id: &RoomId,
        viewer: Option<&UserId>,
        after: Position,
        until: Position,
    ) -> Result<Option<Value>, StoreError> {
        self.load(room_id)?;
        let rooms = self.rooms.lock();
        let room = rooms.get(room_id).map(Vec::as_slice).unwrap_or_default();
        let fresh = room.iter().filter(|receipt| {
            receipt.position > after.0 && receipt.position <= until.0 && receipt.visible_to(viewer)
        });
        Ok(content(fresh))
    }

    /// The newest event that a user has read in a room, by receipts of these kinds.
    pub(crate) fn latest(&self, room_id: &RoomId, user_id: &UserId) -> Result<Vec<Receipt>, StoreError> {
        self.load(room_id)?;
        let rooms = self.rooms.lock();
        let room = rooms.get(room_id).map(Vec::as_slice).unwrap_or_default();
        Ok(room.iter().filter(|receipt| receipt.user_id == user_id).cloned().collect())
    }

    fn load(&self, room_id: &RoomId) -> Result<(), StoreError> {
        if self.rooms.lock().contains_key(room_id) {
            return Ok(());
        }
        let mut found = Vec::new();
        for row in self.store.scan_prefix(Tree::Edge, key(["receipt", room_id.as_str()])) {
            found.push(parse_row::<Receipt>(&row?.1)?);
        }
        self.rooms.lock().entry(room_id.to_owned()).or_insert(found);
        Ok(())
    }
}

/// Receipts in the form of an event: event, kind, user.
pub(crate) fn content<'a>(receipts: impl Iterator<Item = &'a Receipt>) -> Option<Value> {
    let mut events = Map::new();
    for receipt in receipts {
        let mut about = json!({"ts": receipt.ts});
        if let Some(thread_id) = &receipt.thread_id {
            about["thread_id"] = thread_id.as_str().into();
        }
        let event = events.entry(receipt.event_id.as_str()).or_insert_with(|| json!({}));
        event[&receipt.kind][receipt.user_id.as_str()] = about;
    }
    (!events.is_empty()).then_some(Value::Object(events))
}

/// Takes the receipts of some users out of the form that [`content`] gives.
pub(super) fn without(content: &mut Value, users: &HashSet<OwnedUserId>) {
    let Some(events) = content.as_object_mut() else { return };
    for kinds in events.values_mut().filter_map(Value::as_object_mut) {
        for receipts in kinds.values_mut().filter_map(Value::as_object_mut) {
            receipts.retain(|user_id, _| !users.iter().any(|ignored| ignored == user_id));
        }
        kinds.retain(|_, receipts| receipts.as_object().is_some_and(|receipts| !receipts.is_empty()));
    }
    events.retain(|_, kinds| kinds.as_object().is_some_and(|kinds| !kinds.is_empty()));
}
