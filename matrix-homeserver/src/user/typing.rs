//! Who is typing where ([typing notifications](https://spec.matrix.org/v1.19/client-server-api/#typing-notifications)).
//! In memory only: it is over in seconds.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::store::{Position, Store, StoreError, WriteSet};

/// The longest that one notification lasts.
const MAX_TIMEOUT: Duration = Duration::from_mins(2);

#[derive(Debug)]
pub(crate) struct Typing {
    store: Store,
    rooms: Mutex<HashMap<OwnedRoomId, Room>>,
}

#[derive(Debug, Default)]
struct Room {
    /// Who types, and which of their notifications counts.
    users: BTreeMap<OwnedUserId, u64>,
    notifications: u64,
    changed: Position,
}

impl Typing {
    pub(super) fn new(store: Store) -> Arc<Self> {
        Arc::new(Self { store, rooms: Mutex::default() })
    }

    /// The user types, for at most this long. True if that is news.
    pub(crate) async fn start(
        self: &Arc<Self>,
        room_id: &RoomId,
        user_id: &UserId,
        timeout: Duration,
    ) -> Result<bool, StoreError> {
        let (number, is_news) = {
            let mut rooms = self.rooms.lock();
            let room = rooms.entry(room_id.to_owned()).or_default();
            room.notifications += 1;
            (room.notifications, room.users.insert(user_id.to_owned(), room.notifications).is_none())
        };
        if is_news {
            self.publish(room_id).await?;
        }
        let (typing, room_id, user_id) = (Arc::downgrade(self), room_id.to_owned(), user_id.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(timeout.min(MAX_TIMEOUT)).await;
            if let Some(typing) = typing.upgrade() {
                let _ = typing.end(&room_id, &user_id, Some(number)).await;
            }
        });
        Ok(is_news)
    }

    /// The user has stopped typing. True if that is news.
    pub(crate) async fn stop(
        self: &Arc<Self>,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<bool, StoreError> {
        self.end(room_id, user_id, None).await
    }

    /// Ends a notification, unless a newer one took its place.
    async fn end(
        self: &Arc<Self>,
        room_id: &RoomId,
        user_id: &UserId,
        number: Option<u64>,
    ) -> Result<bool, StoreError> {
        let ended = {
            let mut rooms = self.rooms.lock();
            rooms.get_mut(room_id).is_some_and(|room| {
                let counts = |current: &u64| number.is_none_or(|number| number == *current);
                room.users.get(user_id).is_some_and(counts) && room.users.remove(user_id).is_some()
            })
        };
        if ended {
            self.publish(room_id).await?;
        }
        Ok(ended)
    }

    /// Takes a position in the stream for what has changed, which wakes those who wait.
    async fn publish(self: &Arc<Self>, room_id: &RoomId) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        writes.positioned(|_, _| {});
        let (typing, room_id) = (self.clone(), room_id.to_owned());
        writes.on_commit(move |position| {
            typing.rooms.lock().entry(room_id).or_default().changed = position;
        });
        self.store.commit(writes).await.map(drop)
    }

    /// Who types in a room, if that changed after this position.
    pub(crate) fn changed_since(&self, room_id: &RoomId, after: Position) -> Option<Vec<OwnedUserId>> {
        let rooms = self.rooms.lock();
        let room = rooms.get(room_id).filter(|room| room.changed > after)?;
        Some(room.users.keys().cloned().collect())
    }
}
