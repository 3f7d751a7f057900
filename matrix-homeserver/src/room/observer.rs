//! Who takes part in every write to a room.

use std::fmt;

use ruma::{RoomId, UserId, events::room::member::MembershipState};

use super::{live::RoomState, stored::StoredEvent};
use crate::store::{Position, WriteSet};

/// An event on its way into the store.
pub(crate) struct Staged<'a> {
    /// The event.
    pub(crate) event: &'a std::sync::Arc<StoredEvent>,
    /// The room with the event in it.
    pub(super) after: &'a RoomState,
}

impl Staged<'_> {
    /// The room.
    pub(crate) fn room_id(&self) -> &RoomId {
        &self.event.pdu.room_id
    }

    /// A user's membership after the event.
    pub(crate) fn membership(&self, user_id: &UserId) -> Option<MembershipState> {
        self.after.members.get(user_id).map(|member| member.membership.clone())
    }

    /// Everybody who is joined after the event. As long as the room is large.
    pub(crate) fn joined_members(&self) -> impl Iterator<Item = &UserId> {
        self.after.joined_members()
    }
}

impl fmt::Debug for Staged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("event_id", &self.event.pdu.event_id).finish_non_exhaustive()
    }
}

/// Who takes part in every write to a room: the queues of the application services, the directory of users,
/// push rules.
pub(crate) trait RoomObserver: Send + Sync + 'static {
    /// Adds rows to the batch of an event. They are written with it or not at all.
    ///
    /// Called once for every accepted event, in the order of the room, under the room's writer: it must not
    /// block. Rows that contain the event's position are added by [`WriteSet::at_last_position`].
    fn stage(&self, staged: &Staged<'_>, writes: &mut WriteSet);

    /// The events up to this position are written and visible.
    ///
    /// Called in the order of the stream, by the thread that writes: it must not block.
    fn committed(&self, room_id: &RoomId, position: Position);
}
