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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The answers to requests with a transaction ID.
///
/// The answer is written in the same batch as what the request did, so a request that is repeated after a
/// crash is known exactly when it took effect. Which IDs are known is in memory: a new one costs no read.
#[derive(Clone)]
pub(crate) struct Transactions {
    store: Store,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Those whose row is written, with its position.
    known: HashMap<Hash, Position>,
    /// Those whose row is on its way, with the generation of the store it was staged in.
    in_flight: HashMap<Hash, (u64, String)>,
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
    pub(crate) fn open(store: Store) -> Result<Self, StoreError> {
        let mut known = HashMap::new();
        for row in store.scan_prefix(Tree::Txn, []) {
            let (key, value) = row?;
            let position = value.first_chunk::<8>().map(|bytes| Position(u64::from_be_bytes(*bytes)));
            if let (Some(hash), Some(position)) = (key.first_chunk::<16>(), position) {
                known.insert(*hash, position);
            }
        }
        let inner = Inner { known, in_flight: HashMap::new() };
        Ok(Self { store, inner: Arc::new(Mutex::new(inner)) })
    }

    /// Forgets requests of more than [`KEPT`] ago. Costs nothing else: that a row has no time is made up for by a mark
    /// every now and then, which says how far the stream was.
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
        let mut expired = 0;
        if let Some(before) = before {
            for (hash, _) in self.inner.lock().known.extract_if(|_, position| *position <= before) {
                writes.delete(Tree::Txn, hash);
                expired += 1;
            }
        }
        self.store.commit(writes).await?;
        Ok(expired)
    }

    /// What is known about a transaction ID.
    pub(crate) fn lookup(&self, key: &TxnKey) -> Result<Known, StoreError> {
        let hash = hash(key);
        {
            let mut inner = self.inner.lock();
            if let Some((generation, answer)) = inner.in_flight.get(&hash) {
                if *generation == self.store.generation() {
                    return Ok(Known::InFlight(answer.clone()));
                }
                inner.in_flight.remove(&hash);
            }
            if !inner.known.contains_key(&hash) {
                return Ok(Known::No);
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
        self.inner.lock().in_flight.insert(hash, (self.store.generation(), answer.to_owned()));
        let answer = answer.to_owned();
        set.at_last_position(move |position: Position, rows| {
            let mut row = position.to_bytes().to_vec();
            row.extend_from_slice(answer.as_bytes());
            rows.put(Tree::Txn, hash, row);
        });
        let inner = self.inner.clone();
        set.on_commit(move |position| {
            let mut inner = inner.lock();
            inner.known.insert(hash, position);
            inner.in_flight.remove(&hash);
        });
    }
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
