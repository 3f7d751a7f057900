//! What somebody reads of the history of rooms for a response.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use ruma::{
    DeviceId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde_json::value::RawValue;

use crate::{
    event::ClientFormat,
    room::{
        Access, Room, RoomError, RoomEventFilter, Rooms, StateTree, StoredEvent, TimelineEntry, UserRoom,
        Viewer, Visibility, membership_of,
    },
    store::{Position, StoreError},
};

/// How many events of a room are told, unless the client says how many.
const DEFAULT_LIMIT: usize = 10;
/// How many are told at most.
const MAX_LIMIT: usize = 1000;
/// How many are looked at for them, when a filter lets few of them through.
const MAX_SCANNED: usize = 2000;

/// Somebody who reads rooms.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) rooms: &'a Rooms,
    pub(super) user_id: &'a UserId,
    pub(super) device_id: Option<&'a DeviceId>,
    /// Whose events the user does not want to see.
    pub(super) ignored: &'a Arc<HashSet<OwnedUserId>>,
}

/// The last events of a room, the oldest first.
pub(super) struct Tail {
    pub(super) entries: Vec<TimelineEntry>,
    /// There are earlier ones in the window.
    pub(super) limited: bool,
    /// Before the first of them.
    pub(super) start: Position,
    /// Between them is state that the client does not want to see there, or may not.
    pub(super) hides_state: bool,
}

impl<'a> Reader<'a> {
    /// A room that a row says there is.
    pub(super) fn room(&self, room_id: &RoomId) -> Result<Arc<Room>, StoreError> {
        self.rooms.get(room_id)?.ok_or_else(|| StoreError::damaged(format!("room {room_id} is missing")))
    }

    /// A room as it was at a position.
    pub(super) fn access(
        &self,
        room: &Arc<Room>,
        mine: &UserRoom,
        upto: Position,
    ) -> Result<Access, StoreError> {
        let state_upto = match mine.membership {
            MembershipState::Join => upto,
            _ => self.rooms.joined_until(mine.number)?.unwrap_or_default().min(upto),
        };
        let state = self.rooms.state_at_position(room, state_upto)?;
        Ok(Access { room: room.clone(), upto, state_upto, state, membership: Some(mine.membership.clone()) })
    }

    pub(super) fn visibility(&self, access: &Access) -> Result<Visibility<'a>, StoreError> {
        self.rooms.visibility_without(access, self.user_id, self.ignored.clone())
    }

    /// Whether the user was in the room at a position.
    pub(super) fn was_joined(&self, mine: &UserRoom, at: Position) -> Result<bool, StoreError> {
        let mut next = Some(mine.number);
        while let Some(number) = next {
            let event = self.rooms.events().expect(number)?;
            let position = self.rooms.events().locate(event.event_id())?.map(|(_, position)| position);
            if position.is_some_and(|position| position <= at) {
                return Ok(membership_of(&event) == Some(MembershipState::Join));
            }
            next = event.meta.replaces;
        }
        Ok(false)
    }

    /// Whether the user was in the room at a position or at any time after it.
    pub(super) fn was_joined_since(
        &self,
        mine: &UserRoom,
        since: Option<Position>,
    ) -> Result<bool, StoreError> {
        let mut next = Some(mine.number);
        while let Some(number) = next {
            let event = self.rooms.events().expect(number)?;
            if membership_of(&event) == Some(MembershipState::Join) {
                return Ok(true);
            }
            let position = self.rooms.events().locate(event.event_id())?.map(|(_, position)| position);
            if position.is_some_and(|position| since.is_some_and(|since| position <= since)) {
                return Ok(false);
            }
            next = event.meta.replaces;
        }
        Ok(false)
    }

    /// The last events after a position that a filter wants and the user sees.
    pub(super) fn tail(
        &self,
        access: &Access,
        since: Option<Position>,
        filter: &RoomEventFilter,
        visibility: &mut Visibility<'_>,
    ) -> Result<Tail, RoomError> {
        let limit = filter.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
        let mut rows = newest_first(self.rooms, &access.room, since.unwrap_or_default(), access.upto);
        let mut tail = Tail { entries: Vec::new(), limited: false, start: access.upto, hides_state: false };
        for scanned in 0.. {
            let Some(row) = rows.next() else { break };
            let entry = row?;
            let wanted = self.rooms.wants(filter, &entry.event)? && visibility.sees(&entry.event)?;
            if (wanted && tail.entries.len() == limit) || scanned == MAX_SCANNED {
                tail.limited = true;
                break;
            }
            tail.start = Position(entry.position.0 - 1);
            if wanted {
                tail.entries.push(entry);
            } else {
                tail.hides_state |= entry.event.pdu.state_key.is_some();
            }
        }
        tail.entries.reverse();
        Ok(tail)
    }

    /// The member events of those who speak in the timeline or whose membership changes there, and the user's own
    /// where that is wanted.
    pub(super) fn needed_members(
        &self,
        state: &StateTree,
        own: bool,
        tail: &Tail,
    ) -> Result<Vec<Arc<StoredEvent>>, RoomError> {
        let mut users: BTreeSet<&UserId> =
            tail.entries.iter().map(|entry| &*entry.event.pdu.sender).collect();
        if own {
            users.insert(self.user_id);
        }
        // Whose membership changes is told by the event itself.
        let changes =
            tail.entries.iter().filter(|entry| entry.event.pdu.event_type == TimelineEventType::RoomMember);
        users.extend(
            changes.filter_map(|entry| <&UserId>::try_from(entry.event.pdu.state_key.as_deref()?).ok()),
        );
        let mut members = Vec::with_capacity(users.len());
        for user_id in users {
            members.extend(self.rooms.state_event_in(
                state,
                &StateEventType::RoomMember,
                user_id.as_str(),
            )?);
        }
        Ok(members)
    }

    /// An event as the user's device gets it; with what is known from other events, if it is told who sees it.
    pub(super) fn render(
        &self,
        event: &StoredEvent,
        visibility: Option<&mut Visibility<'_>>,
    ) -> Result<Box<RawValue>, RoomError> {
        let viewer = Viewer { user_id: self.user_id, device_id: self.device_id, format: ClientFormat::Sync };
        match visibility {
            Some(visibility) => Ok(self.rooms.show(event, &viewer, visibility)?),
            None => Ok(self.rooms.render(event, &viewer, None)?),
        }
    }
}

/// The events of a room in `(after, upto]`, from memory as far as they are there.
pub(super) fn newest_first<'a>(
    rooms: &'a Rooms,
    room: &Room,
    after: Position,
    upto: Position,
) -> impl Iterator<Item = Result<TimelineEntry, StoreError>> + use<'a> {
    let (complete_after, recent) = room.recent();
    let older = rooms.timeline_rows(room, after, complete_after.min(upto)).rev();
    let recent = recent.into_iter().rev();
    recent.filter(move |entry| entry.position > after && entry.position <= upto).map(Ok).chain(older)
}
