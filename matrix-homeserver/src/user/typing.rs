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
use tokio::task::AbortHandle;

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
    users: BTreeMap<OwnedUserId, Typist>,
    notifications: u64,
    changed: Position,
}

/// Somebody who types.
#[derive(Debug)]
struct Typist {
    /// Which of the notifications counts.
    number: u64,
    /// What ends it. There is one at a time, however often a client says that somebody types.
    timer: AbortHandle,
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
        let is_news = {
            let mut rooms = self.rooms.lock();
            let room = rooms.entry(room_id.to_owned()).or_default();
            room.notifications += 1;
            let number = room.notifications;
            let timer = self.end_later(room_id, user_id, number, timeout.min(MAX_TIMEOUT));
            match room.users.insert(user_id.to_owned(), Typist { number, timer }) {
                Some(before) => {
                    before.timer.abort();
                    false
                }
                None => true,
            }
        };
        if is_news {
            self.publish(room_id).await?;
        }
        Ok(is_news)
    }

    fn end_later(
        self: &Arc<Self>,
        room_id: &RoomId,
        user_id: &UserId,
        number: u64,
        timeout: Duration,
    ) -> AbortHandle {
        let (typing, room_id, user_id) = (Arc::downgrade(self), room_id.to_owned(), user_id.to_owned());
        let timer = tokio::spawn(async move {
            tokio::time::sleep(timeout).await;
            if let Some(typing) = typing.upgrade() {
                let _ = typing.end(&room_id, &user_id, Some(number)).await;
            }
        });
        timer.abort_handle()
    }

    /// The user has stopped typing. True if that is news.
    pub(crate) async fn stop(
        self: &Arc<Self>,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<bool, StoreError> {
        self.end(room_id, user_id, None).await
    }

    /// Ends a notification, unless a newer one took its place. With a number by its timer, without by the user.
    async fn end(
        self: &Arc<Self>,
        room_id: &RoomId,
        user_id: &UserId,
        number: Option<u64>,
    ) -> Result<bool, StoreError> {
        let ended = {
            let mut rooms = self.rooms.lock();
            rooms.get_mut(room_id).and_then(|room| {
                let counts = |current: &Typist| number.is_none_or(|number| number == current.number);
                if room.users.get(user_id).is_some_and(counts) { room.users.remove(user_id) } else { None }
            })
        };
        let Some(ended) = ended else { return Ok(false) };
        if number.is_none() {
            ended.timer.abort();
        }
        self.publish(room_id).await?;
        Ok(true)
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

#[cfg(test)]
mod tests {
    use ruma::{room_id, user_id};

    use super::*;

    #[tokio::test]
    async fn one_timer_is_enough_for_somebody_who_types_on() {
        let typing = Typing::new(Store::temporary().unwrap());
        let (room, alice) = (room_id!("!r:hs.test"), user_id!("@alice:hs.test"));
        let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        for round in 0..100 {
            assert_eq!(typing.start(room, alice, MAX_TIMEOUT).await.unwrap(), round == 0);
        }
        assert!(typing.stop(room, alice).await.unwrap());
        assert!(typing.start(room, alice, MAX_TIMEOUT).await.unwrap());
        // Those that were ended go when it is their turn.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before + 1);
        typing.start(room, alice, Duration::from_millis(1)).await.unwrap();
        while !typing.now(room).is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!typing.stop(room, alice).await.unwrap());
    }
}
