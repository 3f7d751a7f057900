//! One room's events, one after the other.

use std::sync::Arc;

use ruma::{MilliSecondsSinceUnixEpoch, OwnedRoomId, RoomId};

use super::{
    Delivered, Queued, Shared,
    row::{self, DeliveredRow},
};
use crate::{
    client::ClientError,
    store::{Batch, StoreError, Tree},
};

/// Sends a room's events until there are none left or the process stops.
pub(super) async fn run(shared: Arc<Shared>, room_id: OwnedRoomId) {
    let mut attempt = 0;
    while let Some(taken) = take(&shared, &room_id) {
        let result = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            result = send(&shared, &taken) => result,
        };
        match result {
            Err(error) if error.is_retryable() => {
                attempt += 1;
                let pause = shared.retry.pause(attempt, error.retry_after());
                tracing::warn!(%room_id, attempt, %error, "could not send; trying again in {pause:?}");
                put_back(&shared, &room_id, taken);
                tokio::select! {
                    () = shared.shutdown.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
            result => {
                attempt = 0;
                settle(&shared, taken, &result.map_err(Arc::new));
            }
        }
    }
}

/// Takes the next event; when there is none, the queue goes too, and with it this worker.
fn take(shared: &Shared, room_id: &RoomId) -> Option<Queued> {
    let mut queues = shared.queues.lock();
    let queue = queues.get_mut(room_id)?;
    if queue.is_empty() {
        queues.remove(room_id);
        return None;
    }
    queue.pop_front()
}

fn put_back(shared: &Shared, room_id: &RoomId, taken: Queued) {
    if let Some(queue) = shared.queues.lock().get_mut(room_id) {
        queue.push_front(taken);
    }
}

async fn send(shared: &Shared, taken: &Queued) -> Result<ruma::OwnedEventId, ClientError> {
    let _one_of_many = shared.rooms_at_once.acquire().await;
    let event = &taken.row.event;
    let delivered = shared.store.get_json::<DeliveredRow>(Tree::Delivered, event.key.as_bytes());
    if let Ok(Some(row)) = delivered {
        // The same key was pushed twice before the first was delivered.
        return Ok(row.event_id);
    }
    let intent = shared.intents.of(&event.sender);
    intent.send(&event.room_id, &event.event_type, &event.content).at(event.ts).key(&event.key).await
}

/// Marks the event as sent or dead. This need not be flushed: if it is lost, the event is sent again under the same
/// transaction ID.
fn settle(shared: &Shared, mut taken: Queued, result: &Delivered) {
    let mut batch = Batch::default();
    batch.delete(Tree::Outbox, &row::key(taken.number));
    match result {
        Ok(event_id) => {
            let row = DeliveredRow { event_id: event_id.clone(), at: MilliSecondsSinceUnixEpoch::now() };
            batch.put_json(Tree::Delivered, taken.row.event.key.as_bytes(), &row);
        }
        Err(error) => {
            let event = &taken.row.event;
            tracing::error!(room_id = %event.room_id, user_id = %event.sender, %error, "an event was refused");
            taken.row.refused = Some(error.to_string());
            batch.put_json(Tree::OutboxDead, &row::key(taken.number), &taken.row);
            shared.metrics.dead_letters.inc();
        }
    }
    if let Err(error) = shared.store.apply(batch) {
        report(&error);
    }
    shared.metrics.outbox_events.dec();
    for done in taken.done {
        // Whoever went away does not want to know.
        let _ = done.send(result.clone());
    }
}

fn report(error: &StoreError) {
    tracing::error!(%error, "could not mark an event as sent; it will be sent again under the same ID");
}
