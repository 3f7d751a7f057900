//! Several observers of rooms, one after the other.

use std::sync::Arc;

use ruma::RoomId;

use crate::{
    room::{RoomObserver, Staged},
    store::{Position, WriteSet},
};

/// Lets each observer take part in every write.
pub(super) struct Observers(pub(super) Vec<Arc<dyn RoomObserver>>);

impl RoomObserver for Observers {
    fn stage(&self, staged: &Staged<'_>, writes: &mut WriteSet) {
        for observer in &self.0 {
            observer.stage(staged, writes);
        }
    }

    fn committed(&self, room_id: &RoomId, position: Position) {
        for observer in &self.0 {
            observer.committed(room_id, position);
        }
    }
}
