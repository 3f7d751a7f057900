//! From a transaction's body to rows and queues.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use serde_json::value::RawValue;

use super::{
    Shared,
    journal::{EventRow, ProgressRow, TransactionRow},
    now_ms,
    queue::{Item, Kind, QueueKey, Transaction},
    seen::{EventHash, Seen, hash},
};
use crate::{
    service::{
        DeviceChanges,
        event::{EventHead, made_up_name},
    },
    store::Batch,
    transaction::{Envelope, TransactionDigest, TransactionError},
};

/// How many transactions are recognised as a whole.
const RECENT: usize = 16;

/// Why a transaction was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AcceptError {
    #[error("the body is not JSON")]
    NotJson,
    #[error("the body is not a transaction")]
    BadJson,
    #[error("too many events wait already")]
    Full,
    #[error("the transaction could not be stored")]
    Store,
}

/// What decides about the next transaction.
pub(super) struct Accepting {
    seen: Seen,
    recent: VecDeque<(String, TransactionDigest)>,
    next_number: u64,
    /// Transactions that are being flushed, by number; `Some` when they are, until all before them are, too.
    flushing: BTreeMap<u64, Option<Vec<Item>>>,
}

impl Accepting {
    pub(super) fn new(seen: Seen, next_number: u64) -> Self {
        Self { seen, recent: VecDeque::new(), next_number, flushing: BTreeMap::new() }
    }

    fn is_recent(&self, txn_id: &str, digest: &TransactionDigest) -> bool {
        self.recent.iter().any(|(id, known)| known == digest && id == txn_id)
    }

    /// The transaction's events are on disk: hands out what may be handled now, in order.
    fn flushed(&mut self, number: u64, items: Vec<Item>) -> Vec<Item> {
        self.flushing.insert(number, Some(items));
        let mut ready = Vec::new();
        while let Some(entry) = self.flushing.first_entry() {
            if entry.get().is_none() {
                break;
            }
            ready.extend(entry.remove().unwrap_or_default());
        }
        ready
    }
}

/// An event of the transaction at hand.
struct Arrival<'a> {
    kind: Kind,
    queue: QueueKey,
    name: String,
    hash: EventHash,
    json: &'a RawValue,
}

impl Shared {
    /// Runs in a task of its own: once it has begun it ends.
    pub(super) async fn accept(self: Arc<Self>, txn_id: &str, body: Bytes) -> Result<(), AcceptError> {
        let envelope = Envelope::from_slice(&body).map_err(|error| match error {
            TransactionError::Json(_) => AcceptError::NotJson,
            TransactionError::Shape(_) => AcceptError::BadJson,
        })?;
        let digest = TransactionDigest::of(&body);
        let arrivals = arrivals(txn_id, &envelope);
        let devices = DeviceChanges {
            device_lists: envelope.device_lists.clone(),
            one_time_keys_count: envelope.device_one_time_keys_count.clone(),
            unused_fallback_key_types: envelope.device_unused_fallback_key_types.clone(),
        };
        let has_devices = !devices.device_lists.is_empty()
            || !devices.one_time_keys_count.is_empty()
            || !devices.unused_fallback_key_types.is_empty();
        let (is_repeated, flush) = self.journal(txn_id, digest, arrivals)?;
        if !is_repeated {
            if has_devices {
                // A panic here must not keep the events, which are in the journal, from being handled.
                let told = AssertUnwindSafe(self.handler.devices(devices)).catch_unwind().await;
                if told.is_err() {
                    tracing::error!("the handler panicked over changed devices");
                }
            }
            for json in &envelope.ephemeral {
                match serde_json::from_str(json.get()) {
                    Ok(ephemeral) => drop(self.ephemeral.send(ephemeral).await),
                    Err(error) => tracing::debug!(%error, "skipped ephemeral data of an unknown shape"),
                }
            }
        }
        flush.await
    }

