//! Messages from device to device ([send-to-device messaging]).
//!
//! A message waits in a row until the device has asked for what comes after it.
//!
//! [send-to-device messaging]: https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging

use std::sync::Arc;

use parking_lot::Mutex;
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde_json::value::RawValue;

use super::DeviceObserver;
use crate::{
    room::{Known, Transactions, TxnKey},
    store::{KeyBuf, Position, Store, StoreError, Tree, WriteSet, key},
    sync::Window,
};

/// A message for one device, whole.
#[derive(Debug)]
pub(crate) struct ToDeviceMessage {
    pub(crate) user_id: OwnedUserId,
    pub(crate) device_id: OwnedDeviceId,
    pub(crate) event: Box<RawValue>,
}

/// What waits for devices.
#[derive(Debug)]
pub(crate) struct ToDevice {
    store: Store,
    /// One at a time finds out whether its transaction ID is new.
    sending: Mutex<()>,
    observer: Arc<dyn DeviceObserver>,
}

impl ToDevice {
    pub(super) fn new(store: Store, observer: Arc<dyn DeviceObserver>) -> Self {
        Self { store, sending: Mutex::default(), observer }
    }

    /// Puts messages in line, all or none, and once however often the request is repeated. `wake` is called for every
    /// receiver when the messages can be read.
    pub(crate) async fn send(
        &self,
        transactions: &Transactions,
        txn: &TxnKey,
        messages: Vec<ToDeviceMessage>,
        wake: impl Fn(&UserId) + Send + 'static,
    ) -> Result<(), StoreError> {
        let pending = {
            let _one = self.sending.lock();
            let generation = self.store.generation();
            if transactions.lookup(txn)? == Known::No {
                let mut writes = WriteSet::new();
                // Also where there are no messages: the answer takes a position.
                writes.positioned(|_, _| {});
                let mut receivers = Vec::with_capacity(messages.len());
                for message in messages {
                    let row = row_key(&message.user_id, &message.device_id);
                    let event = message.event.get().as_bytes().to_vec();
                    writes.positioned(move |position, rows| {
                        rows.put(Tree::Edge, row.position(position), event);
                    });
                    self.observer.message(&message, &mut writes);
                    receivers.push(message.user_id);
                }
                transactions.record(txn, "", &mut writes);
                writes.on_visible(move |_| receivers.iter().for_each(|user_id| wake(user_id)));
                self.store.stage(writes)
            } else {
                self.store.stage_barrier(generation)
            }
        };
        pending.await.map(drop)
    }

    /// What waits for a device up to the end of the window, and where. What is before the window was received, and is deleted.
    pub(crate) fn receive(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        window: Window,
    ) -> Result<Vec<(Position, Box<RawValue>)>, StoreError> {
        let (mut events, mut received) = (Vec::new(), WriteSet::new());
        for row in self.store.scan_prefix(Tree::Edge, row_key(user_id, device_id)) {
            let (row_key, event) = row?;
            let damaged = || StoreError::damaged("a message to a device");
            let position = Position::from_suffix(&row_key).ok_or_else(damaged)?;
            if position > window.upto {
                break;
            }
            if window.contains(position) {
                events.push((position, serde_json::from_slice(&event).map_err(|_| damaged())?));
            } else {
                received.delete(Tree::Edge, &*row_key);
            }
        }
        if !received.is_empty() {
            drop(self.store.stage(received));
        }
        Ok(events)
    }

    /// Deletes what waits for a device.
    pub(super) fn stage_removal(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        writes: &mut WriteSet,
    ) -> Result<(), StoreError> {
        for row in self.store.scan_prefix(Tree::Edge, row_key(user_id, device_id)) {
            writes.delete(Tree::Edge, &*row?.0);
        }
        Ok(())
    }
}

/// The rows of what waits for a device, by position.
pub(crate) fn row_key(user_id: &UserId, device_id: &DeviceId) -> KeyBuf {
    key(["to_device", user_id.as_str(), device_id.as_str()])
}
