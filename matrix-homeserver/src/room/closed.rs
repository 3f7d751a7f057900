//! Rooms that administrators have closed.

use std::{collections::HashMap, fmt};

use parking_lot::RwLock;
use ruma::{OwnedRoomId, OwnedUserId, RoomId};
use serde::{Deserialize, Serialize};

use super::RoomError;
use crate::store::{KeyBuf, Store, StoreError, Tree, WriteSet, key};

/// What an administrator has said about a room, which need not exist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Closure {
    /// Who has said that nobody comes in any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blocked_by: Option<OwnedUserId>,
    /// For everybody it is as if there was no such room.
    #[serde(default)]
    pub(crate) deleted: bool,
}

/// The rooms that are closed, in memory and on disk.
pub(crate) struct ClosedRooms {
    store: Store,
    rooms: RwLock<HashMap<OwnedRoomId, Closure>>,
    changing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for ClosedRooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClosedRooms").field("count", &self.rooms.read().len()).finish_non_exhaustive()
    }
}

impl ClosedRooms {
    pub(super) fn open(store: Store) -> Result<Self, StoreError> {
        let mut rooms = HashMap::new();
        for row in store.scan_prefix(Tree::Room, key(["closed"])) {
            let (row_key, row) = row?;
            let room_id = KeyBuf::read(&row_key).and_then(|[_, room_id]| OwnedRoomId::try_from(room_id).ok());
            let closure = room_id.zip(serde_json::from_slice(&row).ok());
            let (room_id, closure) = closure.ok_or_else(|| StoreError::damaged("a closed room"))?;
            rooms.insert(room_id, closure);
        }
        Ok(Self { store, rooms: RwLock::new(rooms), changing: tokio::sync::Mutex::default() })
    }

    /// What was said about a room.
    pub(crate) fn of(&self, room_id: &RoomId) -> Closure {
        self.rooms.read().get(room_id).cloned().unwrap_or_default()
    }

    /// Whether it is as if there was no such room.
    pub(crate) fn is_deleted(&self, room_id: &RoomId) -> bool {
        self.rooms.read().get(room_id).is_some_and(|closure| closure.deleted)
    }

    /// Refuses that somebody comes into a room that is closed.
    pub(super) fn check_entry(&self, room_id: &RoomId) -> Result<(), RoomError> {
        match self.rooms.read().get(room_id) {
            Some(closure) if closure.deleted => Err(RoomError::NotFound("there is no such room")),
            Some(closure) if closure.blocked_by.is_some() => {
                Err(RoomError::forbidden("this room is blocked on this server"))
            }
            _ => Ok(()),
        }
    }

    /// Changes what is said about a room.
    pub(crate) async fn change(
        &self,
        room_id: &RoomId,
        change: impl FnOnce(&mut Closure),
    ) -> Result<(), StoreError> {
        let _one = self.changing.lock().await;
        let mut closure = self.of(room_id);
        change(&mut closure);
        let is_open = closure == Closure::default();
        let row_key = key(["closed", room_id.as_str()]);
        let mut writes = WriteSet::new();
        if is_open {
            writes.delete(Tree::Room, row_key);
        } else {
            let row = serde_json::to_vec(&closure).expect("a closure is made of a text and a flag");
            writes.put(Tree::Room, row_key, row);
        }
        self.store.commit(writes).await?;
        let mut rooms = self.rooms.write();
        if is_open {
            rooms.remove(room_id);
        } else {
            rooms.insert(room_id.to_owned(), closure);
        }
        Ok(())
    }
}
