//! The durable inbox: between the homeserver's transaction and the handler.
//!
//! 1. **Accept.** [`Inbox::accept`] returns when the transaction is on disk; accepts at the same time share a flush.
//! 2. **Dedupe.** Room events by their ID. A transaction is skipped as a whole only if its ID *and* the
//!    digest of its body equal one of the last few: servers start counting anew, or send equal batches on purpose.
//!    Typing, receipts and presence are never deduplicated.
//! 3. **Order.** Each room has a queue and at most one task; tasks of different rooms run side by side, a bounded
//!    number at a time. A room whose first event has to be tried again is *parked*; it is not overtaken and
//!    does not take part in the bound.
//! 4. **Handle.** At least once. With recorded attempts, an attempt that a dead process began is known as such.
//!
//! What is on disk: a row per transaction with the events that were new in it, until all are dealt with; a row per
//! event of it that has been tried or is done; a row per transaction with the hashes of its event IDs, for as long
//! as repetitions are expected; dead letters.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use parking_lot::Mutex;
use ruma::OwnedRoomId;
use tokio::{
    sync::{Notify, mpsc},
    task::AbortHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod accept;
mod attempt;
mod journal;
mod ledger;
mod queue;
mod seen;
#[cfg(test)]
mod tests;

pub(crate) use self::accept::AcceptError;
use self::{accept::Accepting, ledger::Ledger, queue::Queues};
use crate::{
    metrics::Metrics,
    service::{AppserviceHandler, Ephemeral},
    store::{Store, StoreError},
};

/// How the inbox behaves.
#[derive(Debug, Clone)]
pub(crate) struct InboxConfig {
    /// How many rooms are handled at the same time.
    pub(crate) parallel_rooms: usize,
    /// How many events may wait; more are refused, and stay with the homeserver.
    pub(crate) capacity: usize,
    /// The pause after a first failed attempt; it doubles with every further one.
    pub(crate) first_pause: Duration,
    /// The longest pause.
    pub(crate) longest_pause: Duration,
    /// When an event that keeps failing becomes a dead letter.
    pub(crate) give_up_after: Duration,
}

impl Default for InboxConfig {
    fn default() -> Self {
        Self {
            parallel_rooms: 64,
            capacity: 100_000,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(300),
            give_up_after: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// Told of events that were given up, so that the sender can be.
pub(crate) type RejectHook = Arc<dyn Fn(Rejected) + Send + Sync>;

/// An event that was given up and whose sender is to be told.
#[derive(Debug, Clone)]
pub(crate) struct Rejected {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) event_id: String,
    pub(crate) reason: String,
}

/// The inbox of one application service. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inbox {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    config: InboxConfig,
    handler: Arc<dyn AppserviceHandler>,
    metrics: Metrics,
    on_reject: RejectHook,
    accepting: Mutex<Accepting>,
    queues: Mutex<Queues>,
    ledger: Mutex<Ledger>,
    ledger_changed: Notify,
    permits: tokio::sync::Semaphore,
    ephemeral: mpsc::Sender<Ephemeral>,
    ephemeral_task: AbortHandle,
    /// A write failed, so memory and disk may differ. Nothing is accepted any more.
    broken: AtomicBool,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Inbox {
    /// Opens the inbox and takes up what an earlier process left in it. Handling begins at once.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) fn open(
        store: Store,
        config: InboxConfig,
        handler: Arc<dyn AppserviceHandler>,
        metrics: Metrics,
        on_reject: RejectHook,
    ) -> Result<Self, StoreError> {
        let left = journal::load(&store)?;
        let accepting = Accepting::new(journal::load_seen(&store)?, left.next_number);
        let (ephemeral, mut received) = mpsc::channel::<Ephemeral>(1024);
        let ephemeral_task = tokio::spawn({
            let handler = Arc::clone(&handler);
            async move {
                while let Some(ephemeral) = received.recv().await {
                    handler.ephemeral(ephemeral).await;
                }
            }
        });
        let inbox = Self {
            shared: Arc::new(Shared {
                permits: tokio::sync::Semaphore::new(config.parallel_rooms),
                store,
                config,
                handler,
                metrics,
                on_reject,
                accepting: Mutex::new(accepting),
                queues: Mutex::default(),
                ledger: Mutex::default(),
                ledger_changed: Notify::new(),
                ephemeral,
                ephemeral_task: ephemeral_task.abort_handle(),
                broken: AtomicBool::new(false),
                stop: CancellationToken::new(),
                tasks: TaskTracker::new(),
            }),
        };
        inbox.shared.tasks.spawn(Arc::clone(&inbox.shared).keep_ledger());
        inbox.shared.admit(left.items);
        Ok(inbox)
    }

    /// Stores a transaction; returns when it is on disk.
    ///
    /// Cancel safety: dropping the future changes nothing about what happens to the transaction.
    ///
    /// # Errors
    /// If it is not a transaction, or cannot be stored now.
    pub(crate) async fn accept(&self, txn_id: String, body: Bytes) -> Result<(), AcceptError> {
        let shared = Arc::clone(&self.shared);
        let accepted = tokio::spawn(async move { shared.accept(&txn_id, body).await });
        // It panics only where a lock is poisoned or a bug sits; the homeserver then sends again.
        accepted.await.unwrap_or(Err(AcceptError::Store))
    }

    /// Whether a write failed, so that only a restart helps.
    pub(crate) fn is_broken(&self) -> bool {
        self.shared.broken.load(Ordering::Relaxed)
    }

    /// Lets attempts that have begun end, for at most `patience`, and begins no others. What is left stays
    /// on disk.
    pub(crate) async fn stop(&self, patience: Duration) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(patience, self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("some events were still being handled when the time to stop was over");
        }
        self.shared.write_ledger_or_break();
        self.shared.ephemeral_task.abort();
    }

    /// How many events wait or are being handled.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.shared.queues.lock().waiting
    }
}

/// Milliseconds since 1970, by the wall clock: rows outlive the process.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
