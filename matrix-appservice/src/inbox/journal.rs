//! The rows of the inbox.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    queue::{Item, Kind, QueueKey, Transaction},
    seen::{EventHash, Seen},
};
use crate::store::{Batch, Store, StoreError, Tree};

/// What was new in a transaction.
#[derive(Serialize, Deserialize)]
pub(super) struct TransactionRow<'a> {
    /// When it was accepted, in milliseconds since 1970.
    #[serde(rename = "t")]
    pub(super) accepted: u64,
    /// The events that were new.
    #[serde(rename = "e", borrow)]
    pub(super) events: Vec<EventRow<'a>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EventRow<'a> {
    #[serde(rename = "q")]
    pub(super) queue: QueueKey,
    /// What it goes by.
    #[serde(rename = "n")]
    pub(super) name: String,
    #[serde(rename = "j", borrow)]
    pub(super) json: &'a RawValue,
}

/// How far an event has come. No row: untouched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProgressRow {
    #[serde(rename = "d", default)]
    pub(super) done: bool,
    /// An attempt began, and has not ended.
    #[serde(rename = "b", default)]
    pub(super) begun: bool,
    /// How many attempts failed.
    #[serde(rename = "a", default)]
    pub(super) attempts: u32,
    /// When the next attempt may begin, in milliseconds since 1970.
    #[serde(rename = "n", default)]
    pub(super) not_before: u64,
}

impl ProgressRow {
    pub(super) const DONE: Self = Self { done: true, begun: false, attempts: 0, not_before: 0 };
}

/// An event that was given up.
#[derive(Debug, Serialize)]
pub(super) struct DeadLetter<'a> {
    pub(super) reason: &'a str,
    pub(super) given_up: u64,
    pub(super) attempts: u32,
    pub(super) event: &'a RawValue,
}

fn event_key(number: u64, index: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&number.to_be_bytes());
    key[8..].copy_from_slice(&index.to_be_bytes());
    key
}

impl Batch {
    pub(super) fn put_inbox_transaction(&mut self, number: u64, row: &TransactionRow<'_>) {
        self.put_json(Tree::Inbox, &number.to_be_bytes(), row);
    }

    pub(super) fn put_seen(&mut self, number: u64, hashes: &[EventHash]) {
        self.put(Tree::Seen, &number.to_be_bytes(), hashes.as_flattened());
    }

    pub(super) fn delete_seen(&mut self, number: u64) {
        self.delete(Tree::Seen, &number.to_be_bytes());
    }

    pub(super) fn put_progress(&mut self, number: u64, index: u32, row: &ProgressRow) {
        self.put_json(Tree::InboxProgress, &event_key(number, index), row);
    }

    pub(super) fn put_dead_letter(&mut self, number: u64, index: u32, letter: &DeadLetter<'_>) {
        self.put_json(Tree::DeadLetters, &event_key(number, index), letter);
    }

    /// Every event of the transaction is dealt with.
    pub(super) fn delete_inbox_transaction(&mut self, number: u64, with_progress: impl Iterator<Item = u32>) {
        self.delete(Tree::Inbox, &number.to_be_bytes());
        for index in with_progress {
            self.delete(Tree::InboxProgress, &event_key(number, index));
        }
    }
}

/// What an earlier process left.
pub(super) struct Left {
    pub(super) items: Vec<Item>,
    pub(super) next_number: u64,
}

pub(super) fn load(store: &Store) -> Result<Left, StoreError> {
    let progress = load_progress(store)?;
    let mut left = Left { items: Vec::new(), next_number: 0 };
    for (key, body) in store.scan(Tree::Inbox, &[])? {
        let number = number_of(&key, Tree::Inbox)?;
        left.next_number = number + 1;
        let row: TransactionRow<'_> =
            serde_json::from_slice(&body).map_err(|_| StoreError::corrupt(Tree::Inbox))?;
        let touched: Vec<_> =
            progress.range((number, 0)..(number + 1, 0)).map(|((_, index), row)| (*index, *row)).collect();
        let done = touched.iter().filter(|(_, row)| row.done).count();
        let transaction = Arc::new(Transaction::new(number, row.events.len() - done, row.accepted));
        transaction.touched(touched.iter().map(|(index, _)| *index));
        for (index, event) in (0..).zip(row.events) {
            let progress = progress.get(&(number, index)).copied().unwrap_or_default();
            if !progress.done {
                left.items.push(Item {
                    transaction: Arc::clone(&transaction),
                    index,
                    kind: event.queue.kind(),
                    queue: event.queue,
                    name: event.name,
                    json: event.json.to_owned(),
                    progress,
                    interrupted: progress.begun,
                });
            }
        }
    }
    if let Some(last) = store.scan_keys(Tree::Seen, &[])?.last() {
        left.next_number = left.next_number.max(number_of(last, Tree::Seen)? + 1);
    }
    if let Some(last) = store.scan_keys(Tree::DeadLetters, &[])?.last() {
        let number = last.get(..8).ok_or(StoreError::corrupt(Tree::DeadLetters))?;
        left.next_number = left.next_number.max(number_of(number, Tree::DeadLetters)? + 1);
    }
    Ok(left)
}

pub(super) fn load_seen(store: &Store) -> Result<Seen, StoreError> {
    let mut seen = Seen::default();
    for (key, row) in store.scan(Tree::Seen, &[])? {
        seen.restore(number_of(&key, Tree::Seen)?, &row);
    }
    Ok(seen)
}

fn load_progress(store: &Store) -> Result<BTreeMap<(u64, u32), ProgressRow>, StoreError> {
    let corrupt = || StoreError::corrupt(Tree::InboxProgress);
    let rows = store.scan(Tree::InboxProgress, &[])?;
    rows.into_iter()
        .map(|(key, value)| {
            let key = <[u8; 12]>::try_from(&key[..]).map_err(|_| corrupt())?;
            let number = number_of(&key[..8], Tree::InboxProgress)?;
            let index = u32::from_be_bytes([key[8], key[9], key[10], key[11]]);
            Ok(((number, index), serde_json::from_slice(&value).map_err(|_| corrupt())?))
        })
        .collect()
}

fn number_of(key: &[u8], tree: Tree) -> Result<u64, StoreError> {
    <[u8; 8]>::try_from(key).map(u64::from_be_bytes).map_err(|_| StoreError::corrupt(tree))
}

impl QueueKey {
    fn kind(&self) -> Kind {
        match self {
            Self::Room(_) => Kind::Event,
            Self::Device(_) => Kind::ToDevice,
        }
    }
}
