//! Which members a device was told of that loads them only as it needs them ([lazy loading]).
//!
//! [lazy loading]: https://spec.matrix.org/v1.19/client-server-api/#lazy-loading-room-members

use std::{collections::HashMap, fmt, num::NonZeroUsize};

use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::SyncRequest;
use crate::{room::StoredEvent, store::Position};

/// Of how many rooms of devices this is remembered.
const KEPT: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// How many members of a room are remembered.
const KEPT_MEMBERS: usize = 1024;

type Key = (OwnedUserId, Option<OwnedDeviceId>, OwnedRoomId);

/// A member event that was told, and the token that the client got with it. A client that comes with this token or
/// a later one has it; one that comes with an earlier one may have lost the answer.
#[derive(Debug, Clone, Copy)]
struct Told {
    number: u64,
    with: Position,
}

/// What devices were told, as far as it is remembered. Who is forgotten is told once more.
pub(super) struct LazyMembers {
    told: Mutex<LruCache<Key, HashMap<OwnedUserId, Told>>>,
}

impl LazyMembers {
    pub(super) fn new() -> Self {
        let mut told = LruCache::unbounded();
        told.resize(KEPT);
        Self { told: Mutex::new(told) }
    }

    /// Leaves of some member events those that the client does not have, and remembers that it gets them now.
    pub(super) fn only_new(
        &self,
        request: &SyncRequest,
        room_id: &RoomId,
        since: Option<Position>,
        with: Position,
        members: &mut Vec<std::sync::Arc<StoredEvent>>,
    ) {
        let key = (request.user_id.clone(), request.device_id.clone(), room_id.to_owned());
        let mut told = self.told.lock();
        let told = told.get_or_insert_mut(key, HashMap::new);
        if since.is_none() || told.len() > KEPT_MEMBERS {
            // A client that starts anew knows nobody.
            told.clear();
        }
        members.retain(|event| {
            let Some(user_id) = event.pdu.state_key.as_deref().and_then(|key| <&UserId>::try_from(key).ok())
            else {
                return true;
            };
            let known = told.get(user_id).is_some_and(|told| {
                told.number == event.number && since.is_some_and(|since| told.with <= since)
            });
            if !known {
                told.insert(user_id.to_owned(), Told { number: event.number, with });
            }
            !known
        });
    }
}

impl fmt::Debug for LazyMembers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyMembers").field("kept", &self.told.lock().len()).finish()
    }
}
