//! Portals: rooms tied to chats. Each has a queue of what the network did, and one task that empties it.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Semaphore, SemaphorePermit, watch};

use super::core::{Core, or_report};
use crate::{
    network_id::{LoginId, PortalKey, TxnKey},
    store::{JournalEntry, SendRow},
};

mod from_matrix;
mod from_network;
mod members;
mod room;
mod send;
mod status;

pub(crate) use from_matrix::MatrixEvent;
pub(crate) use room::RoomError;

use members::Members;
use send::InFlight;

/// How many memberships are changed at once, in all portals: messages need the homeserver, too.
const MEMBERSHIPS_AT_ONCE: usize = 16;

/// From how many waiting events on a login that waits for its pushes is held back.
const HOLD_BACK: usize = 512;

/// The portals that are in use. A portal that nothing waits for is not kept: what lasts is in the store.
pub(crate) struct Portals {
    active: Mutex<HashMap<PortalKey, Arc<Portal>>>,
    in_flight: Mutex<HashMap<TxnKey, InFlight>>,
    memberships: Semaphore,
    /// What earlier processes left open, until its login is.
    left_open: Mutex<HashMap<LoginId, Vec<SendRow>>>,
}

impl Default for Portals {
    fn default() -> Self {
        Self {
            active: Mutex::default(),
            in_flight: Mutex::default(),
            memberships: Semaphore::new(MEMBERSHIPS_AT_ONCE),
            left_open: Mutex::default(),
        }
    }
}

/// One portal in use.
pub(crate) struct Portal {
    pub(crate) key: PortalKey,
    queue: Mutex<Queue>,
    waiting: watch::Sender<usize>,
    /// Held while the room is made or changed as a whole.
    making: AsyncMutex<()>,
    /// Held from before an event is sent until it is in the message map: Matrix users may answer an event that
    /// the homeserver has not told the bridge about yet.
    sending: AsyncMutex<()>,
    /// Held while power levels are read and written.
    power: AsyncMutex<()>,
    members: Members,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    /// Whether a task is emptying it.
    running: bool,
}

/// Something that waits in a portal's queue.
pub(crate) struct Entry {
    /// Its number in the journal, unless it is not journalled.
    number: Option<u64>,
    login: LoginId,
    portal: PortalKey,
    entry: JournalEntry,
}

impl Entry {
    pub(crate) fn new(number: Option<u64>, login: LoginId, portal: PortalKey, entry: JournalEntry) -> Self {
        Self { number, login, portal, entry }
    }
}

/// Completes when a portal's queue has room again.
#[must_use = "wait for room, or drop it on purpose"]
pub(crate) struct Room(watch::Receiver<usize>);

impl Room {
    pub(crate) async fn wait(mut self) {
        // The sender is gone when the portal is, and then there is room.
        let _ = self.0.wait_for(|waiting| *waiting < HOLD_BACK).await;
    }
}

impl Portals {
    /// The portal, made active if it is not.
    pub(crate) fn get(&self, key: &PortalKey) -> Arc<Portal> {
        self.active.lock().entry(key.clone()).or_insert_with(|| Arc::new(Portal::new(key.clone()))).clone()
    }

    /// Puts an entry into its portal's queue and starts the task that empties it.
    pub(crate) fn enqueue(&self, core: &Arc<Core>, entry: Entry) -> Room {
        let portal = self.get(&entry.portal);
        let room = Room(portal.waiting.subscribe());
        core.metrics.remote_waiting.inc();
        let mut queue = portal.queue.lock();
        queue.entries.push_back(entry);
        portal.waiting.send_replace(queue.entries.len());
        if !queue.running {
            queue.running = true;
            core.tasks.spawn(Arc::clone(&portal).run(Arc::clone(core)));
        }
        room
    }

    /// Lets go of a portal that nothing waits for.
    fn release(&self, portal: &Arc<Portal>) {
        let mut active = self.active.lock();
        // One hand is the table's, the other the caller's. Nobody can take another while the table is locked.
        if Arc::strong_count(portal) == 2 && !portal.queue.lock().running && portal.members.is_idle() {
            active.remove(&portal.key);
        }
    }

    /// The right to change a membership. `None` is never returned while the bridge runs.
    async fn membership_permit(&self) -> Option<SemaphorePermit<'_>> {
        self.memberships.acquire().await.ok()
    }
}

impl Portal {
    fn new(key: PortalKey) -> Self {
        Self {
            key,
            queue: Mutex::default(),
            waiting: watch::Sender::new(0),
            making: AsyncMutex::default(),
            sending: AsyncMutex::default(),
            power: AsyncMutex::default(),
            members: Members::default(),
        }
    }

    /// Waits until the event that is just being sent, if any, is in the message map.
    async fn wait_for_sending(&self) {
        drop(self.sending.lock().await);
    }

    /// Empties the queue, in order, and ends when it is empty or the bridge stops. What is left then is
    /// still in the journal.
    async fn run(self: Arc<Self>, core: Arc<Core>) {
        loop {
            let entry = {
                let mut queue = self.queue.lock();
                match queue.entries.pop_front() {
                    Some(entry) if !core.shutdown.is_cancelled() => entry,
                    _ => {
                        queue.running = false;
                        break;
                    }
                }
            };
            self.handle_until_settled(&core, entry).await;
            core.metrics.remote_waiting.dec();
            self.waiting.send_replace(self.queue.lock().entries.len());
        }
        core.portals.release(&self);
    }

    /// Handles one entry, as often as it takes: nothing overtakes it, and other portals do not wait.
    async fn handle_until_settled(self: &Arc<Self>, core: &Arc<Core>, entry: Entry) {
        for attempt in 0.. {
            let error = match self.from_network(core, &entry).await {
                Ok(()) => {
                    core.metrics.remote_handled.inc();
                    return;
                }
                Err(error) => error,
            };
            if !error.is_retryable() || entry.number.is_none() {
                core.metrics.remote_failed.inc();
                tracing::error!(portal = %self.key, %error, "an event of the network cannot reach Matrix");
                Self::settle(core, &entry);
                return;
            }
            core.metrics.remote_retries.inc();
            let pause = error.retry_after().unwrap_or_else(|| backoff(attempt));
            tracing::warn!(
                portal = %self.key, %error, attempt, pause = ?pause,
                "an event of the network waits for the homeserver",
            );
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = core.shutdown.cancelled() => return,
            }
        }
    }
}

impl Core {
    /// The portals that a login is in.
    pub(crate) async fn portals_of(&self, login: &LoginId) -> Vec<PortalKey> {
        let Some(record) = or_report(self.store.login(login)) else { return Vec::new() };
        let mut keys = Vec::new();
        for row in or_report(self.store.portals()) {
            let in_it = match (&row.key.receiver, &record.user) {
                (Some(receiver), _) => receiver == login,
                (None, Some(user)) => or_report(self.store.is_room_member(&row.room_id, user)),
                (None, None) => match self.network() {
                    Ok(network) => network.own_login(&row.key).await.as_ref() == Some(login),
                    Err(_) => row.login.as_ref() == Some(login),
                },
            };
            if in_it {
                keys.push(row.key);
            }
        }
        keys
    }
}

/// How long to wait before the next attempt: 100 ms, doubling, at most half a minute.
pub(crate) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.min(8)).min(Duration::from_secs(30))
}
