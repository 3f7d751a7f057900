//! What waits for an application service, durably: events in the order of the stream, and the transaction that is on
//! its way.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    store::{KeyBuf, Position, Store, StoreError, Tree, WriteSet, key},
    user::now_ms,
};

/// The most events in one transaction, as other homeservers have it.
pub(super) const MAX_EVENTS: usize = 100;

/// A transaction that was given its ID. It stays as it is until it is acknowledged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Frozen {
    pub(super) txn_id: u64,
    /// The queue positions of its events.
    positions: Vec<u64>,
    /// The time from which the age of its events is reckoned.
    pub(super) frozen_at: u64,
    /// What is not an event: typing, receipts, presence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) ephemeral: Vec<Box<RawValue>>,
}

/// The queues of all application services.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    store: Store,
}

impl Queues {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Puts an event in line, in the batch that stores it.
    pub(super) fn stage(writes: &mut WriteSet, appservice: &str, event: u64) {
        let row = row_key(appservice);
        writes.at_last_position(move |position, rows| {
            rows.put(Tree::Appservice, row.position(position), event.to_be_bytes());
        });
    }

    /// The transaction that was on its way when the server stopped, if there was one.
    pub(super) fn frozen(&self, appservice: &str) -> Result<Option<Frozen>, StoreError> {
        let Some(row) = self.store.get(Tree::Appservice, frozen_key(appservice))? else { return Ok(None) };
        serde_json::from_slice(&row).map(Some).map_err(|_| StoreError::damaged("a frozen transaction"))
    }

    /// Makes the next transaction of what waits, if anything does.
    pub(super) async fn freeze(
        &self,
        appservice: &str,
        ephemeral: Vec<Box<RawValue>>,
    ) -> Result<Option<Frozen>, StoreError> {
        // What is in the store but beyond the frontier may not have been flushed yet.
        let frontier = self.store.frontier();
        let mut positions = Vec::new();
        for row in self.store.scan_prefix(Tree::Appservice, row_key(appservice)).take(MAX_EVENTS) {
            let position = Position::from_suffix(&row?.0).ok_or_else(|| StoreError::damaged("a queue"))?;
            if position > frontier {
                break;
            }
            positions.push(position.0);
        }
        if positions.is_empty() && ephemeral.is_empty() {
            return Ok(None);
        }
        let next = self.store.get(Tree::Appservice, counter_key(appservice))?;
        let txn_id = next.and_then(|row| Position::from_suffix(&row)).map_or(1, |last| last.0 + 1);
        let frozen = Frozen { txn_id, positions, frozen_at: now_ms(), ephemeral };
        let mut writes = WriteSet::new();
        let row = serde_json::to_vec(&frozen).expect("a transaction is plain JSON");
        writes.put(Tree::Appservice, frozen_key(appservice), row);
        writes.put(Tree::Appservice, counter_key(appservice), txn_id.to_be_bytes());
        self.store.commit(writes).await?;
        Ok(Some(frozen))
    }

    /// The numbers of the events of a transaction, in order.
    pub(super) fn events(&self, appservice: &str, frozen: &Frozen) -> Result<Vec<u64>, StoreError> {
        let mut events = Vec::with_capacity(frozen.positions.len());
        for position in &frozen.positions {
            let row = self.store.get(Tree::Appservice, row_key(appservice).number(*position))?;
            let number = row.and_then(|row| Position::from_suffix(&row));
            events.push(number.ok_or_else(|| StoreError::damaged("a queue"))?.0);
        }
        Ok(events)
    }

    /// Takes an acknowledged transaction out of the queue.
    pub(super) async fn acknowledge(&self, appservice: &str, frozen: &Frozen) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        for position in &frozen.positions {
            writes.delete(Tree::Appservice, row_key(appservice).number(*position));
        }
        writes.delete(Tree::Appservice, frozen_key(appservice));
        self.store.commit(writes).await.map(drop)
    }

    /// Deletes everything that waits for an application service.
    pub(crate) async fn drop_all(&self, appservice: &str) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        for row in self.store.scan_prefix(Tree::Appservice, row_key(appservice)) {
            writes.delete(Tree::Appservice, &*row?.0);
        }
        writes.delete(Tree::Appservice, frozen_key(appservice));
        self.store.commit(writes).await.map(drop)
    }
}

fn row_key(appservice: &str) -> KeyBuf {
    key(["event", appservice])
}

fn frozen_key(appservice: &str) -> KeyBuf {
    key(["frozen", appservice])
}

fn counter_key(appservice: &str) -> KeyBuf {
    key(["txn", appservice])
}