    /// Writes what is new; the future completes when it, and all before it, is on disk. Whether the
    /// transaction as a whole is a repetition.
    fn journal(
        self: &Arc<Self>,
        txn_id: &str,
        digest: TransactionDigest,
        arrivals: Vec<Arrival<'_>>,
    ) -> Result<(bool, impl Future<Output = Result<(), AcceptError>> + use<>), AcceptError> {
        let mut accepting = self.accepting.lock();
        if self.broken.load(Ordering::Relaxed) {
            return Err(AcceptError::Store);
        }
        let is_repeated = accepting.is_recent(txn_id, &digest);
        let mut arrivals = if is_repeated { Vec::new() } else { arrivals };
        let offered = arrivals.len();
        arrivals.retain(|arrival| accepting.seen.insert(arrival.hash));
        let mut queues = self.queues.lock();
        if queues.waiting + arrivals.len() > self.config.capacity
            && !arrivals.is_empty()
            && queues.waiting > 0
        {
            for arrival in &arrivals {
                accepting.seen.remove(&arrival.hash);
            }
            return Err(AcceptError::Full);
        }
        self.metrics.events_repeated.inc_by((offered - arrivals.len()) as u64);
        self.metrics.events_accepted.inc_by(arrivals.len() as u64);

        let number = accepting.next_number;
        accepting.next_number += 1;
        let transaction = Arc::new(Transaction::new(number, arrivals.len(), now_ms()));
        let mut batch = Batch::default();
        let records_attempts = self.handler.records_attempts();
        let mut items = Vec::with_capacity(arrivals.len());
        for (index, arrival) in (0..).zip(&arrivals) {
            let is_first = queues.announce(&arrival.queue);
            let progress = ProgressRow { begun: is_first && records_attempts, ..ProgressRow::default() };
            if progress.begun {
                transaction.touched([index]);
                batch.put_progress(number, index, &progress);
            }
            items.push(Item {
                transaction: Arc::clone(&transaction),
                index,
                kind: arrival.kind,
                queue: arrival.queue.clone(),
                name: arrival.name.clone(),
                json: arrival.json.to_owned(),
                progress,
                interrupted: false,
            });
        }
        drop(queues);
        if !arrivals.is_empty() {
            let hashes: Vec<_> = arrivals.iter().map(|arrival| arrival.hash).collect();
            batch.put_seen(number, &hashes);
            for forgotten in accepting.seen.remember(number, hashes) {
                batch.delete_seen(forgotten);
            }
            let row = TransactionRow {
                accepted: transaction.accepted,
                events: arrivals
                    .into_iter()
                    .map(|arrival| EventRow { queue: arrival.queue, name: arrival.name, json: arrival.json })
                    .collect(),
            };
            batch.put_inbox_transaction(number, &row);
        }
        if !is_repeated {
            accepting.recent.push_back((txn_id.to_owned(), digest));
            if accepting.recent.len() > RECENT {
                accepting.recent.pop_front();
            }
        }
        accepting.flushing.insert(number, None);
        // A repetition may overtake the flush of the original: it waits for a flush all the same.
        let committed = self.store.commit(batch);
        let shared = Arc::clone(self);
        let flush = async move {
            if let Err(error) = committed.await {
                shared.broken.store(true, Ordering::Relaxed);
                tracing::error!(%error, "the inbox cannot be written; nothing is accepted until a restart");
                return Err(AcceptError::Store);
            }
            // Under the lock, so that two transactions do not swap places on the way.
            let mut accepting = shared.accepting.lock();
            let ready = accepting.flushed(number, items);
            shared.admit_announced(ready);
            drop(accepting);
            Ok(())
        };
        Ok((is_repeated, flush))
    }
}

/// What a transaction brings that has to be handled, with the names it goes by.
fn arrivals<'a>(txn_id: &str, envelope: &Envelope<'a>) -> Vec<Arrival<'a>> {
    let events = envelope.events.iter().enumerate().map(|(index, json)| {
        let head: EventHead =
            serde_json::from_str(json.get()).unwrap_or(EventHead { event_id: None, room_id: None });
        let (hash, name) = match head.event_id {
            Some(event_id) => (hash(&[event_id.as_bytes()]), event_id),
            None => unnamed(txn_id, index, json),
        };
        let queue = QueueKey::Room(head.room_id.unwrap_or_default().into());
        Arrival { kind: Kind::Event, queue, name, hash, json }
    });
    let to_device = envelope.to_device.iter().enumerate().map(|(index, json)| {
        #[derive(serde::Deserialize)]
        struct Head {
            to_user_id: Option<String>,
        }
        let (hash, name) = unnamed(txn_id, index, json);
        let to = serde_json::from_str::<Head>(json.get()).ok().and_then(|head| head.to_user_id);
        let queue = QueueKey::Device(to.unwrap_or_default().into());
        Arrival { kind: Kind::ToDevice, queue, name, hash, json }
    });
    // Keys before the events that need them.
    to_device.chain(events).collect()
}

/// What has no ID is the same when the same transaction holds the same at the same place.
fn unnamed(txn_id: &str, index: usize, json: &RawValue) -> (EventHash, String) {
    let hash = hash(&[txn_id.as_bytes(), &index.to_be_bytes(), json.get().as_bytes()]);
    (hash, made_up_name(&hash))
}
