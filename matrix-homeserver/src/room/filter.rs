//! Which events a client wants to see ([filtering]).
//!
//! [filtering]: https://spec.matrix.org/v1.19/client-server-api/#filtering

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;

use super::{Rooms, stored::StoredEvent};
use crate::{
    event::Pdu,
    glob,
    store::{KeyBuf, Position, StoreError, Tree, key},
};

/// What a client wants to see of a sync.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FilterDefinition {
    /// The parts of events to show, by paths with dots.
    pub(crate) event_fields: Option<Vec<String>>,
    pub(crate) event_format: EventFormat,
    pub(crate) presence: EventFilter,
    pub(crate) account_data: EventFilter,
    pub(crate) room: RoomFilter,
}

/// The form of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventFormat {
    #[default]
    Client,
    /// As servers exchange them.
    Federation,
}

/// Which rooms a client wants to see, and what of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RoomFilter {
    pub(crate) not_rooms: Vec<OwnedRoomId>,
    pub(crate) rooms: Option<Vec<OwnedRoomId>>,
    pub(crate) include_leave: bool,
    pub(crate) account_data: RoomEventFilter,
    pub(crate) ephemeral: RoomEventFilter,
    pub(crate) state: RoomEventFilter,
    pub(crate) timeline: RoomEventFilter,
}

/// Which events outside of rooms a client wants to see.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EventFilter {
    pub(crate) limit: Option<usize>,
    pub(crate) not_senders: Vec<OwnedUserId>,
    pub(crate) not_types: Vec<String>,
    pub(crate) senders: Option<Vec<OwnedUserId>>,
    pub(crate) types: Option<Vec<String>>,
}

impl EventFilter {
    /// Whether an event of a type passes, and of a sender if it has one.
    pub(crate) fn lets_through(&self, event_type: &str, sender: Option<&UserId>) -> bool {
        lets_type_through(self.types.as_deref(), &self.not_types, || event_type.to_owned())
            && sender
                .is_none_or(|sender| lets_user_through(self.senders.as_deref(), &self.not_senders, sender))
    }
}

/// Which events of rooms a client wants to see.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RoomEventFilter {
    pub(crate) limit: Option<usize>,
    pub(crate) not_senders: Vec<OwnedUserId>,
    pub(crate) not_types: Vec<String>,
    pub(crate) senders: Option<Vec<OwnedUserId>>,
    pub(crate) types: Option<Vec<String>>,
    pub(crate) not_rooms: Vec<OwnedRoomId>,
    pub(crate) rooms: Option<Vec<OwnedRoomId>>,
    /// Only events with a `url` in their content, or only those without.
    pub(crate) contains_url: Option<bool>,
    /// Of the members of a room only those who are needed to show the events.
    pub(crate) lazy_load_members: bool,
    /// Also those who were told before.
    pub(crate) include_redundant_members: bool,
    /// Count what is unread thread by thread.
    pub(crate) unread_thread_notifications: bool,
    /// Only events that somebody of these has related another to.
    pub(crate) related_by_senders: Option<Vec<OwnedUserId>>,
    /// Only events that another relates to in one of these ways.
    pub(crate) related_by_rel_types: Option<Vec<String>>,
}

impl Rooms {
    /// Whether a filter lets an event of a room through, also by what relates to it.
    pub(crate) fn wants(&self, filter: &RoomEventFilter, event: &StoredEvent) -> Result<bool, StoreError> {
        if !lets_through(filter, &event.pdu) {
            return Ok(false);
        }
        let (senders, kinds) = (&filter.related_by_senders, &filter.related_by_rel_types);
        if senders.is_none() && kinds.is_none() {
            return Ok(true);
        }
        for row in self.store().scan_prefix(Tree::Relation, key([event.event_id().as_str()])) {
            let (row_key, _) = row?;
            let damaged = || StoreError::damaged("a relation");
            let [_, kind] = KeyBuf::read::<2>(&row_key).ok_or_else(damaged)?;
            if kinds.as_ref().is_some_and(|kinds| !kinds.iter().any(|wanted| wanted == kind)) {
                continue;
            }
            let related = self.events().expect(Position::from_suffix(&row_key).ok_or_else(damaged)?.0)?;
            let by_wanted = senders.as_ref().is_none_or(|senders| senders.contains(&related.pdu.sender));
            if by_wanted && related.meta.redacted_by.is_none() && related.pdu.room_id == event.pdu.room_id {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a filter lets an event of a room through, by what is in the event.
pub(crate) fn lets_through(filter: &RoomEventFilter, pdu: &Pdu) -> bool {
    lets_type_through(filter.types.as_deref(), &filter.not_types, || pdu.event_type.to_string())
        && lets_user_through(filter.senders.as_deref(), &filter.not_senders, &pdu.sender)
        && lets_room_through(filter.rooms.as_deref(), &filter.not_rooms, &pdu.room_id)
        && filter.contains_url.is_none_or(|wanted| wanted == pdu.content_text("url").is_some())
}

/// Whether lists of wanted and unwanted types let an event of a type through. `*` stands for any text.
pub(crate) fn lets_type_through(
    types: Option<&[String]>,
    not_types: &[String],
    event_type: impl FnOnce() -> String,
) -> bool {
    if types.is_none() && not_types.is_empty() {
        return true;
    }
    let event_type = event_type();
    let any = |patterns: &[String]| patterns.iter().any(|pattern| glob::matches(pattern, &event_type));
    types.is_none_or(any) && !any(not_types)
}

/// Whether lists of wanted and unwanted users let an event of a user through.
pub(crate) fn lets_user_through(
    users: Option<&[OwnedUserId]>,
    not_users: &[OwnedUserId],
    user_id: &UserId,
) -> bool {
    users.is_none_or(|users| users.iter().any(|user| user == user_id))
        && !not_users.iter().any(|user| user == user_id)
}

/// Whether lists of wanted and unwanted rooms let a room through.
pub(crate) fn lets_room_through(
    rooms: Option<&[OwnedRoomId]>,
    not_rooms: &[OwnedRoomId],
    room_id: &RoomId,
) -> bool {
    rooms.is_none_or(|rooms| rooms.iter().any(|room| room == room_id))
        && !not_rooms.iter().any(|room| room == room_id)
}
