//! Going through the history of a room.

use std::sync::Arc;

use ruma::{EventId, UserId};

use super::{
    Direction, RoomError, Rooms,
    filter::RoomEventFilter,
    live::{Room, TimelineEntry},
    load,
    state_tree::StateTree,
    stored::StoredEvent,
    visibility::Access,
};
use crate::store::{Position, StoreError, Tree};

/// How many rows are looked at for one page, when a filter lets few of them through.
const MAX_SCANNED: usize = 5_000;

/// A part of a timeline.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// In the order of the direction.
    pub(crate) events: Vec<(Position, Arc<StoredEvent>)>,
    /// Where the page starts: the `from` that gives it again.
    pub(crate) start: Position,
    /// Where the next page starts. Absent at the end of the history.
    pub(crate) end: Option<Position>,
}

/// An event with what was around it.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) event: Arc<StoredEvent>,
    /// Before the event, the nearest first.
    pub(crate) before: Page,
    /// After the event, the nearest first.
    pub(crate) after: Page,
    /// The state after the last event shown.
    pub(crate) state: StateTree,
}

/// Which part of a timeline is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageRequest<'a> {
    /// A position lies between events: behind the one that has it. The newest or oldest end where absent.
    pub(crate) from: Option<Position>,
    /// Where to stop.
    pub(crate) to: Option<Position>,
    pub(crate) direction: Direction,
    pub(crate) limit: usize,
    pub(crate) filter: &'a RoomEventFilter,
}

impl Rooms {
    /// The rows of a room's timeline in `(after, upto]`.
    pub(crate) fn timeline_rows(
        &self,
        room: &Room,
        after: Position,
        upto: Position,
    ) -> impl DoubleEndedIterator<Item = Result<TimelineEntry, StoreError>> + use<'_> {
        let prefix = load::timeline_key(room.number);
        // An empty range where the bounds have crossed.
        let end = prefix.clone().position(upto.next().max(after.next()));
        let range = prefix.position(after.next())..end;
        self.inner.store.range(Tree::Timeline, range).map(|row| {
            let (key, value) = row?;
            let (position, number, state_after) = load::read_timeline(&key, &value)?;
            Ok(TimelineEntry { position, event: self.inner.events.expect(number)?, state_after })
        })
    }

    /// A part of a room's history, as far as the viewer sees it.
    pub(crate) fn page(
        &self,
        access: &Access,
        viewer: &UserId,
        request: PageRequest<'_>,
    ) -> Result<Page, RoomError> {
        let PageRequest { from, to, direction, limit, filter } = request;
        let forward = direction == Direction::Forward;
        let start = match (from, forward) {
            (Some(from), _) => from.min(access.upto),
            (None, true) => Position::ZERO,
            (None, false) => access.upto,
        };
        let mut rows: Box<dyn Iterator<Item = _>> = if forward {
            let upto = to.unwrap_or(Position::MAX).min(access.upto);
            Box::new(self.timeline_rows(&access.room, start, upto))
        } else {
            Box::new(self.timeline_rows(&access.room, to.unwrap_or_default(), start).rev())
        };
        let mut visibility = self.visibility(access, viewer)?;
        let mut page = Page { events: Vec::new(), start, end: None };
        let mut scanned = 0;
        let mut last = start;
        while page.events.len() < limit && scanned < MAX_SCANNED {
            let Some(row) = rows.next() else { return Ok(page) };
            let entry = row?;
            scanned += 1;
            // Behind the event when going forward, before it when going back.
            last = Position(entry.position.0 - u64::from(!forward));
            if self.wants(filter, &entry.event)? && visibility.sees(&entry.event)? {
                page.events.push((entry.position, entry.event));
            }
        }
        page.end = rows.next().transpose()?.map(|_| last);
        Ok(page)
    }

    /// An event with what was around it: half of `limit` before and half after.
    pub(crate) fn surroundings(
        &self,
        access: &Access,
        viewer: &UserId,
        event_id: &EventId,
        limit: usize,
        filter: &RoomEventFilter,
    ) -> Result<Surroundings, RoomError> {
        let (event, position) = self.visible_event(access, viewer, event_id)?;
        let request =
            |from, direction, limit| PageRequest { from: Some(from), to: None, direction, limit, filter };
        let earlier = Position(position.0.saturating_sub(1));
        let mut before = self.page(access, viewer, request(earlier, Direction::Backward, limit / 2))?;
        let mut after =
            self.page(access, viewer, request(position, Direction::Forward, limit - limit / 2))?;
        // Tokens here say where the window ends, also where nothing is beyond it.
        before.end = before.end.or(Some(before.events.last().map_or(earlier, |(at, _)| Position(at.0 - 1))));
        after.end = after.end.or(Some(after.events.last().map_or(position, |(at, _)| *at)));
        let last = after.events.last().map_or(position, |(at, _)| *at);
        let state = self.state_at_position(&access.room, last.min(access.state_upto))?;
        Ok(Surroundings { event, before, after, state })
    }

    /// An event of a room by its ID, if the viewer sees it.
    pub(crate) fn visible_event(
        &self,
        access: &Access,
        viewer: &UserId,
        event_id: &EventId,
    ) -> Result<(Arc<StoredEvent>, Position), RoomError> {
        let not_found = RoomError::NotFound("there is no such event, or you may not see it");
        let Some((event, position)) = self.inner.events.by_id(event_id)? else { return Err(not_found) };
        if event.pdu.room_id != access.room.room_id
            || position > access.upto
            || !self.visibility(access, viewer)?.sees(&event)?
        {
            return Err(not_found);
        }
        Ok((event, position))
    }
}
