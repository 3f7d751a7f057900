//! What is new in one room.

use std::sync::Arc;

use ruma::events::{StateEventType, room::member::MembershipState};

use super::{
    bump::BumpStamps,
    connection::{RoomTold, Told},
    lists::Wanted,
    response::{RoomBody, TimelineBody},
    state::MEMBER,
};
use crate::{
    room::{Access, Room, RoomError, RoomEventFilter},
    store::Position,
    sync::{
        SyncExtras, Unread,
        reader::{Reader, Tail},
        response::token,
    },
};

/// One answer in the making.
pub(super) struct Teller<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) extras: &'a dyn SyncExtras,
    pub(super) bumps: &'a BumpStamps,
    /// What the client knows.
    pub(super) told: &'a Told,
    /// It knows nothing at all.
    pub(super) is_first: bool,
    /// Up to where it is told.
    pub(super) upto: Position,
}

/// A room with what the client is about to know of it.
#[derive(Default)]
pub(super) struct News {
    /// Absent, where there is nothing to tell.
    pub(super) body: Option<RoomBody>,
    pub(super) told: RoomTold,
}

/// How a room that the user is or was in compares with what the client knows of it.
pub(super) struct Standing<'a> {
    room: Arc<Room>,
    /// Up to where it is told.
    end: Position,
    /// Up to where the client knows it. Nothing of it, where absent.
    pub(super) since: Option<Position>,
    pub(super) before: Option<&'a RoomTold>,
    unread: (u64, u64),
    /// More of the last events are wanted than the client has.
    grew: bool,
    /// More of the state is wanted than was before.
    wants_more_state: bool,
    /// What is told of the room beside its events differs.
    differs: bool,
}

impl Standing<'_> {
    /// Whether there is nothing to look at.
    fn is_quiet(&self) -> bool {
        let nothing_happened = self.since.is_some_and(|since| self.room.position().min(self.end) <= since);
        nothing_happened && !self.grew && !self.differs && !self.wants_more_state
    }

    /// How many of the last events the client has without a gap, once it has these.
    fn events(&self, wanted: &Wanted<'_>, tail: Option<&Tail>) -> usize {
        let before = self.before.map_or(0, |before| before.events);
        let Some(tail) = tail else { return before };
        let is_from_the_start = self.since.is_none() || self.grew;
        match (is_from_the_start, tail.limited) {
            // There are no more.
            (true, false) => usize::MAX,
            (false, false) => before,
            (_, true) => wanted.events,
        }
    }
}

impl<'a> Teller<'a> {
    /// What is new in a room that is wanted.
    pub(super) fn room(&self, wanted: &Wanted<'_>, is_dm: bool) -> Result<News, RoomError> {
        let since = self.told.since(wanted.room_id);
        let mut news = match wanted.mine.membership {
            MembershipState::Join => self.seen(wanted, is_dm)?,
            MembershipState::Invite | MembershipState::Knock => self.outside(wanted, since)?,
            _ if self.reader.was_joined_since(wanted.mine, since)? => self.seen(wanted, is_dm)?,
            _ => self.declined(wanted, since)?,
        };
        news.told.is_dm = is_dm;
        if let Some(body) = &mut news.body {
            let was_dm = self.told.rooms.get(wanted.room_id).is_some_and(|before| before.is_dm);
            body.is_dm = (is_dm || (was_dm && !body.initial)).then_some(is_dm);
        }
        Ok(news)
    }

