//! How the queues of the application services take part in every write to a room.

use std::sync::Arc;

use ruma::{
    OwnedRoomAliasId, OwnedUserId, RoomId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};

use super::{
    Appservices,
    interest::{EventFacts, RoomFacts},
};
use crate::{
    directory::Directory,
    room::{RoomObserver, RoomState, Staged},
    store::{Position, WriteSet},
};

/// Puts every event in line for the application services that want it, in the event's own batch.
#[derive(Debug)]
pub(crate) struct AppserviceObserver {
    pub(crate) appservices: Arc<Appservices>,
    pub(crate) directory: Arc<Directory>,
}

impl RoomObserver for AppserviceObserver {
    fn stage(&self, staged: &Staged<'_>, writes: &mut WriteSet) {
        let pdu = &staged.event.pdu;
        let target = match (&pdu.event_type, &pdu.state_key) {
            (TimelineEventType::RoomMember, Some(state_key)) => <&UserId>::try_from(state_key.as_str()).ok(),
            _ => None,
        };
        let member =
            target.map(|user_id| (user_id, staged.membership(user_id) == Some(MembershipState::Join)));
        let event = EventFacts { room_id: &pdu.room_id, sender: &pdu.sender, member };
        let room = StagedRoom { staged, directory: &self.directory };
        self.appservices.stage(event, staged.event.number, &room, writes);
    }

    fn committed(&self, _room_id: &RoomId, _position: Position) {}
}

/// A room with an event in it that is about to be stored.
struct StagedRoom<'a> {
    staged: &'a Staged<'a>,
    directory: &'a Directory,
}

impl RoomFacts for StagedRoom<'_> {
    fn joined_members(&self) -> Vec<OwnedUserId> {
        self.staged.joined_members().map(ToOwned::to_owned).collect()
    }

    fn aliases(&self) -> Vec<OwnedRoomAliasId> {
        self.directory.aliases_of(self.staged.room_id())
    }
}

/// A room as everybody sees it, with its aliases.
pub(crate) struct NamedRoom<'a> {
    pub(crate) room_id: &'a RoomId,
    pub(crate) view: &'a RoomState,
    pub(crate) directory: &'a Directory,
}

impl RoomFacts for NamedRoom<'_> {
    fn joined_members(&self) -> Vec<OwnedUserId> {
        self.view.joined_members().map(ToOwned::to_owned).collect()
    }

    fn aliases(&self) -> Vec<OwnedRoomAliasId> {
        self.directory.aliases_of(self.room_id)
    }
}
