//! Rooms that the user is or was in.

use std::collections::HashSet;

use ruma::OwnedRoomId;
use serde_json::{json, value::RawValue};

use super::{
    Sync, SyncRequest, Window, fields,
    reader::{Reader, Tail},
    response::{Counts, JoinedRoom, LeftRoom, State, Timeline, token},
    summary::summary,
};
use crate::{
    room::{
        Access, EventFormat, RoomError, StateTree, StoredEvent, UserRoom, Visibility, lets_through,
        lets_type_through,
    },
    store::Position,
};

/// One response in the making.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) sync: &'a Sync,
    pub(super) request: &'a SyncRequest,
    pub(super) window: Window,
    pub(super) reader: Reader<'a>,
}

impl View<'_> {
    /// A room that the user is in, if there is something to tell.
    pub(super) fn joined(
        &self,
        room_id: &OwnedRoomId,
        mine: &UserRoom,
    ) -> Result<Option<JoinedRoom>, RoomError> {
        let room = self.reader.room(room_id)?;
        let mut joined = JoinedRoom::default();
        self.tell_extras(room_id, &mut joined);
        // Who was not in the room has seen nothing of it.
        let since = match self.window.since {
            Some(since) if mine.position > since && !self.reader.was_joined(mine, since)? => None,
            since => since,
        };
        let everything = since.is_none() || self.request.full_state;
        let quiet = since.is_some_and(|since| room.position() <= since);
        if quiet && !everything {
            let nothing = joined.ephemeral.is_empty() && joined.account_data.is_empty();
            joined.timeline.prev_batch = token(self.window.upto);
            joined.state = self.state_body(Vec::new());
            if nothing {
                return Ok(None);
            }
            self.tell_unread(room_id, &mut joined);
            return Ok(Some(joined));
        }
        let access = self.reader.access(&room, mine, self.window.upto)?;
        let mut visibility = self.reader.visibility(&access)?;
        let tail = self.reader.tail(&access, since, &self.request.filter.room.timeline, &mut visibility)?;
        let (state, changed) = self.state(&access, since, &tail)?;
        joined.timeline = self.timeline(&tail, &mut visibility)?;
        // Who joins has missed what came before.
        joined.timeline.limited |= since.is_none() && self.window.since.is_some();
        joined.state = self.state_body(state);
        if everything || changed {
            joined.summary = summary(&self.sync.rooms, &room.view(), &access.state, &self.request.user_id)?;
        }
        let nothing = !everything
            && joined.timeline.events.is_empty()
            && joined.state.is_empty()
            && joined.ephemeral.is_empty()
            && joined.account_data.is_empty();
        if nothing {
            return Ok(None);
        }
        self.tell_unread(room_id, &mut joined);
        Ok(Some(joined))
    }

    /// A room that the user has left, if there is something to tell.
    pub(super) fn left(&self, room_id: &OwnedRoomId, mine: &UserRoom) -> Result<Option<LeftRoom>, RoomError> {
        let room = self.reader.room(room_id)?;
        let upto = mine.position.min(self.window.upto);
        let access = self.reader.access(&room, mine, upto)?;
        // Who came and went in between has seen nothing of it either.
        let since = match self.window.since {
            Some(since) if !self.reader.was_joined(mine, since)? => None,
            since => since,
        };
        let mut visibility = self.reader.visibility(&access)?;
        let mut tail =
            self.reader.tail(&access, since, &self.request.filter.room.timeline, &mut visibility)?;
        let was_there = self.reader.was_joined_since(mine, self.window.since)?;
        if !was_there {
            // An invitation that was rejected: nothing but that.
            tail.entries.retain(|entry| entry.event.number == mine.number);
            tail.limited = false;
        }
        let state = if was_there { self.state(&access, since, &tail)?.0 } else { Vec::new() };
        let account_data = self.sync.extras.room_account_data(&self.request.user_id, room_id, self.window);
        let mut timeline = self.timeline(&tail, &mut visibility)?;
        // As in a room that is joined: the history is shown from its start, not continued.
        timeline.limited |= was_there && since.is_none() && self.window.since.is_some();
        Ok(Some(LeftRoom { timeline, state: self.state_body(state), account_data: account_data.into() }))
    }

    fn timeline(&self, tail: &Tail, visibility: &mut Visibility<'_>) -> Result<Timeline, RoomError> {
        let mut events = Vec::with_capacity(tail.entries.len());
        for entry in &tail.entries {
            events.push(self.render(&entry.event, Some(&mut *visibility))?);
        }
        Ok(Timeline { events, limited: tail.limited, prev_batch: token(tail.start) })
    }

    /// The state that the client does not know, and whether there is any at all.
    fn state(
        &self,
        access: &Access,
        since: Option<Position>,
        tail: &Tail,
    ) -> Result<(Vec<Box<RawValue>>, bool), RoomError> {
        let rooms = &self.sync.rooms;
        let since = since.filter(|_| !self.request.full_state);
        let known = match since {
            None => StateTree::default(),
            Some(since) => rooms.state_at_position(&access.room, since)?,
        };
        let changed = known != access.state;
        // With a gap, what is before the timeline; without, what no event of the timeline tells.
        let after = self.request.use_state_after || tail.hides_state || (since.is_some() && !tail.limited);
        let told = if after {
            access.state.clone()
        } else {
            rooms.state_at_position(&access.room, tail.start.min(access.state_upto))?
        };
        let in_timeline: HashSet<u64> = if self.request.use_state_after {
            HashSet::new()
        } else {
            tail.entries.iter().map(|entry| entry.event.number).collect()
        };
        let mut entries = told.changed_since(rooms.store(), &known)?;
        entries.retain(|entry| !in_timeline.contains(&entry.number));
        entries.sort_unstable_by_key(|entry| entry.number);

        let filter = &self.request.filter.room.state;
        let lazy = filter.lazy_load_members;
        let mut events = Vec::new();
        for entry in entries {
            if lazy && &*entry.event_type == "m.room.member" {
                continue;
            }
            let event = rooms.events().expect(entry.number)?;
            if lets_through(filter, &event.pdu) {
                events.push(self.render(&event, None)?);
            }
        }
        if lazy {
            let mut members = self.reader.needed_members(&told, since.is_none(), tail)?;
            members.retain(|event| lets_through(filter, &event.pdu) && !in_timeline.contains(&event.number));
            if !filter.include_redundant_members {
                let room_id = &access.room.room_id;
                self.sync.lazy.only_new(self.request, room_id, since, self.window.upto, &mut members);
            }
            for event in members {
                events.push(self.render(&event, None)?);
            }
        }
        Ok((events, changed))
    }

    fn state_body(&self, events: Vec<Box<RawValue>>) -> State {
        if self.request.use_state_after { State::After(events.into()) } else { State::Before(events.into()) }
    }

    /// An event as the client wants it; with what is known from other events, if it is told who sees it.
    fn render(
        &self,
        event: &StoredEvent,
        visibility: Option<&mut Visibility<'_>>,
    ) -> Result<Box<RawValue>, RoomError> {
        let rooms = &self.sync.rooms;
        if self.request.filter.event_format == EventFormat::Federation {
            return Ok(rooms.full_json(event, visibility)?);
        }
        let rendered = self.reader.render(event, visibility)?;
        match &self.request.filter.event_fields {
            None => Ok(rendered),
            Some(wanted) => Ok(fields::only(&rendered, wanted).unwrap_or(rendered)),
        }
    }

    fn tell_extras(&self, room_id: &OwnedRoomId, joined: &mut JoinedRoom) {
        let (extras, user_id) = (&self.sync.extras, &self.request.user_id);
        let filter = &self.request.filter.room.account_data;
        joined.account_data.events = extras.room_account_data(user_id, room_id, self.window);
        joined.account_data.events.retain(|event| {
            lets_type_through(filter.types.as_deref(), &filter.not_types, || fields::text(event, "type"))
        });
        let filter = &self.request.filter.room.ephemeral;
        let wants = |event_type: &str| {
            lets_type_through(filter.types.as_deref(), &filter.not_types, || event_type.to_owned())
        };
        let mut put = |event: serde_json::Value| {
            joined.ephemeral.events.extend(serde_json::value::to_raw_value(&event));
        };
        if wants("m.typing")
            && let Some(typing) = extras.typing(room_id, user_id, self.window)
        {
            put(json!({ "type": "m.typing", "content": { "user_ids": typing } }));
        }
        if wants("m.receipt")
            && let Some(content) = extras.receipts(room_id, user_id, self.window)
        {
            put(json!({ "type": "m.receipt", "content": content }));
        }
    }

    fn tell_unread(&self, room_id: &OwnedRoomId, joined: &mut JoinedRoom) {
        let unread = self.sync.extras.unread(&self.request.user_id, room_id);
        let (mut notifications, mut highlights) = (unread.notifications, unread.highlights);
        if self.request.filter.room.timeline.unread_thread_notifications {
            let counts =
                |(notification_count, highlight_count)| Counts { highlight_count, notification_count };
            joined.unread_thread_notifications =
                unread.threads.into_iter().map(|(thread, of_thread)| (thread, counts(of_thread))).collect();
        } else {
            notifications += unread.threads.values().map(|(notifications, _)| notifications).sum::<u64>();
            highlights += unread.threads.values().map(|(_, highlights)| highlights).sum::<u64>();
        }
        joined.unread_notifications =
            Counts { highlight_count: highlights, notification_count: notifications };
    }
}
