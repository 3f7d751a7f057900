//! Who is typing where ([typing notifications](https://spec.matrix.org/v1.19/client-server-api/#typing-notifications)).
//! In memory only: it is over in seconds.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};

use crate::store::{Position, Store, StoreError, WriteSet};

/// The longest that one notification lasts.
const MAX_TIMEOUT: Duration = Duration::from_mins(2);

pub(crate) struct Typing {
    store: Store,
    rooms: Mutex<HashMap<OwnedRoomId, Room>>,
    /// Told of every room in which somebody starts or stops.
    listener: OnceLock<Listener>,
}

type Listener = Box<dyn Fn(&RoomId) + Send + Sync>;

#[derive(Debug, Default)]
struct Room {
    /// Who types, and which of their notifications counts.
    users: BTreeMap<OwnedUserId, u64>,
    notifications: u64,
    changed: Position,
}

impl Typing {
    pub(super) fn new(store: Store) -> Arc<Self> {
        Arc::new(Self { store, rooms: Mutex::default(), listener: OnceLock::new() })
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
        let (typing, changed) = (self.clone(), room_id.to_owned());
        writes.on_commit(move |position| {
            typing.rooms.lock().entry(changed).or_default().changed = position;
        });
        let (typing, room_id) = (self.clone(), room_id.to_owned());
        writes.on_visible(move |_| {
            if let Some(listener) = typing.listener.get() {
                listener(&room_id);
            }
        });
        self.store.commit(writes).await.map(drop)
    }

    /// Calls back, quickly, when somebody starts or stops. The first listener is the only one.
    pub(crate) fn listen(&self, listener: impl Fn(&RoomId) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    /// Who types in a room.
    pub(crate) fn now(&self, room_id: &RoomId) -> Vec<OwnedUserId> {
        self.rooms.lock().get(room_id).map(|room| room.users.keys().cloned().collect()).unwrap_or_default()
    }

    /// Who types in a room, if that changed after this position.
    pub(crate) fn changed_since(&self, room_id: &RoomId, after: Position) -> Option<Vec<OwnedUserId>> {
        let rooms = self.rooms.lock();
        let room = rooms.get(room_id).filter(|room| room.changed > after)?;
        Some(room.users.keys().cloned().collect())
    }
}

impl fmt::Debug for Typing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typing").field("rooms", &self.rooms.lock().len()).finish_non_exhaustive()
    }
}
