//! Who waits for something to happen.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use ruma::{OwnedUserId, UserId};
use tokio::sync::{Notify, futures::Notified};

use super::live::RoomState;

/// The users with a request that waits, and how to wake it.
///
/// A waiting request costs one entry, however many rooms its user is in. Whoever waits registers first, looks
/// second and waits last, so nothing that happens in between is missed.
#[derive(Default)]
pub(crate) struct Wakers {
    waiting: RwLock<HashMap<OwnedUserId, (usize, Arc<Notify>)>>,
    /// For those who look at a room that they are not in.
    rooms: Notify,
    closed: AtomicBool,
}

/// A registration, until it is dropped.
pub(crate) struct Waiting<'a> {
    wakers: &'a Wakers,
    user_id: OwnedUserId,
    notify: Arc<Notify>,
}

impl Wakers {
    /// Registers a user.
    pub(crate) fn register(&self, user_id: &UserId) -> Waiting<'_> {
        let mut waiting = self.waiting.write();
        let (count, notify) = waiting.entry(user_id.to_owned()).or_default();
        *count += 1;
        Waiting { wakers: self, user_id: user_id.to_owned(), notify: notify.clone() }
    }

    /// Wakes a user.
    pub(crate) fn wake(&self, user_id: &UserId) {
        if let Some((_, notify)) = self.waiting.read().get(user_id) {
            notify.notify_waiters();
        }
    }

    /// A future that resolves when something happens in any room after this call.
    pub(crate) fn in_any_room(&self) -> Notified<'_> {
        self.rooms.notified()
    }

    /// Wakes everybody in a room, by whichever is shorter: the list of its members or of those who wait.
    pub(crate) fn wake_room(&self, room: &RoomState) {
        self.rooms.notify_waiters();
        let waiting = self.waiting.read();
        if waiting.len() < room.members.len() {
            for (user_id, (_, notify)) in &*waiting {
                if room.members.contains_key(user_id) {
                    notify.notify_waiters();
                }
            }
        } else {
            for user_id in room.members.keys() {
                if let Some((_, notify)) = waiting.get(user_id) {
                    notify.notify_waiters();
                }
            }
        }
    }

    /// Wakes everybody for good, when the server stops.
    pub(crate) fn close(&self) {
        // Before anybody is woken, and before those look who are only about to wait.
        self.closed.store(true, Ordering::Release);
        self.rooms.notify_waiters();
        for (_, notify) in self.waiting.read().values() {
            notify.notify_waiters();
        }
    }

    /// How many requests wait.
    pub(crate) fn requests(&self) -> usize {
        self.waiting.read().values().map(|(count, _)| count).sum()
    }

    /// Whether the server stops: nothing is worth waiting for any more.
    pub(crate) fn are_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

impl Waiting<'_> {
    /// A future that resolves when the user is woken after this call, even if before the first poll.
    pub(crate) fn notified(&self) -> Notified<'_> {
        self.notify.notified()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.wakers.waiting.write();
        if let Some((count, _)) = waiting.get_mut(&self.user_id) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.user_id);
            }
        }
    }
}

impl fmt::Debug for Wakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakers").field("waiting", &self.waiting.read().len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}
