//! What must outlive the process: one sled database, written in atomic batches.
//!
//! A batch is applied when [`Store::commit`] or [`Store::apply`] is *called*, so reads see it at once
//! and batches take effect in the order of the calls. On disk they arrive in the same order: whatever a crash
//! leaves is the state after some batch, with every batch before it. `commit` also waits until
//! the batch is flushed; commits that wait at the same time share a flush.

use std::{fmt, path::Path, sync::Arc, thread::JoinHandle, time::Duration};

use parking_lot::{Condvar, Mutex};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

mod key;
mod logins;
mod messages;
mod portals;
mod sends;
#[cfg(test)]
mod tests;

pub(crate) use logins::GhostRow;
pub(crate) use messages::{MessageRow, ReactionTo};
pub(crate) use portals::PortalRow;
pub(crate) use sends::{JournalEntry, JournalRow, SendRow, SendState};

/// How long writes that nobody waits for may stay in memory.
const SOFT_FLUSH: Duration = Duration::from_millis(10);

/// The layout of the rows. A store with another one is refused.
const SCHEMA: &[u8] = b"1";

/// The database of an application service. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// What a row is about. The number is the first byte of its key: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tree {
    /// The layout of the rows.
    Meta = 0,
    /// Transactions with events that are not dealt with.
    Inbox = 1,
    /// How far events of the inbox have come.
    InboxProgress = 2,
    /// Which events have been accepted.
    Seen = 3,
    /// Events that were given up.
    DeadLetters = 4,
    /// What was ensured of users of the application service.
    Identities = 16,
    /// The rooms that users of the application service are in.
    Joined = 17,
    /// Events that wait to be sent.
    Outbox = 18,
    /// Events that were sent, by key.
    Delivered = 19,
    /// Events that the homeserver refused.
    OutboxDead = 20,
    /// Portals by key.
    Portals = 32,
    /// Portal keys by room.
    PortalRooms = 33,
    /// Who is in which room, and the name he shows there.
    RoomMembers = 34,
    /// Where users talk to the bot.
    Management = 35,
    /// Messages by event.
    MessagesByEvent = 36,
    /// Events by message of the network.
    MessagesByRemote = 37,
    /// Events by reaction of the network.
    Reactions = 38,
    /// Requests to the network whose outcome is open.
    Sends = 39,
    /// Confirmations that came before their request was known to be open.
    ConfirmedEarly = 40,
    /// What logins saw.
    Journal = 41,
    /// Logins by identifier.
    Logins = 42,
    /// Ghosts by remote user.
    Ghosts = 43,
    /// What the network stores for itself.
    Network = 44,
}

/// Why the store could not be used.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database or the disk.
    #[error("the database failed")]
    Database(#[source] sled::Error),
    /// A row cannot be read: written by another version, or damaged.
    #[error("a row of {0} cannot be read")]
    Corrupt(String),
    /// The store was written by another version of the program.
    #[error("the store has the layout {found:?}; this version knows {SCHEMA:?}")]
    Schema {
        /// What the store says.
        found: String,
    },
}

impl StoreError {
    pub(crate) fn corrupt(tree: Tree) -> Self {
        Self::Corrupt(format!("{tree:?}"))
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        Self::Database(error)
    }
}

/// A key and its value.
type Row = (Vec<u8>, Vec<u8>);

/// Writes that take effect together or not at all.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    writes: sled::Batch,
    /// sled's batches do not tell.
    has_writes: bool,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        !self.has_writes
    }

    pub(crate) fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) {
        self.has_writes = true;
        self.writes.insert(full_key(tree, key), value);
    }

    pub(crate) fn delete(&mut self, tree: Tree, key: &[u8]) {
        self.has_writes = true;
        self.writes.remove(full_key(tree, key));
    }

    pub(crate) fn put_json<T: Serialize + ?Sized>(&mut self, tree: Tree, key: &[u8], value: &T) {
        // Rows are made of strings, numbers and JSON values, which always serialise.
        let value = serde_json::to_vec(value).expect("rows consist of what JSON can hold");
        self.put(tree, key, &value);
    }
}

struct Inner {
    db: sled::Db,
    shared: Arc<Shared>,
    flusher: Option<JoinHandle<()>>,
}

/// What callers and the flusher share.
#[derive(Default)]
struct Shared {
    requests: Mutex<Requests>,
    wake: Condvar,
}

#[derive(Default)]
struct Requests {
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    dirty: bool,
    stop: bool,
}

