//! Which rooms an application service wants to hear of
//! ([pushing events](https://spec.matrix.org/v1.19/application-service-api/#pushing-events)).

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId, UserId};

use super::{Appservice, Ownership};

/// What is known of the rooms that were looked at since the server started.
#[derive(Debug, Default)]
pub(super) struct Interest {
    rooms: Mutex<HashMap<OwnedRoomId, RoomInterest>>,
}

#[derive(Debug, Default)]
struct RoomInterest {
    /// By its ID or one of its aliases.
    by_name: bool,
    /// Joined members who are in the namespace.
    members: HashSet<OwnedUserId>,
}

/// A room as far as interest depends on it, asked only for rooms that are new to an application service.
pub(crate) trait RoomFacts {
    fn joined_members(&self) -> Vec<OwnedUserId>;
    fn aliases(&self) -> Vec<OwnedRoomAliasId>;
}

/// An event as far as interest depends on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventFacts<'a> {
    pub(crate) room_id: &'a RoomId,
    pub(crate) sender: &'a UserId,
    /// For membership events: whose, and whether it is a join.
    pub(crate) member: Option<(&'a UserId, bool)>,
}

impl Appservice {
    /// Whether the application service is to be told of an event, which is about to happen.
    pub(super) fn is_interested(&self, event: EventFacts<'_>, room: &dyn RoomFacts) -> bool {
        let mut rooms = self.interest.rooms.lock();
        let known = match rooms.get_mut(event.room_id) {
            Some(known) => known,
            None => {
                rooms.entry(event.room_id.to_owned()).or_insert_with(|| self.look_at(event.room_id, room))
            }
        };
        let mut interested = known.by_name || !known.members.is_empty() || self.may_act_as(event.sender);
        if let Some((user_id, joins)) = event.member {
            let ours = self.may_act_as(user_id);
            interested |= ours;
            if ours && joins {
                known.members.insert(user_id.to_owned());
            } else if ours {
                known.members.remove(user_id);
            }
        }
        interested
    }

    /// Whether the application service is to be told what happens in a room besides its events.
    pub(crate) fn is_interested_in_room(&self, room_id: &RoomId, room: &dyn RoomFacts) -> bool {
        let mut rooms = self.interest.rooms.lock();
        let known = rooms.entry(room_id.to_owned()).or_insert_with(|| self.look_at(room_id, room));
        known.by_name || !known.members.is_empty()
    }

    /// Whether one of its users is in a room.
    pub(super) fn has_members_in(&self, room_id: &RoomId, room: &dyn RoomFacts) -> bool {
        let mut rooms = self.interest.rooms.lock();
        let known = rooms.entry(room_id.to_owned()).or_insert_with(|| self.look_at(room_id, room));
        !known.members.is_empty()
    }

    fn look_at(&self, room_id: &RoomId, room: &dyn RoomFacts) -> RoomInterest {
        let by_name = self.namespaces.room(room_id.as_str()) != Ownership::None
            || room.aliases().iter().any(|alias| self.may_own_alias(alias));
        let members = room.joined_members().into_iter().filter(|user_id| self.may_act_as(user_id)).collect();
        RoomInterest { by_name, members }
    }

    /// The aliases of a room have changed: it is looked at anew.
    pub(super) fn forget_interest(&self, room_id: &RoomId) {
        self.interest.rooms.lock().remove(room_id);
    }
}
