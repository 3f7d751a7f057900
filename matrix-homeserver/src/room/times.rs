//! Finding the event of a room that was sent nearest to a time ([jumping to a date]).
//!
//! Nearly every event was sent after those before it in the timeline. Each row of a timeline holds the newest time up to
//! it, which never falls, so among those events a time is found by halving. The others are *late*: an application
//! service says when they were sent, or the clock was set back. Of these there is an index.
//!
//! [jumping to a date]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1roomsroomidtimestamp_to_event

use std::{
    cmp::Ordering,
    ops::RangeInclusive,
    sync::{Arc, OnceLock},
};

use ruma::{MilliSecondsSinceUnixEpoch, RoomId, UserId, events::StateEventType};

use super::{
    Access, Direction, RoomError, Rooms, Visibility,
    live::Room,
    load::{self, Times},
    stored::StoredEvent,
};
use crate::store::{KeyBuf, Position, StoreError, Tree, key};

/// The newest time in a room, and where the event is that has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Newest {
    pub(super) time: u64,
    pub(super) position: Arc<OnceLock<Position>>,
}

/// The rows of the late events of a room, by time and position.
pub(super) fn late_key(room: u64, time: u64) -> KeyBuf {
    key(["late"]).number(room).number(time)
}

/// When an event was sent, in milliseconds.
pub(super) fn sent_at(event: &StoredEvent) -> u64 {
    event.pdu.origin_server_ts.get().into()
}

/// An event where it is.
type Found = (Position, Arc<StoredEvent>);

/// Looks for an event for somebody.
struct Search<'a> {
    rooms: &'a Rooms,
    access: &'a Access,
    viewer: &'a UserId,
    visibility: Visibility<'a>,
    /// Where it changes what the viewer sees, in order. Known when it was needed.
    changes: Option<Vec<Position>>,
}

enum Judgement {
    Shown(Arc<StoredEvent>),
    /// The viewer does not want to see this one.
    Unwanted,
    /// The viewer may not see it, nor what is around it.
    Hidden,
}

impl Rooms {
    /// The event of a room that was sent nearest to a time: at or after it going forward, at or before it going back.
    /// Of several at the same time, the first that is met in the direction.
    pub(crate) fn event_near(
        &self,
        room_id: &RoomId,
        viewer: &UserId,
        time: MilliSecondsSinceUnixEpoch,
        direction: Direction,
    ) -> Result<Option<Arc<StoredEvent>>, RoomError> {
        let access = self.access(room_id, viewer)?;
        let visibility = self.visibility(&access, viewer)?;
        let mut search = Search { rooms: self, access: &access, viewer, visibility, changes: None };
        let time = time.get().into();
        let punctual = match direction {
            Direction::Forward => search.punctual_from(time)?,
            Direction::Backward => search.punctual_until(time)?,
        };
        let limit = punctual.as_ref().map(|(_, event)| sent_at(event));
        let late = search.late(time, direction, limit)?;
        let nearer = |one: &Found, other: &Found| {
            let order = (sent_at(&one.1), one.0).cmp(&(sent_at(&other.1), other.0));
            if direction == Direction::Forward { order } else { order.reverse() }
        };
        let nearest = match (punctual, late) {
            (Some(punctual), Some(late)) if nearer(&late, &punctual) == Ordering::Less => Some(late),
            (None, late) => late,
            (punctual, _) => punctual,
        };
        Ok(nearest.map(|(_, event)| event))
    }

    /// The rows of a room's timeline between two positions, with the times that are in them.
    fn times(
        &self,
        room: &Room,
        range: RangeInclusive<Position>,
    ) -> impl DoubleEndedIterator<Item = Result<Row, StoreError>> + use<> {
        let prefix = load::timeline_key(room.number);
        let (start, end) = range.into_inner();
        // An empty range where the bounds have crossed.
        let end = prefix.clone().position(end.next().max(start));
        self.store().range(Tree::Timeline, prefix.position(start)..end).map(|row| {
            let (row_key, value) = row?;
            let (position, number, _) = load::read_timeline(&row_key, &value)?;
            Ok(Row { position, number, times: load::read_times(&value)? })
        })
    }
}

/// A row of a timeline.
struct Row {
    position: Position,
    number: u64,
    times: Times,
}

impl Row {
    fn is_late(&self) -> bool {
        self.times.newest_at != self.position
    }
}