impl Store {
    /// Opens the store in a directory, which is made if it does not exist. Only one process can have it open.
    ///
    /// # Errors
    /// If the directory cannot be used, is in use, or was written by another version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::start(sled::Config::new().path(path))
    }

    /// A store in a temporary directory that is removed with it.
    ///
    /// # Errors
    /// If there is no place for it.
    pub fn temporary() -> Result<Self, StoreError> {
        Self::start(sled::Config::new().temporary(true))
    }

    fn start(config: sled::Config) -> Result<Self, StoreError> {
        // Flushing is ours, and a bridge's working set is small.
        let db = config.flush_every_ms(None).cache_capacity(16 * 1024 * 1024).open()?;
        match db.get(full_key(Tree::Meta, b"schema"))? {
            None => drop(db.insert(full_key(Tree::Meta, b"schema"), SCHEMA)?),
            Some(found) if found == SCHEMA => {}
            Some(found) => {
                return Err(StoreError::Schema { found: String::from_utf8_lossy(&found).into_owned() });
            }
        }
        let shared = Arc::new(Shared::default());
        let flusher = std::thread::Builder::new()
            .name("store-flush".to_owned())
            .spawn({
                let (db, shared) = (db.clone(), Arc::clone(&shared));
                move || flush_until_stopped(&db, &shared)
            })
            .map_err(|error| StoreError::Database(error.into()))?;
        Ok(Self { inner: Arc::new(Inner { db, shared, flusher: Some(flusher) }) })
    }

    pub(crate) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.inner.db.get(full_key(tree, key))?.map(|value| value.to_vec()))
    }

    pub(crate) fn get_json<T: DeserializeOwned>(
        &self,
        tree: Tree,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        let value = self.inner.db.get(full_key(tree, key))?;
        value.map(|value| serde_json::from_slice(&value).map_err(|_| StoreError::corrupt(tree))).transpose()
    }

    /// The rows whose keys begin with `prefix`, in the order of their keys.
    pub(crate) fn scan(&self, tree: Tree, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        let rows = self.inner.db.scan_prefix(full_key(tree, prefix));
        rows.map(|row| row.map(|(key, value)| (key[1..].to_vec(), value.to_vec())).map_err(Into::into))
            .collect()
    }

    /// The keys that begin with `prefix`, in order.
    pub(crate) fn scan_keys(&self, tree: Tree, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        let keys = self.inner.db.scan_prefix(full_key(tree, prefix)).keys();
        keys.map(|key| key.map(|key| key[1..].to_vec()).map_err(Into::into)).collect()
    }

    /// The values whose keys begin with `prefix`, in the order of the keys.
    pub(crate) fn scan_json<T: DeserializeOwned>(
        &self,
        tree: Tree,
        prefix: &[u8],
    ) -> Result<Vec<T>, StoreError> {
        let values = self.inner.db.scan_prefix(full_key(tree, prefix)).values();
        values.map(|value| serde_json::from_slice(&value?).map_err(|_| StoreError::corrupt(tree))).collect()
    }

    /// Applies the batch now; the future completes when it is flushed. Dropping the future changes nothing.
    pub(crate) fn commit(&self, batch: Batch) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let applied = self.inner.db.apply_batch(batch.writes);
        let (done, flushed) = oneshot::channel();
        if applied.is_ok() {
            self.inner.shared.requests.lock().waiting.push(done);
            self.inner.shared.wake.notify_one();
        }
        async move {
            applied?;
            // The flusher answers everybody before it ends.
            flushed.await.unwrap_or_else(|_| Err(StoreError::Corrupt("a store that is closed".to_owned())))
        }
    }

    /// Applies the batch now and lets it reach the disk with the next flush, at most 10 ms later.
    pub(crate) fn apply(&self, batch: Batch) -> Result<(), StoreError> {
        self.inner.db.apply_batch(batch.writes)?;
        let mut requests = self.inner.shared.requests.lock();
        if !requests.dirty {
            requests.dirty = true;
            self.inner.shared.wake.notify_one();
        }
        Ok(())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.requests.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(flusher) = self.flusher.take() {
            // It ends after a last flush; if it panicked there is nothing left to do here.
            let _ = flusher.join();
        }
    }
}

/// The flusher: everybody who asked before a flush began is answered by it.
fn flush_until_stopped(db: &sled::Db, shared: &Shared) {
    loop {
        let (waiting, stop) = {
            let mut requests = shared.requests.lock();
            while requests.waiting.is_empty() && !requests.dirty && !requests.stop {
                shared.wake.wait(&mut requests);
            }
            if requests.waiting.is_empty() && !requests.stop {
                // Only writes that nobody waits for: give others the time to join them.
                shared.wake.wait_for(&mut requests, SOFT_FLUSH);
            }
            requests.dirty = false;
            (std::mem::take(&mut requests.waiting), requests.stop)
        };
        let result = db.flush().map(drop).map_err(StoreError::from);
        if let Err(error) = &result {
            tracing::error!(%error, "could not flush the store");
        }
        for done in waiting {
            // Whoever went away does not want to know.
            let _ = done.send(result.clone());
        }
        if stop {
            break;
        }
    }
}

fn full_key(tree: Tree, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(tree as u8);
    full.extend_from_slice(key);
    full
}
