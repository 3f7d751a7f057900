//! Requests to the network whose outcome is open, and the journal of what the network did.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{Batch, Store, StoreError, Tree};
use crate::{
    bridge::{RemoteEvent, SendError},
    network_id::{LoginId, PortalKey, RemoteMessageId, TxnKey},
};

/// A request to the network whose outcome is open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SendRow {
    pub(crate) key: TxnKey,
    pub(crate) portal: PortalKey,
    pub(crate) login: LoginId,
    pub(crate) event_id: OwnedEventId,
    pub(crate) sender: OwnedUserId,
    pub(crate) begun: MilliSecondsSinceUnixEpoch,
    pub(crate) state: SendState,
    /// The Matrix event as it arrived, to send it again where the network says that it was not sent.
    pub(crate) event: serde_json::Value,
    /// What the network has confirmed so far.
    #[serde(default)]
    pub(crate) ids: Vec<RemoteMessageId>,
}

/// How far a request to the network has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SendState {
    /// The network was called and has not answered.
    Sending,
    /// The network took it and has not confirmed it.
    Pending,
    /// The network did not take it, and it will be sent again.
    Again,
}

impl Store {
    pub(crate) fn send(&self, key: &TxnKey) -> Result<Option<SendRow>, StoreError> {
        self.get_json(Tree::Sends, key.as_str().as_bytes())
    }

    /// What the network confirmed before the outcome of the call was known.
    pub(crate) fn confirmed_early(&self, key: &TxnKey) -> Result<Option<Vec<RemoteMessageId>>, StoreError> {
        self.get_json(Tree::ConfirmedEarly, key.as_str().as_bytes())
    }

    pub(crate) fn sends(&self) -> Result<Vec<SendRow>, StoreError> {
        self.scan_json(Tree::Sends, &[])
    }
}

impl Batch {
    pub(crate) fn put_send(&mut self, row: &SendRow) {
        self.put_json(Tree::Sends, row.key.as_str().as_bytes(), row);
    }

    pub(crate) fn put_confirmed_early(&mut self, key: &TxnKey, ids: &[RemoteMessageId]) {
        self.put_json(Tree::ConfirmedEarly, key.as_str().as_bytes(), &ids);
    }

    /// The outcome is known.
    pub(crate) fn delete_send(&mut self, key: &TxnKey) {
        self.delete(Tree::Sends, key.as_str().as_bytes());
        self.delete(Tree::ConfirmedEarly, key.as_str().as_bytes());
    }
}

/// What a login handed to its sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct JournalRow {
    pub(crate) login: LoginId,
    pub(crate) portal: PortalKey,
    pub(crate) entry: JournalEntry,
}

/// One thing that a login handed to its sink.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum JournalEntry {
    /// Something happened.
    Event(RemoteEvent),
    /// The network refused what was sent.
    Fail { key: TxnKey, error: SendError },
}

impl Store {
    /// The journal in order, each row with its number.
    pub(crate) fn journal(&self) -> Result<Vec<(u64, JournalRow)>, StoreError> {
        let rows = self.scan(Tree::Journal, &[])?;
        rows.into_iter()
            .map(|(key, value)| {
                let number = <[u8; 8]>::try_from(&key[..])
                    .map(u64::from_be_bytes)
                    .map_err(|_| StoreError::corrupt(Tree::Journal))?;
                let row = serde_json::from_slice(&value).map_err(|_| StoreError::corrupt(Tree::Journal))?;
                Ok((number, row))
            })
            .collect()
    }
}

impl Batch {
    pub(crate) fn put_journal(&mut self, number: u64, row: &JournalRow) {
        self.put_json(Tree::Journal, &number.to_be_bytes(), row);
    }

    pub(crate) fn delete_journal(&mut self, number: u64) {
        self.delete(Tree::Journal, &number.to_be_bytes());
    }
}
