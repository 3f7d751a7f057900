//! Requests that are made once however often they are sent ([transaction identifiers]).
//!
//! [transaction identifiers]: https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use ruma::MilliSecondsSinceUnixEpoch;
use sha2::{Digest, Sha256};

use super::request::TxnKey;
use crate::store::{MARK, Position, Store, StoreError, Tree, WriteSet, key};

type Hash = [u8; 16];

/// How long requests are known, at least. A bridge that was down repeats what it had not heard of when it comes back.
const KEPT: Duration = Duration::from_hours(14 * 24);
/// How many rows are deleted by one commit.
const TOGETHER: usize = 1_000;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The answers to requests with a transaction ID.
///
/// The answer is written in the same batch as what the request did, so a request that is repeated after a
/// crash is known exactly when it took effect. In memory is only what is being written: how many IDs are known
/// costs neither time at the start nor memory.
#[derive(Clone)]
pub(crate) struct Transactions {
    store: Store,
    /// Those whose row is on its way, with the generation of the store it was staged in.
    in_flight: Arc<Mutex<HashMap<Hash, (u64, String)>>>,
}

/// What is known about a transaction ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Known {
    /// It was not seen.
    No,
    /// It was answered so.
    Answered(String),
    /// It is being written, and will be answered so when what is staged by now is written.
    InFlight(String),
}

impl Transactions {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, in_flight: Arc::default() }
    }

    /// Forgets requests of more than [`KEPT`] ago. That a row has no time is made up for by a mark every now and then,
    /// which says how far the stream was; rows are read only when a mark is old enough.
    pub(crate) async fn expire(&self, now: MilliSecondsSinceUnixEpoch) -> Result<usize, StoreError> {
        let now = u64::from(now.get());
        let mut writes = WriteSet::new();
        let mut before = None;
        for row in self.store.scan_prefix(Tree::Meta, key([MARK])) {
            let (row_key, row) = row?;
            let (Some(Position(at)), Some(frontier)) =
                (Position::from_suffix(&row_key), Position::from_suffix(&row))
            else {
                continue;
            };
            if at.saturating_add(millis(KEPT)) <= now {
                before = before.max(Some(frontier));
                writes.delete(Tree::Meta, &*row_key);
            }
        }
        writes.put(Tree::Meta, key([MARK]).number(now), self.store.frontier().to_bytes());
        let expired = match before {
            None => 0,
            Some(before) => self.delete_upto(before).await?,
        };
        // At last, so that what was interrupted is done again.
        self.store.commit(writes).await?;
        Ok(expired)
    }

    /// Deletes the rows up to a position, some at a time: whoever writes meanwhile does not wait for all of them.
    async fn delete_upto(&self, before: Position) -> Result<usize, StoreError> {
        let (mut expired, mut start) = (0, Vec::new());
        loop {
            let store = self.store.clone();
            let looked_at = tokio::task::spawn_blocking(move || old_rows(&store, &start, before));
            let (old, next) = looked_at.await.map_err(|_| StoreError::Closed)??;
            expired += old.len();
            let mut writes = WriteSet::new();
            for row_key in old {
                writes.delete(Tree::Txn, row_key);
            }
            self.store.commit(writes).await?;
            match next {
                Some(next) => start = next,
                None => return Ok(expired),
            }
        }
    }

    /// What is known about a transaction ID.
    pub(crate) fn lookup(&self, key: &TxnKey) -> Result<Known, StoreError> {
        let hash = hash(key);
        {
            let mut in_flight = self.in_flight.lock();
            if let Some((generation, answer)) = in_flight.get(&hash) {
                if *generation == self.store.generation() {
                    return Ok(Known::InFlight(answer.clone()));
                }
                in_flight.remove(&hash);
            }
        }
        match self.store.get(Tree::Txn, hash)? {
            None => Ok(Known::No),
            Some(row) => {
                let answer = row.get(8..).and_then(|answer| std::str::from_utf8(answer).ok());
                let answer = answer.ok_or_else(|| StoreError::damaged("the answer to a request"))?;
                Ok(Known::Answered(answer.to_owned()))
            }
        }
    }

    /// Adds the answer to what is being written. The set must take a position.
    pub(crate) fn record(&self, key: &TxnKey, answer: &str, set: &mut WriteSet) {
        let hash = hash(key);
        self.in_flight.lock().insert(hash, (self.store.generation(), answer.to_owned()));
        let answer = answer.to_owned();
        set.at_last_position(move |position: Position, rows| {
            let mut row = position.to_bytes().to_vec();
            row.extend_from_slice(answer.as_bytes());
            rows.put(Tree::Txn, hash, row);
        });
        let in_flight = self.in_flight.clone();
        set.on_commit(move |_| {
            in_flight.lock().remove(&hash);
        });
    }
}

/// The keys of rows, and where to go on, if not all rows were looked at.
type OldRows = (Vec<Vec<u8>>, Option<Vec<u8>>);

/// The keys of some rows up to a position.
fn old_rows(store: &Store, start: &[u8], before: Position) -> Result<OldRows, StoreError> {
    let mut old = Vec::new();
    for row in store.range(Tree::Txn, start..) {
        let (row_key, value) = row?;
        if old.len() == TOGETHER {
            return Ok((old, Some(row_key.to_vec())));
        }
        let position = value.first_chunk::<8>().map(|bytes| Position(u64::from_be_bytes(*bytes)));
        if position.is_some_and(|position| position <= before) {
            old.push(row_key.to_vec());
        }
    }
    Ok((old, None))
}

fn hash(key: &TxnKey) -> Hash {
    let mut hasher = Sha256::new();
    for part in [
        key.user_id.as_str(),
        key.device_id.as_ref().map(AsRef::as_ref).unwrap_or_default(),
        &key.endpoint,
        &key.txn_id,
    ] {
        hasher.update(part);
        hasher.update([0xff]);
    }
    let mut hash = Hash::default();
    hash.copy_from_slice(&hasher.finalize()[..16]);
    hash
}

impl fmt::Debug for Transactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transactions").finish_non_exhaustive()
    }
}
