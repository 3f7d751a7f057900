//! What waits for an application service, durably: events in the order of the stream, messages and key counts of its
//! users' devices, and the transaction that is on its way.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::devices::DeviceNews;
use crate::{
    store::{KeyBuf, Position, Store, StoreError, Tree, WriteSet, key},
    user::{ToDeviceMessage, now_ms, to_device_row},
};

/// The most events in one transaction, and the most messages, as other homeservers have it.
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
    #[serde(default, skip_serializing_if = "DeviceNews::is_empty")]
    pub(super) devices: DeviceNews,
    /// The rows that are done with when it is acknowledged, beside its events.
    #[serde(default)]
    told: Told,
}

impl Frozen {
    /// How many events it holds.
    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }
}

/// Rows about devices that a transaction takes out of the queue.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Told {
    messages: Vec<(OwnedUserId, OwnedDeviceId, u64)>,
    counts: Vec<(OwnedUserId, OwnedDeviceId, u64)>,
    /// How far changes of keys have been told.
    lists_upto: Option<u64>,
}

/// A message for a device of one of its users, as it waits for an application service.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WaitingMessage {
    pub(super) user_id: OwnedUserId,
    pub(super) device_id: OwnedDeviceId,
    pub(super) event: Box<RawValue>,
}

/// What could go into the next transaction.
#[derive(Debug)]
pub(super) struct Waiting {
    positions: Vec<u64>,
    /// The numbers of the events, in order.
    pub(super) events: Vec<u64>,
    pub(super) messages: Vec<(u64, WaitingMessage)>,
    /// The devices whose keys have become more or fewer.
    pub(super) counts: Vec<(OwnedUserId, OwnedDeviceId, u64)>,
    /// Changes of keys have been told up to here.
    pub(super) lists_since: Position,
    /// The end of what this is about.
    pub(super) upto: Position,
}

type Turn = Arc<tokio::sync::Mutex<()>>;

/// The queues of all application services.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    pub(super) store: Store,
    /// One at a time takes from a queue, also when an application service is registered again.
    turns: Arc<Mutex<HashMap<String, Turn>>>,
}

