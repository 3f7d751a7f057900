//! The one database of the server.
//!
//! Everything that has to survive a restart is a row in a [`Tree`], and everything that belongs together is
//! one [`WriteSet`], which is written as a whole or not at all. A single thread commits the sets in the order
//! in which they were staged, many to one batch; it also hands out the [`Position`]s by which clients and
//! application services follow what happened.
//!
//! The engine (sled 0.34) stays behind this module: no other part of the server names one of its types.

use std::{
    fmt,
    ops::{Deref, RangeBounds},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

mod committer;
mod key;
mod metrics;
mod raw;
#[cfg(test)]
mod tests;
mod tree;
mod write_set;

use self::committer::Committer;
pub(crate) use self::{
    committer::Pending,
    key::{KeyBuf, MARK, key},
    metrics::CommitMetrics,
    raw::{RawRow, RawStore},
    tree::Tree,
    write_set::{Rows, WriteSet},
};

/// The layout of the rows that this version of the server reads and writes.
const SCHEMA_VERSION: u64 = 2;
/// How long to wait for files that are just being closed.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// How much of the database is kept in memory.
const TEMPORARY_CACHE_BYTES: u64 = 16 << 20;
const PERMANENT_CACHE_BYTES: u64 = 256 << 20;

/// What an answered write has survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The write is visible, and lost when the process dies.
    Memory,
    /// The write is on disk. Writes in flight share a flush.
    Flushed,
}

/// Why the store could not be read or written.
///
/// Cloneable, because one failed batch fails every write in it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StoreError {
    /// The engine failed: the disk is full, unreadable, or the files are damaged.
    #[error("the database failed")]
    Engine {
        /// What the engine said.
        source: Arc<sled::Error>,
    },
    /// The database was written by another version of the server.
    #[error(
        "the database has schema version {found}, this server reads version {expected}; \
         use the server that wrote it, or begin with an empty directory"
    )]
    Schema {
        /// The version in the database.
        found: u64,
        /// The version that this server reads.
        expected: u64,
    },
    /// There is no database where one was looked for.
    #[error("there is no database in this directory")]
    Missing,
    /// A row does not read as what it should be.
    #[error("the database holds a damaged row: {what}")]
    Damaged {
        /// Which row, in words.
        what: String,
    },
    /// A write was built on an earlier one that failed; it has to be built again.
    #[error("an earlier write failed, and this one was built on it")]
    Superseded,
    /// The files are open somewhere else.
    #[error("the database is in use by another process")]
    InUse,
    /// The store is shutting down.
    #[error("the database is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

impl StoreError {
    /// Whether another process, or another server of this one, has the database open.
    pub(crate) fn is_locked(&self) -> bool {
        match self {
            // The engine tells this by its text only.
            Self::Engine { source } => source.to_string().contains("could not acquire lock"),
            _ => false,
        }
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        Self::Engine { source: Arc::new(error) }
    }
}

/// A point in the one order in which things happen on this server.
///
/// Unique within a server, and never given twice. Sync tokens, pagination tokens and the queues of the
/// application services are positions. Zero is before everything.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub(crate) struct Position(pub(crate) u64);

impl Position {
    pub(crate) const ZERO: Self = Self(0);
    pub(crate) const MAX: Self = Self(u64::MAX);

