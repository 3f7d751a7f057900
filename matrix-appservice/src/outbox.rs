//! Sends to Matrix that outlive the process.
//!
//! An event is written to the store first, then sent under a transaction ID that follows from its key, then
//! marked with its event ID. A process that dies in between sends it again under the same transaction ID,
//! and the homeserver answers with the same event: so it is sent once. Within a room events are sent in the
//! order in which they were pushed; rooms do not wait for each other.

mod row;
mod worker;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::row::OutboxEvent;
use self::row::{DeliveredRow, Row};
use crate::{
    client::{ClientError, RetryPolicy},
    intent::Intents,
    metrics::Metrics,
    store::{Batch, Store, StoreError, Tree},
};

/// How many rooms are sent to at the same time.
const ROOMS_AT_ONCE: usize = 32;

/// How long a key is recognised after its event was delivered.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);

/// Sends events so that each arrives once. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

struct Shared {
    intents: Intents,
    store: Store,
    metrics: Metrics,
    retry: RetryPolicy,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    next: AtomicU64,
    rooms_at_once: Semaphore,
    queues: Mutex<HashMap<OwnedRoomId, VecDeque<Queued>>>,
}

/// A row that waits for its turn, and who wants to know what became of it.
struct Queued {
    number: u64,
    row: Row,
    done: Vec<oneshot::Sender<Delivered>>,
}

type Delivered = Result<OwnedEventId, Arc<ClientError>>;

/// Why an event was not delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// It could not be stored, so it will not be sent.
    #[error("the event could not be stored")]
    Store(#[from] StoreError),
    /// The homeserver refuses it, and would refuse it again. It is kept among the dead letters.
    #[error("the homeserver refuses the event")]
    Refused(#[source] Arc<ClientError>),
    /// The process stops; the event is sent when it starts again.
    #[error("the outbox is stopping")]
    Stopping,
}

impl Outbox {
    /// Opens the outbox in `store`. What an earlier process left is sent once [`resume`](Self::resume) is called.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn open(
        intents: Intents,
        store: Store,
        metrics: Metrics,
        shutdown: CancellationToken,
    ) -> Result<Self, StoreError> {
        forget_old(&store)?;
        let last = store.scan_keys(Tree::Outbox, &[])?.iter().filter_map(|key| row::number(key)).max();
        let shared = Shared {
            intents,
            store,
            metrics,
            retry: RetryPolicy::default(),
            tasks: TaskTracker::new(),
            shutdown,
            next: AtomicU64::new(last.map_or(0, |last| last + 1)),
            rooms_at_once: Semaphore::new(ROOMS_AT_ONCE),
            queues: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Goes on with what an earlier process left; returns how many events that are.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn resume(&self) -> Result<usize, StoreError> {
        let mut rows = Vec::new();
        for (key, value) in self.shared.store.scan(Tree::Outbox, &[])? {
            let row = serde_json::from_slice::<Row>(&value).map_err(|_| StoreError::corrupt(Tree::Outbox))?;
            rows.extend(row::number(&key).map(|number| Queued { number, row, done: Vec::new() }));
        }
        rows.sort_by_key(|queued| queued.number);
        let count = rows.len();
        for queued in rows {
            self.enqueue(queued);
        }
        Ok(count)
    }

    /// Hands an event over. When the future completes the event is on disk and will be sent; the order
    /// within a room is that of the calls. An event whose key was delivered in the last 30 days is not sent again.
    ///
    /// # Errors
    /// If it could not be stored.
    pub fn push(&self, event: OutboxEvent) -> impl Future<Output = Result<Delivery, OutboxError>> + use<> {
        let result = self.accept(event);
        async move {
            let (flushed, delivery) = result?;
            if let Some(flushed) = flushed {
                flushed.await?;
            }
            Ok(delivery)
        }
    }

    /// Waits until nothing is under way any more, after the token given to [`open`](Self::open) was cancelled.
    pub async fn stopped(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    fn accept(
        &self,
        event: OutboxEvent,
    ) -> Result<(Option<impl Future<Output = Result<(), StoreError>> + use<>>, Delivery), OutboxError> {
        if self.shared.shutdown.is_cancelled() {
            return Err(OutboxError::Stopping);
        }
        let (done, delivery) = oneshot::channel();
        if let Some(event_id) = self.delivered(&event.key)? {
            // Whoever asks has it at once; that the receiver is there is certain.
            let _ = done.send(Ok(event_id));
            return Ok((None, Delivery(delivery)));
        }
        let row = Row::new(event, MilliSecondsSinceUnixEpoch::now());
        // Taking the number, writing and queueing are one step, so that the order is the same in all.
        let mut queues = self.shared.queues.lock();
        let number = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let mut batch = Batch::default();
        batch.put_json(Tree::Outbox, &row::key(number), &row);
        let flushed = self.shared.store.commit(batch);
        self.queue(&mut queues, Queued { number, row, done: vec![done] });
        Ok((Some(flushed), Delivery(delivery)))
    }

    /// The event that was delivered under a key.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn delivered(&self, key: &str) -> Result<Option<OwnedEventId>, StoreError> {
        let row = self.shared.store.get_json::<DeliveredRow>(Tree::Delivered, key.as_bytes())?;
        Ok(row.map(|row| row.event_id))
    }

    /// What the homeserver refused, with the reason.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn dead_letters(&self) -> Result<Vec<(OutboxEvent, String)>, StoreError> {
        let rows = self.shared.store.scan_json::<Row>(Tree::OutboxDead, &[])?;
        Ok(rows.into_iter().map(Row::into_dead_letter).collect())
    }

    fn enqueue(&self, queued: Queued) {
        let mut queues = self.shared.queues.lock();
        self.queue(&mut queues, queued);
    }

    /// Queues a row, and starts the room's worker if there is none: a room has a queue as long as it has one.
    fn queue(&self, queues: &mut HashMap<OwnedRoomId, VecDeque<Queued>>, queued: Queued) {
        self.shared.metrics.outbox_events.inc();
        let room_id = queued.row.event.room_id.clone();
        if let Some(queue) = queues.get_mut(&room_id) {
            queue.push_back(queued);
            return;
        }
        queues.insert(room_id.clone(), VecDeque::from([queued]));
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn(worker::run(shared, room_id));
    }
}

/// Forgets which keys were delivered long ago.
fn forget_old(store: &Store) -> Result<(), StoreError> {
    let mut batch = Batch::default();
    let limit = SystemTime::now() - REMEMBERED;
    for (key, value) in store.scan(Tree::Delivered, &[])? {
        let row = serde_json::from_slice::<DeliveredRow>(&value);
        let at = row.ok().and_then(|row| row.at.to_system_time());
        if at.is_none_or(|at| at < limit) {
            batch.delete(Tree::Delivered, &key);
        }
    }
    store.apply(batch)
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

/// Completes when an event has arrived; see [`Outbox::push`]. Dropping it changes nothing.
#[derive(Debug)]
#[must_use = "the event is safe already; drop this if its ID does not matter"]
pub struct Delivery(oneshot::Receiver<Delivered>);

impl Delivery {
    /// Waits for the event's ID, as long as it takes.
    ///
    /// # Errors
    /// If the homeserver refuses the event, or the process stops first.
    pub async fn event_id(self) -> Result<OwnedEventId, OutboxError> {
        match self.0.await {
            Ok(Ok(event_id)) => Ok(event_id),
            Ok(Err(error)) => Err(OutboxError::Refused(error)),
            Err(_) => Err(OutboxError::Stopping),
        }
    }
}
