//! Which rooms a user is in.

use std::{collections::HashMap, fmt};

use imbl::OrdMap;
use parking_lot::RwLock;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use serde::{Deserialize, Serialize};

use crate::store::{KeyBuf, Position, Store, StoreError, Tree, key};

/// A room that a user has or had to do with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserRoom {
    pub(crate) membership: MembershipState,
    /// The member event.
    pub(crate) number: u64,
    /// Where the member event is.
    pub(crate) position: Position,
    /// The user has left and does not want to know of the room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) forgotten: bool,
}

/// The rooms of one user.
pub(crate) type RoomsOfUser = OrdMap<OwnedRoomId, UserRoom>;

/// The rooms of every user: rows in the store; of users who were asked for, also in memory.
pub(crate) struct UserRooms {
    store: Store,
    users: RwLock<HashMap<OwnedUserId, RoomsOfUser>>,
}

/// The row of a user's room.
pub(super) fn row_key(user_id: &UserId, room_id: &RoomId) -> KeyBuf {
    key(["user", user_id.as_str(), room_id.as_str()])
}

impl UserRooms {
    pub(super) fn new(store: Store) -> Self {
        Self { store, users: RwLock::default() }
    }

    /// The rooms that a user has or had to do with.
    pub(crate) fn of(&self, user_id: &UserId) -> Result<RoomsOfUser, StoreError> {
        if let Some(rooms) = self.users.read().get(user_id) {
            return Ok(rooms.clone());
        }
        // Read under the lock: an update either finds the entry, or its row was there to be read.
        let mut users = self.users.write();
        if let Some(rooms) = users.get(user_id) {
            return Ok(rooms.clone());
        }
        let mut rooms = OrdMap::new();
        for row in self.store.scan_prefix(Tree::Member, key(["user", user_id.as_str()])) {
            let (key, value) = row?;
            let read = KeyBuf::read(&key).and_then(|[_, _, room_id]| OwnedRoomId::try_from(room_id).ok());
            let room_id = read.ok_or_else(|| StoreError::damaged("the key of a membership"))?;
            rooms.insert(room_id, decode(&value)?);
        }
        users.insert(user_id.to_owned(), rooms.clone());
        Ok(rooms)
    }

    /// One room of a user.
    pub(crate) fn get(&self, user_id: &UserId, room_id: &RoomId) -> Result<Option<UserRoom>, StoreError> {
        Ok(self.of(user_id)?.get(room_id).cloned())
    }

    /// Takes over what was written.
    pub(super) fn update(&self, user_id: &UserId, room_id: &RoomId, room: UserRoom) {
        if let Some(rooms) = self.users.write().get_mut(user_id) {
            rooms.insert(room_id.to_owned(), room);
        }
    }
}

/// The value of a user's room.
pub(super) fn encode(room: &UserRoom) -> Vec<u8> {
    serde_json::to_vec(room).expect("a membership is made of texts and numbers")
}

fn decode(row: &[u8]) -> Result<UserRoom, StoreError> {
    serde_json::from_slice(row).map_err(|_| StoreError::damaged("a membership"))
}

impl fmt::Debug for UserRooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRooms").finish_non_exhaustive()
    }
}
