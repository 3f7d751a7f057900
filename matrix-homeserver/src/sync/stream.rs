//! The event stream of 2014: what happens in all rooms of a user, in one order ([`/events`]).
//!
//! [`/events`]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3events

use std::sync::Arc;

use ruma::{RoomId, events::room::member::MembershipState};
use serde_json::value::RawValue;

use super::Sync;
use crate::{
    room::{Access, RoomError, StoredEvent, TimelineEntry, Viewer},
    store::{Position, StoreError},
};

/// How many events of one room are looked at for one answer.
const MAX_SCANNED: usize = 5_000;

/// A part of a stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) events: Vec<Box<RawValue>>,
    /// Everything up to here is told.
    pub(crate) end: Position,
}

/// Events of several rooms before they are put in order.
struct Found {
    events: Vec<(Position, Arc<StoredEvent>, Option<MembershipState>)>,
    end: Position,
}

impl Sync {
    /// Up to where everything is written that has happened.
    pub(crate) fn now(&self) -> Position {
        self.rooms.store().frontier()
    }

    /// What has happened since a position in the rooms of a user while the user was in them, and what happened to the
    /// user's own memberships: the first `limit` events of it.
    pub(crate) fn stream(
        &self,
        viewer: &Viewer<'_>,
        since: Position,
        limit: usize,
    ) -> Result<Stream, RoomError> {
        let (end, rooms) = self.sample(viewer.user_id)?;
        let mut found = Found { events: Vec::new(), end };
        for (room_id, mine) in &rooms {
            let last = if mine.membership == MembershipState::Join { end } else { mine.position.min(end) };
            if mine.forgotten || last <= since {
                continue;
            }
            let membership = Some(mine.membership.clone());
            self.collect(room_id, membership, viewer, since, last, limit, &mut found)?;
        }
        self.finish(viewer, found, limit)
    }

    /// What has happened since a position in one room, whose viewer need not be in it.
    pub(crate) fn peek(
        &self,
        room_id: &RoomId,
        viewer: &Viewer<'_>,
        since: Position,
        limit: usize,
    ) -> Result<Stream, RoomError> {
        let access = self.rooms.access(room_id, viewer.user_id)?;
        let end = self.now();
        let mut found = Found { events: Vec::new(), end };
        let last = access.upto.min(end);
        self.collect(room_id, access.membership, viewer, since, last, limit, &mut found)?;
        self.finish(viewer, found, limit)
    }

    #[expect(clippy::too_many_arguments, reason = "the two ways to ask share everything but where they stop")]
    fn collect(
        &self,
        room_id: &RoomId,
        membership: Option<MembershipState>,
        viewer: &Viewer<'_>,
        since: Position,
        last: Position,
        limit: usize,
        found: &mut Found,
    ) -> Result<(), RoomError> {
        let Some(room) = self.rooms.get(room_id)? else { return Ok(()) };
        if room.position() <= since {
            return Ok(());
        }
        let is_peeking = membership.is_none();
        let state = self.rooms.state_at_position(&room, last)?;
        let access = Access { room: room.clone(), upto: last, state_upto: last, state, membership };
        let mut visibility = self.rooms.visibility(&access, viewer.user_id)?;
        let (complete_after, recent) = room.recent();
        let in_window = |entry: &TimelineEntry| entry.position > since && entry.position <= last;
        let rows: Box<dyn Iterator<Item = Result<TimelineEntry, StoreError>>> = if complete_after <= since {
            Box::new(recent.into_iter().filter(in_window).map(Ok))
        } else {
            Box::new(self.rooms.timeline_rows(&room, since, last))
        };
        let before = found.events.len();
        for (scanned, row) in rows.enumerate() {
            let TimelineEntry { position, event, .. } = row?;
            let about_viewer = event.pdu.is_state("m.room.member", viewer.user_id.as_str());
            let then = visibility.membership_at(&event)?;
            // The viewer does not want to hear of some who invite.
            if about_viewer && then == Some(MembershipState::Invite) && visibility.ignores(&event.pdu.sender)
            {
                continue;
            }
            let present = is_peeking || about_viewer || then == Some(MembershipState::Join);
            if present && visibility.sees(&event)? {
                found.events.push((position, event, then));
            }
            if found.events.len() - before == limit || scanned == MAX_SCANNED {
                found.end = found.end.min(position);
                break;
            }
        }
        Ok(())
    }

    fn finish(&self, viewer: &Viewer<'_>, mut found: Found, limit: usize) -> Result<Stream, RoomError> {
        found.events.retain(|(position, ..)| *position <= found.end);
        found.events.sort_by_key(|(position, ..)| *position);
        if found.events.len() > limit {
            found.events.truncate(limit);
            found.end = found.events.last().map_or(found.end, |(position, ..)| *position);
        }
        let mut events = Vec::with_capacity(found.events.len());
        for (_, event, membership) in found.events {
            events.push(self.rooms.render(&event, viewer, membership)?);
        }
        Ok(Stream { events, end: found.end })
    }
}
