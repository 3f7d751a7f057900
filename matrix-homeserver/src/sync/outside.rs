//! Rooms that the user is not in, but has to do with.

use ruma::{OwnedRoomId, events::StateEventType};
use serde_json::value::RawValue;

use super::{
    reader::Reader,
    response::{InvitedRoom, KnockedRoom},
    room::View,
};
use crate::{
    event::stripped_event,
    room::{RoomError, UserRoom},
};

/// What somebody is shown of a room that he is not in ([stripped state]).
///
/// [stripped state]: https://spec.matrix.org/v1.19/client-server-api/#stripped-state
const SHOWN: [StateEventType; 7] = [
    StateEventType::RoomCreate,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomJoinRules,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
];

impl View<'_> {
    /// A room that the user is invited to; not if he does not want to hear of who invites him.
    pub(super) fn invited(
        &self,
        room_id: &OwnedRoomId,
        mine: &UserRoom,
    ) -> Result<Option<InvitedRoom>, RoomError> {
        let invitation = self.reader.rooms.events().expect(mine.number)?;
        if self.reader.ignored.contains(&invitation.pdu.sender) {
            return Ok(None);
        }
        Ok(Some(InvitedRoom { invite_state: self.reader.stripped(room_id, mine)?.into() }))
    }

    /// A room that the user has knocked on.
    pub(super) fn knocked(&self, room_id: &OwnedRoomId, mine: &UserRoom) -> Result<KnockedRoom, RoomError> {
        Ok(KnockedRoom { knock_state: self.reader.stripped(room_id, mine)?.into() })
    }
}

impl Reader<'_> {
    /// What the user is shown of a room that he is not in: some of its state, and his own membership.
    pub(super) fn stripped(
        &self,
        room_id: &OwnedRoomId,
        mine: &UserRoom,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let state = self.rooms.state_at_position(&*self.room(room_id)?, mine.position)?;
        let mut events = Vec::with_capacity(SHOWN.len() + 2);
        for event_type in SHOWN {
            let event = self.rooms.state_event_in(&state, &event_type, "")?;
            events.extend(event.map(|event| stripped_event(&event.pdu)));
        }
        let own = self.rooms.events().expect(mine.number)?;
        if own.pdu.sender != self.user_id {
            // Who invites, by name and picture.
            let member = StateEventType::RoomMember;
            let inviter = self.rooms.state_event_in(&state, &member, own.pdu.sender.as_str())?;
            events.extend(inviter.map(|event| stripped_event(&event.pdu)));
        }
        events.push(stripped_event(&own.pdu));
        Ok(events)
    }
}
