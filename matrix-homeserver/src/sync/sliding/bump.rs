//! When something was last said in a room.

use std::{fmt, num::NonZeroUsize};

use lru::LruCache;
use parking_lot::Mutex;

use crate::{
    room::{Room, Rooms},
    store::{Position, StoreError},
    sync::reader::newest_first,
};

/// What bumps a room to the top of a client's list. That somebody came or went, or reacted, does not.
const BUMPS: [&str; 7] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "m.beacon_info",
];
/// Of how many rooms it is remembered.
const KEPT: NonZeroUsize = NonZeroUsize::new(16_384).expect("not zero");

/// Where in every room something was last said, as far as that was asked for. The next time only what came since is
/// looked at.
pub(super) struct BumpStamps {
    /// By the number of the room: up to where it was looked, and what was found.
    known: Mutex<LruCache<u64, (Position, Position)>>,
}

impl BumpStamps {
    pub(super) fn new() -> Self {
        let mut known = LruCache::unbounded();
        known.resize(KEPT);
        Self { known: Mutex::new(known) }
    }

    /// Where something was last said in a room, up to a position.
    pub(super) fn of(&self, rooms: &Rooms, room: &Room, upto: Position) -> Result<Position, StoreError> {
        let (looked, known) = self.known.lock().get(&room.number).copied().unwrap_or_default();
        if upto <= looked {
            return Ok(known);
        }
        let mut found = known;
        for entry in newest_first(rooms, room, looked, upto) {
            let entry = entry?;
            if BUMPS.contains(&&*entry.event.pdu.event_type.to_string()) {
                found = entry.position;
                break;
            }
        }
        self.known.lock().put(room.number, (upto, found));
        Ok(found)
    }
}

impl fmt::Debug for BumpStamps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BumpStamps").field("known", &self.known.lock().len()).finish()
    }
}