impl Queues {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, turns: Arc::default() }
    }

    /// The lock of whoever takes from a queue.
    pub(super) fn turn(&self, appservice: &str) -> Turn {
        self.turns.lock().entry(appservice.to_owned()).or_default().clone()
    }

    /// Puts an event in line, in the batch that stores it.
    pub(super) fn stage(writes: &mut WriteSet, appservice: &str, event: u64) {
        let row = row_key(appservice);
        writes.at_last_position(move |position, rows| {
            rows.put(Tree::Appservice, row.position(position), event.to_be_bytes());
        });
    }

    /// Puts a message to a device in line, in the batch that stores it.
    pub(super) fn stage_message(writes: &mut WriteSet, appservice: &str, message: &ToDeviceMessage) {
        let row = message_key(appservice);
        let waiting = WaitingMessage {
            user_id: message.user_id.clone(),
            device_id: message.device_id.clone(),
            event: message.event.clone(),
        };
        let value = serde_json::to_vec(&waiting).expect("a message is JSON");
        writes.at_last_position(move |position, rows| {
            rows.put(Tree::Appservice, row.position(position), value);
        });
    }

    /// Notes that a device's keys have become more or fewer, in the batch that makes them so.
    pub(super) fn stage_counts(
        writes: &mut WriteSet,
        appservice: &str,
        user_id: &UserId,
        device_id: &DeviceId,
    ) {
        let row = counts_key(appservice).text(user_id.as_str()).text(device_id.as_str());
        writes.positioned(move |position, rows| {
            rows.put(Tree::Appservice, row.position(position), Vec::new());
        });
    }

    /// How many events wait.
    pub(super) fn len(&self, appservice: &str) -> usize {
        self.store.scan_prefix(Tree::Appservice, row_key(appservice)).count()
    }

    /// The event that waits longest, by its number.
    pub(super) fn oldest(&self, appservice: &str) -> Result<Option<u64>, StoreError> {
        let first = self.store.scan_prefix(Tree::Appservice, row_key(appservice)).next();
        first.map(|row| position_of(&row?.1).map(|number| number.0)).transpose()
    }

    /// The transaction that was on its way when the server stopped, if there was one.
    pub(super) fn frozen(&self, appservice: &str) -> Result<Option<Frozen>, StoreError> {
        let Some(row) = self.store.get(Tree::Appservice, frozen_key(appservice))? else { return Ok(None) };
        serde_json::from_slice(&row).map(Some).map_err(|_| StoreError::damaged("a frozen transaction"))
    }

    /// What waits, as far as it fits into one transaction.
    pub(super) fn waiting(&self, appservice: &str) -> Result<Waiting, StoreError> {
        // What is in the store but beyond the frontier may not have been flushed yet.
        let upto = self.store.frontier();
        let (mut positions, mut events) = (Vec::new(), Vec::new());
        for row in self.store.scan_prefix(Tree::Appservice, row_key(appservice)).take(MAX_EVENTS) {
            let (row_key, row) = row?;
            let position = position_of(&row_key)?;
            if position > upto {
                break;
            }
            positions.push(position.0);
            events.push(position_of(&row)?.0);
        }
        let mut messages = Vec::new();
        for row in self.store.scan_prefix(Tree::Appservice, message_key(appservice)).take(MAX_EVENTS) {
            let (row_key, row) = row?;
            let position = position_of(&row_key)?;
            if position > upto {
                break;
            }
            let message = serde_json::from_slice(&row).map_err(|_| StoreError::damaged("a queue"))?;
            messages.push((position.0, message));
        }
        let mut counts = Vec::new();
        for row in self.store.scan_prefix(Tree::Appservice, counts_key(appservice)) {
            let row_key = row?.0;
            let position = position_of(&row_key)?;
            let Some([_, _, user_id, device_id]) = KeyBuf::read::<4>(&row_key) else { continue };
            if let (Ok(user_id), true) = (OwnedUserId::try_from(user_id), position <= upto) {
                counts.push((user_id, OwnedDeviceId::from(device_id), position.0));
            }
        }
        let since = self.store.get(Tree::Appservice, lists_key(appservice))?;
        let lists_since = since.map_or(Ok(Position::ZERO), |row| position_of(&row))?;
        Ok(Waiting { positions, events, messages, counts, lists_since, upto })
    }

    /// Makes the next transaction of what waits, if there is anything to tell.
    pub(super) async fn freeze(
        &self,
        appservice: &str,
        waiting: Waiting,
        devices: DeviceNews,
        ephemeral: Vec<Box<RawValue>>,
    ) -> Result<Option<Frozen>, StoreError> {
        if waiting.positions.is_empty() && ephemeral.is_empty() && devices.is_empty() {
            return Ok(None);
        }
        let next = self.store.get(Tree::Appservice, counter_key(appservice))?;
        let txn_id = next.and_then(|row| Position::from_suffix(&row)).map_or(1, |last| last.0 + 1);
        let messages = waiting.messages.into_iter();
        let told = Told {
            messages: messages.map(|(position, it)| (it.user_id, it.device_id, position)).collect(),
            counts: waiting.counts,
            lists_upto: Some(waiting.upto.0),
        };
        let frozen =
            Frozen { txn_id, positions: waiting.positions, frozen_at: now_ms(), ephemeral, devices, told };
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

    /// Takes an acknowledged transaction out of the queue, and its messages out of those of the devices.
    pub(super) async fn acknowledge(&self, appservice: &str, frozen: &Frozen) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        for position in &frozen.positions {
            writes.delete(Tree::Appservice, row_key(appservice).number(*position));
        }
        for (user_id, device_id, position) in &frozen.told.messages {
            writes.delete(Tree::Appservice, message_key(appservice).number(*position));
            writes.delete(Tree::Edge, to_device_row(user_id, device_id).number(*position));
        }
        for (user_id, device_id, position) in &frozen.told.counts {
            let row = counts_key(appservice).text(user_id.as_str()).text(device_id.as_str());
            writes.delete(Tree::Appservice, row.number(*position));
        }
        if let Some(upto) = frozen.told.lists_upto {
            writes.put(Tree::Appservice, lists_key(appservice), upto.to_be_bytes());
        }
        writes.delete(Tree::Appservice, frozen_key(appservice));
        self.store.commit(writes).await.map(drop)
    }

    /// An application service that was never told of changes of keys is told of those from now on.
    pub(super) async fn begin_lists(&self, appservice: &str) -> Result<(), StoreError> {
        if self.store.contains(Tree::Appservice, lists_key(appservice))? {
            return Ok(());
        }
        let mut writes = WriteSet::new();
        writes.put(Tree::Appservice, lists_key(appservice), self.store.frontier().to_bytes());
        self.store.commit(writes).await.map(drop)
    }

    /// Deletes everything that waits for an application service, when nobody takes from its queue any more.
    pub(crate) async fn drop_all(&self, appservice: &str) -> Result<(), StoreError> {
        let turn = self.turn(appservice);
        let _one = turn.lock().await;
        let mut writes = WriteSet::new();
        for rows in [row_key(appservice), message_key(appservice), counts_key(appservice)] {
            for row in self.store.scan_prefix(Tree::Appservice, rows) {
                writes.delete(Tree::Appservice, &*row?.0);
            }
        }
        writes.delete(Tree::Appservice, lists_key(appservice));
        writes.delete(Tree::Appservice, frozen_key(appservice));
        self.store.commit(writes).await.map(drop)
    }
}

fn position_of(bytes: &[u8]) -> Result<Position, StoreError> {
    Position::from_suffix(bytes).ok_or_else(|| StoreError::damaged("a queue"))
}

fn row_key(appservice: &str) -> KeyBuf {
    key(["event", appservice])
}

fn message_key(appservice: &str) -> KeyBuf {
    key(["to_device", appservice])
}

fn counts_key(appservice: &str) -> KeyBuf {
    key(["key_counts", appservice])
}

fn lists_key(appservice: &str) -> KeyBuf {
    key(["device_lists", appservice])
}

fn frozen_key(appservice: &str) -> KeyBuf {
    key(["frozen", appservice])
}

fn counter_key(appservice: &str) -> KeyBuf {
    key(["txn", appservice])
}
