//! Rooms that the user is not in, but has to do with.

use std::sync::Arc;

use ruma::{OwnedRoomId, events::StateEventType};
use serde_json::value::RawValue;

use super::{
    response::{InvitedRoom, KnockedRoom},
    room::View,
};
use crate::{
    event::stripped_event,
    room::{Room, RoomError, StateTree, UserRoom},
    store::StoreError,
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
        let invitation = self.sync.rooms.events().expect(mine.number)?;
        if self.ignored.contains(&invitation.pdu.sender) {
            return Ok(None);
        }
        Ok(Some(InvitedRoom { invite_state: self.stripped(room_id, mine)?.into() }))
    }

    /// A room that the user has knocked on.
    pub(super) fn knocked(&self, room_id: &OwnedRoomId, mine: &UserRoom) -> Result<KnockedRoom, RoomError> {
        Ok(KnockedRoom { knock_state: self.stripped(room_id, mine)?.into() })
    }

    fn stripped(&self, room_id: &OwnedRoomId, mine: &UserRoom) -> Result<Vec<Box<RawValue>>, RoomError> {
        let room = self.room(room_id)?;
        let state = self.sync.rooms.state_at_position(&room, mine.position)?;
        let mut events = stripped_state(self, &state)?;
        let own = self.sync.rooms.events().expect(mine.number)?;
        if own.pdu.sender != self.request.user_id {
            // Who invites, by name and picture.
            let member = StateEventType::RoomMember;
            let inviter = self.sync.rooms.state_event_in(&state, &member, own.pdu.sender.as_str())?;
            events.extend(inviter.map(|event| stripped_event(&event.pdu)));
        }
        events.push(stripped_event(&own.pdu));
        Ok(events)
    }

    /// A room that a row says there is.
    pub(super) fn room(&self, room_id: &OwnedRoomId) -> Result<Arc<Room>, StoreError> {
        self.sync.rooms.get(room_id)?.ok_or_else(|| StoreError::damaged(format!("room {room_id} is missing")))
    }
}

fn stripped_state(view: &View<'_>, state: &StateTree) -> Result<Vec<Box<RawValue>>, RoomError> {
    let mut events = Vec::with_capacity(SHOWN.len() + 1);
    for event_type in SHOWN {
        if let Some(event) = view.sync.rooms.state_event_in(state, &event_type, "")? {
            events.push(stripped_event(&event.pdu));
        }
    }
    Ok(events)
}
