//! An event as it lies in the store.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event to be sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutboxEvent {
    /// Who sends it.
    pub sender: OwnedUserId,
    /// Where to.
    pub room_id: OwnedRoomId,
    /// Its type, such as `m.room.message`.
    pub event_type: String,
    /// Its content.
    pub content: Value,
    /// When it happened on the other network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts: Option<MilliSecondsSinceUnixEpoch>,
    /// What it is recognised by. Unique within one store for all time.
    pub key: String,
}

impl OutboxEvent {
    /// An event of `sender` in `room_id`, recognised by `key`: the same key is the same event for ever.
    /// Derive it from what it is about: the chat, the message of the network, the part, the operation.
    pub fn new(
        sender: OwnedUserId,
        room_id: OwnedRoomId,
        event_type: impl Into<String>,
        content: Value,
        key: impl Into<String>,
    ) -> Self {
        Self { sender, room_id, event_type: event_type.into(), content, ts: None, key: key.into() }
    }

    /// When it happened on the other network.
    pub fn at(mut self, ts: MilliSecondsSinceUnixEpoch) -> Self {
        self.ts = Some(ts);
        self
    }
}

/// An event in the store, under [`key`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) event: OutboxEvent,
    /// When it was handed over.
    pub(super) pushed: MilliSecondsSinceUnixEpoch,
    /// Why it is dead, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
}

/// What became of an event, under its key.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DeliveredRow {
    pub(super) event_id: OwnedEventId,
    pub(super) at: MilliSecondsSinceUnixEpoch,
}

impl Row {
    pub(super) fn new(event: OutboxEvent, pushed: MilliSecondsSinceUnixEpoch) -> Self {
        Self { event, pushed, refused: None }
    }

    pub(super) fn into_dead_letter(self) -> (OutboxEvent, String) {
        (self.event, self.refused.unwrap_or_default())
    }
}

/// The key of the row with this number: rows lie in the order in which they were pushed.
pub(super) fn key(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number of the row with this key.
pub(super) fn number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}
