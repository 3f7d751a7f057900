//! Handling one event: when, how, and what comes of it.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use prometheus_client::metrics::gauge::Gauge;
use serde_json::value::RawValue;

use super::{
    Rejected, Shared,
    journal::{DeadLetter, ProgressRow},
    now_ms,
    queue::{Item, Kind, QueueKey},
};
use crate::{
    metrics::ByOutcome,
    service::{EventContext, Outcome, RoomEvent, ToDevice},
    store::{Batch, StoreError},
};

impl Shared {
    /// Waits until the event may be tried.
    pub(super) async fn until_due(&self, item: &Item) {
        let wait = item.progress.not_before.saturating_sub(now_ms());
        if wait > 0 {
            let _parked = Parked::count(&self.metrics.rooms_parked);
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    /// Tries the first event of a queue. Whether the queue's task may go on.
    pub(super) async fn attempt(self: &Arc<Self>, key: &QueueKey, item: Arc<Item>) -> bool {
        // Never closed.
        let Ok(permit) = self.permits.acquire().await else { return false };
        if self.stop.is_cancelled() {
            return false;
        }
        let records = self.handler.records_attempts();
        if records && !item.progress.begun && self.begin(key, &item).await.is_err() {
            return false;
        }
        let outcome = self.handle(&item).await;
        drop(permit);
        self.metrics.events.get_or_create(&ByOutcome { outcome: outcome.name() }).inc();
        let settled = match outcome {
            Outcome::Retry { after, reason } => self.park(key, &item, after, &reason),
            Outcome::Reject { reason, notify } => self.reject(key, &item, &reason, notify, records).await,
            Outcome::Done => self.finish(key, &item, Batch::default(), records).await,
        };
        if let Err(error) = settled {
            tracing::error!(%error, "the inbox cannot be written; its room waits for a restart");
            self.broken.store(true, std::sync::atomic::Ordering::Relaxed);
            return false;
        }
        true
    }

    async fn begin(&self, key: &QueueKey, item: &Item) -> Result<(), StoreError> {
        let progress = ProgressRow { begun: true, ..item.progress };
        let mut batch = Batch::default();
        batch.put_progress(item.transaction.number, item.index, &progress);
        item.transaction.touched([item.index]);
        self.queues.lock().update_front(key, progress);
        self.store.commit(batch).await
    }

    async fn handle(&self, item: &Item) -> Outcome {
        let cx = EventContext {
            attempt: item.progress.attempts,
            interrupted: item.interrupted,
            idempotency_key: item.name.clone(),
            age: Duration::from_millis(now_ms().saturating_sub(item.transaction.accepted)),
        };
        let malformed = |error: serde_json::Error| Outcome::Reject {
            reason: format!("the event is malformed: {error}"),
            notify: false,
        };
        let handled = async {
            match item.kind {
                Kind::Event => match RoomEvent::read(&item.json, &item.name) {
                    Ok(event) => self.handler.event(&cx, event).await,
                    Err(error) => malformed(error),
                },
                Kind::ToDevice => match serde_json::from_str::<ToDevice>(item.json.get()) {
                    Ok(message) => self.handler.to_device(&cx, message).await,
                    Err(error) => malformed(error),
                },
            }
        };
        AssertUnwindSafe(handled).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(event_id = %item.name, "the handler panicked; the event will be tried again");
            Outcome::Retry { after: Duration::ZERO, reason: "the handler panicked".to_owned() }
        })
    }

    /// Keeps the event for another attempt.
    fn park(
        self: &Arc<Self>,
        key: &QueueKey,
        item: &Item,
        after: Duration,
        reason: &str,
    ) -> Result<(), StoreError> {
        let attempts = item.progress.attempts.saturating_add(1);
        let age = Duration::from_millis(now_ms().saturating_sub(item.transaction.accepted));
        if age > self.config.give_up_after {
            let reason = format!("given up after {attempts} attempts: {reason}");
            let batch = self.dead_letter(key, item, &reason, true);
            return self.close(key, item, batch, false).map(drop);
        }
        let pause = if after.is_zero() { self.pause(attempts) } else { after };
        tracing::warn!(event_id = %item.name, attempt = attempts, ?pause, "will try again: {reason}");
        let not_before = now_ms().saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
        let progress = ProgressRow { done: false, begun: false, attempts, not_before };
        let mut batch = Batch::default();
        batch.put_progress(item.transaction.number, item.index, &progress);
        item.transaction.touched([item.index]);
        self.queues.lock().update_front(key, progress);
        self.store.apply(batch)
    }

    fn pause(&self, attempts: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1).min(16));
        self.config.first_pause.saturating_mul(doubled).min(self.config.longest_pause)
    }

    async fn reject(
        self: &Arc<Self>,
        key: &QueueKey,
        item: &Item,
        reason: &str,
        notify: bool,
        records: bool,
    ) -> Result<(), StoreError> {
        tracing::warn!(event_id = %item.name, "kept as a dead letter: {reason}");
        let batch = self.dead_letter(key, item, reason, notify);
        self.finish(key, item, batch, records).await
    }

    fn dead_letter(&self, key: &QueueKey, item: &Item, reason: &str, notify: bool) -> Batch {
        let event: &RawValue = &item.json;
        let letter = DeadLetter { reason, given_up: now_ms(), attempts: item.progress.attempts, event };
        let mut batch = Batch::default();
        batch.put_dead_letter(item.transaction.number, item.index, &letter);
        self.metrics.dead_letters.inc();
        if let QueueKey::Room(room_id) = key
            && notify
            && let Ok(room_id) = ruma::OwnedRoomId::try_from(&**room_id)
        {
            (self.on_reject)(Rejected { room_id, event_id: item.name.clone(), reason: reason.to_owned() });
        }
        batch
    }

    /// The event is dealt with; with recorded attempts, the next one's begins in the same flush.
    async fn finish(
        self: &Arc<Self>,
        key: &QueueKey,
        item: &Item,
        batch: Batch,
        records: bool,
    ) -> Result<(), StoreError> {
        match self.close(key, item, batch, records)? {
            Some(batch) => self.store.commit(batch).await,
            None => Ok(()),
        }
    }

    /// Removes the event from its queue. The batch to flush before the next event is handled, if any.
    fn close(
        self: &Arc<Self>,
        key: &QueueKey,
        item: &Item,
        mut batch: Batch,
        begin_next: bool,
    ) -> Result<Option<Batch>, StoreError> {
        let transaction = &item.transaction;
        let is_last = transaction.close_one();
        if !self.handler.records_attempts() {
            self.ledger.lock().note(transaction, item.index, is_last);
            self.ledger_changed.notify_one();
        } else if is_last {
            batch.delete_inbox_transaction(transaction.number, transaction.take_touched().into_iter());
        } else {
            batch.put_progress(transaction.number, item.index, &ProgressRow::DONE);
            transaction.touched([item.index]);
        }
        self.metrics.inbox_events.dec();
        let lag = now_ms().saturating_sub(transaction.accepted);
        self.metrics.inbox_lag.observe(Duration::from_millis(lag).as_secs_f64());
        match self.queues.lock().pop(key, begin_next) {
            Some((next, index, progress)) => {
                next.touched([index]);
                batch.put_progress(next.number, index, &progress);
                Ok(Some(batch))
            }
            None if batch.is_empty() => Ok(None),
            None => self.store.apply(batch).map(|()| None),
        }
    }
}

/// Counts a parked room for as long as it lives, also when the wait is cancelled.
struct Parked<'a>(&'a Gauge);

impl<'a> Parked<'a> {
    fn count(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