impl Search<'_> {
    /// Where the first event is up to which some event was sent at or after a time. Behind everything, if none was.
    fn first_reaching(&self, time: u64) -> Result<Position, StoreError> {
        let (mut low, mut high) = (Position::ZERO, self.access.upto.next());
        while low < high {
            let middle = Position(low.0 + (high.0 - low.0) / 2);
            let row = self.rooms.times(&self.access.room, middle..=self.access.upto).next().transpose()?;
            match row {
                Some(row) if row.times.newest < time => low = row.position.next(),
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The first that is not late and was sent at or after a time.
    fn punctual_from(&mut self, time: u64) -> Result<Option<Found>, StoreError> {
        let mut start = self.first_reaching(time)?;
        let upto = self.access.upto;
        while let Some(row) = self.rooms.times(&self.access.room, start..=upto).next() {
            let row = row?;
            start = row.position.next();
            if row.is_late() {
                continue;
            }
            match self.judge(row.number)? {
                Judgement::Shown(event) => return Ok(Some((row.position, event))),
                Judgement::Unwanted => {}
                Judgement::Hidden => {
                    let next = self.changes()?.iter().copied().find(|change| *change > row.position);
                    let Some(next) = next else { return Ok(None) };
                    start = next;
                }
            }
        }
        Ok(None)
    }

    /// The last that is not late and was sent at or before a time.
    fn punctual_until(&mut self, time: u64) -> Result<Option<Found>, StoreError> {
        let mut end = self.first_reaching(time.saturating_add(1))?.before();
        while let Some(row) = self.rooms.times(&self.access.room, Position::ZERO..=end).next_back() {
            let row = row?;
            if row.is_late() {
                // All from there to here are.
                end = row.times.newest_at;
                continue;
            }
            end = row.position.before();
            match self.judge(row.number)? {
                Judgement::Shown(event) => return Ok(Some((row.position, event))),
                Judgement::Unwanted => {}
                Judgement::Hidden => {
                    let last = self.changes()?.iter().copied().rfind(|change| *change < row.position);
                    let Some(last) = last else { return Ok(None) };
                    end = last;
                }
            }
        }
        Ok(None)
    }

    /// The first of the late ones from a time on in a direction, up to another time.
    fn late(
        &mut self,
        time: u64,
        direction: Direction,
        limit: Option<u64>,
    ) -> Result<Option<Found>, RoomError> {
        let room = self.access.room.number;
        let (first, last) = match direction {
            Direction::Forward => (time, limit.unwrap_or(u64::MAX)),
            Direction::Backward => (limit.unwrap_or(0), time),
        };
        let range =
            late_key(room, first).position(Position::ZERO)..=late_key(room, last).position(Position::MAX);
        let mut rows = self.rooms.store().range(Tree::Room, range);
        loop {
            let row = if direction == Direction::Forward { rows.next() } else { rows.next_back() };
            let Some(row) = row else { return Ok(None) };
            let (row_key, value) = row?;
            let damaged = || StoreError::damaged("a late event");
            let position = Position::from_suffix(&row_key).ok_or_else(damaged)?;
            let number = Position::from_suffix(&value).ok_or_else(damaged)?.0;
            if position > self.access.upto {
                continue;
            }
            if let Judgement::Shown(event) = self.judge(number)? {
                return Ok(Some((position, event)));
            }
        }
    }

    fn judge(&mut self, number: u64) -> Result<Judgement, StoreError> {
        let event = self.rooms.events().expect(number)?;
        Ok(if self.visibility.sees(&event)? {
            Judgement::Shown(event)
        } else if self.visibility.may_see(&event)? {
            Judgement::Unwanted
        } else {
            Judgement::Hidden
        })
    }

    /// Where the viewer came and went, and where the room said who sees its history. Between two of these the viewer
    /// sees everything or nothing.
    fn changes(&mut self) -> Result<&[Position], StoreError> {
        if self.changes.is_none() {
            let mut changes = Vec::new();
            let state = self.access.room.view().state.clone();
            let member = (StateEventType::RoomMember, self.viewer.as_str());
            for (event_type, state_key) in [member, (StateEventType::RoomHistoryVisibility, "")] {
                let mut next = self.rooms.state_event_in(&state, &event_type, state_key)?;
                while let Some(event) = next {
                    let located = self.rooms.events().locate(event.event_id())?;
                    changes.extend(located.map(|(_, position)| position));
                    next =
                        event.meta.replaces.map(|number| self.rooms.events().expect(number)).transpose()?;
                }
            }
            changes.sort_unstable();
            self.changes = Some(changes);
        }
        Ok(self.changes.as_deref().unwrap_or_default())
    }
}