    /// The form that keys are made of: ordered as the positions are.
    pub(crate) const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Reads the last eight bytes of a key or value.
    pub(crate) fn from_suffix(bytes: &[u8]) -> Option<Self> {
        bytes.last_chunk::<8>().map(|chunk| Self(u64::from_be_bytes(*chunk)))
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The bytes of a key or a value. Cloning is cheap.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Bytes(sled::IVec);

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

/// The database. Cloning gives another handle to the same one; dropping the last handle finishes the writes
/// that are staged and closes it.
#[derive(Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    // Before `db`, so that the committer's handles are gone when the database is dropped.
    committer: Committer,
    db: sled::Db,
    next_event_number: AtomicU64,
    durability: Durability,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("durability", &self.inner.durability)
            .field("frontier", &self.frontier())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database in a directory, and makes it where there is none.
    pub(crate) fn open(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        let config = sled::Config::new().path(path).cache_capacity(PERMANENT_CACHE_BYTES);
        Self::with(&config.flush_every_ms(None), durability)
    }

    /// A database that is gone when it is closed.
    pub(crate) fn temporary() -> Result<Self, StoreError> {
        let config = sled::Config::new().temporary(true).cache_capacity(TEMPORARY_CACHE_BYTES);
        let config = config.flush_every_ms(None);
        let store = Self::with(&config, Durability::Memory)?;
        // It is open, and never opened again: what a killed process leaves behind are only files of large rows.
        let _ = std::fs::remove_file(config.get_path().join("db"));
        Ok(store)
    }

    /// The engine keeps `config` itself. A changed copy would be another one, and that of a temporary database takes the
    /// directory with it when it is dropped.
    fn with(config: &sled::Config, durability: Durability) -> Result<Self, StoreError> {
        let db = open_engine(config)?;
        check_schema(&db)?;
        let frontier = match db.get(Tree::Meta.key(key::FRONTIER))? {
            None => Position::ZERO,
            Some(row) => Position::from_suffix(&row).ok_or_else(|| StoreError::damaged("the frontier"))?,
        };
        let last_event = last_number(&db, Tree::Event)?;
        let committer = Committer::start(db.clone(), durability, frontier)?;
        let next_event_number = AtomicU64::new(last_event + 1);
        Ok(Self { inner: Arc::new(Inner { committer, db, next_event_number, durability }) })
    }

    /// One value.
    ///
    /// Sees writes as soon as they are applied, which may be shortly before [`Store::frontier`] reaches them.
    pub(crate) fn get(&self, tree: Tree, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, StoreError> {
        Ok(self.inner.db.get(tree.key(key.as_ref()))?.map(Bytes))
    }

    /// Whether there is a value.
    pub(crate) fn contains(&self, tree: Tree, key: impl AsRef<[u8]>) -> Result<bool, StoreError> {
        Ok(self.inner.db.contains_key(tree.key(key.as_ref()))?)
    }

    /// Every row whose key starts with the prefix, in the order of the keys. Also backwards, by `rev`.
    pub(crate) fn scan_prefix(&self, tree: Tree, prefix: impl AsRef<[u8]>) -> Scan {
        Scan(self.inner.db.scan_prefix(tree.key(prefix.as_ref())))
    }

    /// Every row whose key is in the range, in the order of the keys. Also backwards, by `rev`.
    pub(crate) fn range<K: AsRef<[u8]>>(&self, tree: Tree, range: impl RangeBounds<K>) -> Scan {
        let start = range.start_bound().map(|key| tree.key(key.as_ref()));
        let end = range.end_bound().map(|key| tree.key(key.as_ref()));
        Scan(self.inner.db.range::<Vec<u8>, _>(tree.within(start, end)))
    }

    /// Writes a set, and waits until it is as safe as the store's [`Durability`] says.
    ///
    /// # Cancel safety
    /// The set is written also when the future is dropped after its first poll.
    pub(crate) async fn commit(&self, set: WriteSet) -> Result<Position, StoreError> {
        self.stage(set).await
    }

    /// Puts a set in line, at once. What is returned resolves, to the last position of the set, when it is
    /// written; it need not be waited for.
    pub(crate) fn stage(&self, set: WriteSet) -> Pending {
        self.inner.committer.stage(set)
    }

    /// Resolves when everything that was staged before is written. Fails where a commit has failed since
    /// [`Store::generation`] returned this number, for what was waited for may have been in it.
    pub(crate) fn stage_barrier(&self, generation: u64) -> Pending {
        let mut barrier = WriteSet::new();
        barrier.built_on(generation);
        self.stage(barrier)
    }

    /// Everything up to here is written, as safely as the store's [`Durability`] says, and can be shown.
    pub(crate) fn frontier(&self) -> Position {
        self.inner.committer.frontier()
    }

    /// How the commits go.
    pub(crate) fn metrics(&self) -> &CommitMetrics {
        self.inner.committer.metrics()
    }

    /// How many sets wait for the committer.
    pub(crate) fn waiting(&self) -> usize {
        self.inner.committer.waiting()
    }

    /// How many commits have failed. A set that is built on what an earlier set stages has to say so by
    /// [`WriteSet::built_on`], and has to be built again when this number has changed.
    pub(crate) fn generation(&self) -> u64 {
        self.inner.committer.generation()
    }

    /// A number for a row in [`Tree::Event`], never given twice.
    pub(crate) fn event_number(&self) -> u64 {
        self.inner.next_event_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes the next commit fail, as a full disk would.
    #[cfg(test)]
    pub(crate) fn fail_next_commit(&self) {
        self.inner.committer.fail_next();
    }
}

/// Rows, from either end.
pub(crate) struct Scan(sled::Iter);

impl Iterator for Scan {
    type Item = Result<(Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(without_tag)
    }
}

impl DoubleEndedIterator for Scan {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(without_tag)
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scan")
    }
}

fn without_tag(row: sled::Result<(sled::IVec, sled::IVec)>) -> Result<(Bytes, Bytes), StoreError> {
    let (key, value) = row?;
    let len = key.len().saturating_sub(1);
    Ok((Bytes(key.subslice(1, len)), Bytes(value)))
}

/// Opens the engine; waits a moment for a handle to the same files that is just being closed, whose last
/// writes run in threads of the engine.
fn open_engine(config: &sled::Config) -> Result<sled::Db, StoreError> {
    let patience = Instant::now() + LOCK_PATIENCE;
    loop {
        match config.open() {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                if Instant::now() > patience {
                    return Err(StoreError::InUse);
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn check_schema(db: &sled::Db) -> Result<(), StoreError> {
    let key = Tree::Meta.key(key::SCHEMA);
    match db.get(&key)? {
        None => {
            db.insert(key, &SCHEMA_VERSION.to_be_bytes())?;
            Ok(())
        }
        Some(row) => match Position::from_suffix(&row) {
            Some(Position(SCHEMA_VERSION)) => Ok(()),
            found => Err(StoreError::Schema { found: found.unwrap_or_default().0, expected: SCHEMA_VERSION }),
        },
    }
}

/// The number in the last key of a tree whose keys are numbers.
fn last_number(db: &sled::Db, tree: Tree) -> Result<u64, StoreError> {
    match db.scan_prefix(tree.key(&[])).next_back() {
        None => Ok(0),
        Some(row) => Ok(Position::from_suffix(&row?.0).ok_or_else(|| StoreError::damaged("a key"))?.0),
    }
}