    fn standing(&self, wanted: &Wanted<'_>, is_dm: bool) -> Result<Standing<'a>, RoomError> {
        let Wanted { room_id, mine, events, required, .. } = wanted;
        let is_in = mine.membership == MembershipState::Join;
        // Who was not in the room has seen nothing of it.
        let since = match self.told.since(room_id) {
            Some(since) if mine.position > since && !self.reader.was_joined(mine, since)? => None,
            since => since,
        };
        let before = self.told.rooms.get(*room_id).filter(|_| since.is_some()).map(AsRef::as_ref);
        let unread = if is_in { self.extras.unread(self.reader.user_id, room_id) } else { Unread::default() };
        let unread = (unread.notifications, unread.highlights);
        Ok(Standing {
            room: self.reader.room(room_id)?,
            end: if is_in { self.upto } else { mine.position.min(self.upto) },
            since,
            before,
            unread,
            grew: before.is_some_and(|before| *events > before.events),
            wants_more_state: before.is_some_and(|before| !before.required.covers(required)),
            differs: before.is_some_and(|before| unread != before.unread || is_dm != before.is_dm),
        })
    }

    /// A room that the user is or was in.
    fn seen(&self, wanted: &Wanted<'_>, is_dm: bool) -> Result<News, RoomError> {
        let standing = self.standing(wanted, is_dm)?;
        let told = standing.before.cloned().unwrap_or_default();
        // The one that is known already, where both are the same.
        let required =
            if told.required == wanted.required { &told.required } else { &wanted.required }.clone();
        let mut told = RoomTold { until: None, unread: standing.unread, required, ..told };
        if standing.is_quiet() {
            return Ok(News { body: None, told });
        }
        let access = self.reader.access(&standing.room, wanted.mine, standing.end)?;
        let (tail, timeline) = self.timeline(&access, &standing, wanted.events)?.unzip();
        let state = self.state(&access, &standing, &wanted.required, tail.as_ref())?;
        told.members = state.members;
        told.events = standing.events(wanted, tail.as_ref());
        let mut body = RoomBody {
            bump_stamp: self.bump_stamp(wanted, &standing)?,
            initial: standing.since.is_none(),
            unstable_expanded_timeline: standing.grew,
            required_state: state.events,
            timeline,
            notification_count: standing.unread.0,
            highlight_count: standing.unread.1,
            ..RoomBody::default()
        };
        self.describe(&access, state.changes, &mut body)?;
        let has_events = body.timeline.as_ref().is_some_and(|timeline| !timeline.events.is_empty());
        let has_state = !body.required_state.is_empty() || state.changes.any();
        let is_something = body.initial || has_events || has_state || standing.differs;
        Ok(News { body: is_something.then_some(body), told })
    }

    /// A room that the user is invited to or has knocked on.
    fn outside(&self, wanted: &Wanted<'_>, since: Option<Position>) -> Result<News, RoomError> {
        let mine = wanted.mine;
        if since.is_some_and(|since| mine.position <= since) {
            return Ok(News::default());
        }
        let room = self.reader.room(wanted.room_id)?;
        let state = self.reader.rooms.state_at_position(&room, mine.position)?;
        let body = RoomBody {
            bump_stamp: Some(mine.position.0),
            initial: true,
            name: self.text(&state, &StateEventType::RoomName, "name")?.map(Some),
            avatar: self.text(&state, &StateEventType::RoomAvatar, "url")?.map(Some),
            invite_state: self.reader.stripped(wanted.room_id, mine)?,
            ..RoomBody::default()
        };
        Ok(News { body: Some(body), told: RoomTold::default() })
    }

    /// An invitation that was declined or taken back, or a knock that came to nothing: nothing but that.
    fn declined(&self, wanted: &Wanted<'_>, since: Option<Position>) -> Result<News, RoomError> {
        let mine = wanted.mine;
        if since.is_none_or(|since| mine.position <= since) {
            return Ok(News::default());
        }
        let event = self.reader.rooms.events().expect(mine.number)?;
        let required = &wanted.required;
        let is_required = required.lazy_members || required.names(MEMBER, self.reader.user_id.as_str());
        let state = is_required.then(|| self.reader.render(&event, None)).transpose()?;
        let timeline = (wanted.events > 0).then(|| self.reader.render(&event, None)).transpose()?;
        let body = RoomBody {
            bump_stamp: Some(mine.position.0),
            required_state: state.into_iter().collect(),
            timeline: timeline.map(|event| TimelineBody {
                events: vec![event],
                limited: false,
                prev_batch: token(Position(mine.position.0.saturating_sub(1))),
                num_live: 1,
            }),
            ..RoomBody::default()
        };
        Ok(News { body: Some(body), told: RoomTold::default() })
    }

    /// The last events that the client does not know, if events are wanted at all.
    fn timeline(
        &self,
        access: &Access,
        standing: &Standing<'_>,
        limit: usize,
    ) -> Result<Option<(Tail, TimelineBody)>, RoomError> {
        if limit == 0 {
            return Ok(None);
        }
        let since = standing.since.filter(|_| !standing.grew);
        let filter = RoomEventFilter { limit: Some(limit), ..RoomEventFilter::default() };
        let mut visibility = self.reader.visibility(access)?;
        let tail = self.reader.tail(access, since, &filter, &mut visibility)?;
        let mut events = Vec::with_capacity(tail.entries.len());
        for entry in &tail.entries {
            events.push(self.reader.render(&entry.event, Some(&mut visibility))?);
        }
        let is_live = |position: Position| !self.is_first && position > self.told.upto;
        let num_live = tail.entries.iter().filter(|entry| is_live(entry.position)).count();
        let body = TimelineBody { events, limited: tail.limited, prev_batch: token(tail.start), num_live };
        Ok(Some((tail, body)))
    }

    /// When something was last said in a room, if the client does not know it; when the user left, in one that is left.
    fn bump_stamp(&self, wanted: &Wanted<'_>, standing: &Standing<'_>) -> Result<Option<u64>, RoomError> {
        let stamp = match wanted.mine.membership {
            MembershipState::Join => self.bumps.of(self.reader.rooms, &standing.room, standing.end)?,
            _ => wanted.mine.position,
        };
        let is_new = standing.grew || standing.since.is_none_or(|since| stamp > since);
        Ok(is_new.then_some(stamp.0))
    }
}
