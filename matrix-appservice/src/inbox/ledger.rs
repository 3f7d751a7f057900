//! What is dealt with, on its way to the disk.
//!
//! Where attempts are not recorded, that an event is dealt with need not be written at once: if it is lost, the
//! event is handled again, as may happen after any crash. So it is collected for a moment, and
//! a transaction whose events are all dealt with by then costs one deletion instead of a row for each.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Shared, journal::ProgressRow, queue::Transaction};
use crate::store::{Batch, StoreError};

/// How long it is collected.
const MOMENT: Duration = Duration::from_millis(20);

#[derive(Default)]
pub(super) struct Ledger {
    /// Events of transactions of which others were still open.
    done: Vec<(Arc<Transaction>, u32)>,
    /// Transactions of which none is open.
    closed: Vec<Arc<Transaction>>,
}

impl Ledger {
    pub(super) fn note(&mut self, transaction: &Arc<Transaction>, index: u32, is_last: bool) {
        if is_last {
            self.closed.push(Arc::clone(transaction));
        } else {
            self.done.push((Arc::clone(transaction), index));
        }
    }

    fn into_batch(self) -> Batch {
        let mut batch = Batch::default();
        for (transaction, index) in self.done {
            if !transaction.is_closed() {
                batch.put_progress(transaction.number, index, &ProgressRow::DONE);
                transaction.touched([index]);
            }
        }
        for transaction in self.closed {
            batch.delete_inbox_transaction(transaction.number, transaction.take_touched().into_iter());
        }
        batch
    }
}

impl Shared {
    /// Writes down what is dealt with, until the inbox stops and nothing is left to write.
    pub(super) async fn keep_ledger(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.ledger_changed.notified() => {}
                () = self.stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(MOMENT) => {}
                () = self.stop.cancelled() => {}
            }
            self.write_ledger_or_break();
        }
    }

    pub(super) fn write_ledger_or_break(&self) {
        if let Err(error) = self.write_ledger() {
            tracing::error!(%error, "the inbox cannot be written; nothing is accepted until a restart");
            self.broken.store(true, Ordering::Relaxed);
        }
    }

    fn write_ledger(&self) -> Result<(), StoreError> {
        let mut ledger = self.ledger.lock();
        let batch = std::mem::take(&mut *ledger).into_batch();
        if batch.is_empty() {
            return Ok(());
        }
        // Under the lock, so that a row is never written after its deletion.
        self.store.apply(batch)
    }
}
