//! Whose keys a user has to ask for again, and whose not to care for any more ([tracking devices]).
//!
//! [tracking devices]: https://spec.matrix.org/v1.19/client-server-api/#tracking-the-device-list-for-a-user

use std::{collections::BTreeSet, sync::Arc};

use ruma::{
    OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use super::Users;
use crate::{
    room::{Room, RoomError, Rooms},
    store::Position,
    sync::{DeviceLists, Window},
};

/// Tells users about the keys of those with whom they share rooms.
#[derive(Debug)]
pub(crate) struct DeviceListTracker {
    pub(crate) users: Arc<Users>,
    pub(crate) rooms: Rooms,
}

/// Who came and went in the encrypted rooms of a user.
#[derive(Debug, Default)]
struct Moves {
    came: BTreeSet<OwnedUserId>,
    went: BTreeSet<OwnedUserId>,
}

impl DeviceListTracker {
    /// What changed for a user within the window. Nothing at first: a client that knows nobody's keys has to ask.
    pub(crate) fn between(&self, user_id: &UserId, window: Window) -> Result<DeviceLists, RoomError> {
        let Some(since) = window.since else { return Ok(DeviceLists::default()) };
        let mut changed: BTreeSet<OwnedUserId> = BTreeSet::new();
        for other in self.users.keys.changes().between(window) {
            if other == user_id || self.rooms.shares_room(user_id, &other)? {
                changed.insert(other);
            }
        }
        changed.extend(self.users.keys.changes().vouched_between(user_id, window)?);
        let moves = self.moves(user_id, since, window.upto)?;
        changed.extend(moves.came.into_iter().filter(|other| other != user_id));
        let mut left = Vec::new();
        for other in moves.went {
            if other != user_id && !self.share_encrypted_room(user_id, &other)? {
                changed.remove(&other);
                left.push(other);
            }
        }
        Ok(DeviceLists { changed: changed.into_iter().collect(), left })
    }

    fn moves(&self, user_id: &UserId, since: Position, upto: Position) -> Result<Moves, RoomError> {
        let mut moves = Moves::default();
        for (room_id, mine) in &self.rooms.of_user(user_id)? {
            let joined = mine.membership == MembershipState::Join;
            if !joined && mine.position <= since {
                continue;
            }
            let Some(room) = self.rooms.get(room_id)? else { continue };
            if room.position() <= since || !self.is_encrypted(&room)? {
                continue;
            }
            if joined {
                self.moves_in(&room, user_id, since, upto, &mut moves)?;
            } else {
                moves.went.extend(room.view().joined_members().map(ToOwned::to_owned));
            }
        }
        Ok(moves)
    }

    /// Who came and went in a room that the user is in.
    fn moves_in(
        &self,
        room: &Room,
        user_id: &UserId,
        since: Position,
        upto: Position,
        moves: &mut Moves,
    ) -> Result<(), RoomError> {
        let moved = self.rooms.moves_since(room, since)?;
        let is_new = moved.iter().any(|moved| moved.user_id == user_id);
        if is_new || self.became_encrypted(room, since, upto)? {
            moves.came.extend(room.view().joined_members().map(ToOwned::to_owned));
        }
        for moved in moved {
            if moved.came() {
                moves.came.insert(moved.user_id);
            } else if moved.went() {
                moves.went.insert(moved.user_id);
            }
        }
        Ok(())
    }

    fn became_encrypted(&self, room: &Room, since: Position, upto: Position) -> Result<bool, RoomError> {
        let encryption =
            self.rooms.current_state_event(&room.room_id, &StateEventType::RoomEncryption, "")?;
        let Some(encryption) = encryption else { return Ok(false) };
        let located = self.rooms.events().locate(encryption.event_id())?;
        Ok(located.is_some_and(|(_, position)| position > since && position <= upto))
    }

    fn is_encrypted(&self, room: &Room) -> Result<bool, RoomError> {
        let event = self.rooms.current_state_event(&room.room_id, &StateEventType::RoomEncryption, "")?;
        Ok(event.is_some())
    }

    fn share_encrypted_room(&self, user_id: &UserId, other: &UserId) -> Result<bool, RoomError> {
        for room_id in self.rooms.joined_rooms(user_id)? {
            if let Some(room) = self.rooms.get(&room_id)?
                && room.membership(other) == Some(MembershipState::Join)
                && self.is_encrypted(&room)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
