//! Reading rooms.

use std::sync::Arc;

use ruma::{
    EventId, OwnedRoomId, RoomId, UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::value::RawValue;

use super::{
    JsonObject, RoomError, RoomEventFilter, Rooms, Viewer,
    live::RoomState,
    state_tree::StateTree,
    stored::StoredEvent,
    timeline::{Page, PageRequest},
    visibility::{Access, membership_of},
};
use crate::store::Position;

/// Events of a timeline as a client gets them, with the members who sent them where it asked for those only.
#[derive(Debug)]
pub(crate) struct Messages {
    pub(crate) start: Position,
    pub(crate) end: Option<Position>,
    pub(crate) chunk: Vec<Box<RawValue>>,
    pub(crate) state: Vec<Box<RawValue>>,
}

/// An event with what was around it, as a client gets it.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) event: Box<RawValue>,
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) events_before: Vec<Box<RawValue>>,
    pub(crate) events_after: Vec<Box<RawValue>>,
    pub(crate) state: Vec<Box<RawValue>>,
}

/// Which members are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct MembersRequest {
    /// As they were here. Now where absent.
    pub(crate) at: Option<Position>,
    pub(crate) membership: Option<MembershipState>,
    pub(crate) not_membership: Option<MembershipState>,
}

impl Rooms {
    /// The whole state of a room.
    pub(crate) fn state(
        &self,
        room_id: &RoomId,
        viewer: &Viewer<'_>,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let access = self.access(room_id, viewer.user_id)?;
        self.render_state(&access.state, viewer, |_| true)
    }

    /// One state event of a room.
    pub(crate) fn state_event(
        &self,
        room_id: &RoomId,
        viewer: &UserId,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<StoredEvent>>, RoomError> {
        let access = self.access(room_id, viewer)?;
        Ok(self.state_event_in(&access.state, event_type, state_key)?)
    }

    /// One state event of a room as it is now, for the server's own use.
    pub(crate) fn current_state_event(
        &self,
        room_id: &RoomId,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<StoredEvent>>, RoomError> {
        match self.get(room_id)? {
            None => Ok(None),
            Some(room) => Ok(self.state_event_in(&room.view().state, event_type, state_key)?),
        }
    }

    /// The state events of one type that a room has now, for the server's own use.
    pub(crate) fn current_state_of_type(
        &self,
        room_id: &RoomId,
        event_type: &StateEventType,
    ) -> Result<Vec<Arc<StoredEvent>>, RoomError> {
        let Some(room) = self.get(room_id)? else { return Ok(Vec::new()) };
        let event_type = event_type.to_string();
        let mut events = Vec::new();
        for entry in room.view().state.entries(self.store())? {
            if *entry.event_type == *event_type {
                events.push(self.inner.events.expect(entry.number)?);
            }
        }
        Ok(events)
    }

    /// The name and avatar that a user had in a room when an event was sent.
    pub(crate) fn profile_at(&self, event: &StoredEvent, user_id: &UserId) -> Result<JsonObject, RoomError> {
        let state = StateTree::at(event.meta.state_before);
        let member = self.state_event_in(&state, &StateEventType::RoomMember, user_id.as_str())?;
        let mut profile: JsonObject =
            member.and_then(|member| serde_json::from_str(member.pdu.content.get()).ok()).unwrap_or_default();
        profile.retain(|field, _| matches!(field.as_str(), "displayname" | "avatar_url"));
        Ok(profile)
    }

    /// The state events that the condition lets through, as a client gets them.
    pub(crate) fn render_state(
        &self,
        state: &StateTree,
        viewer: &Viewer<'_>,
        wanted: impl Fn(&StoredEvent) -> bool,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let mut entries = state.entries(self.store())?;
        entries.sort_by_key(|entry| entry.number);
        let mut rendered = Vec::with_capacity(entries.len());
        for entry in entries {
            let event = self.inner.events.expect(entry.number)?;
            if wanted(&event) {
                rendered.push(self.render(&event, viewer, None)?);
            }
        }
        Ok(rendered)
    }

    /// An event of a room by its ID.
    pub(crate) fn event(
        &self,
        room_id: &RoomId,
        viewer: &Viewer<'_>,
        event_id: &EventId,
    ) -> Result<Box<RawValue>, RoomError> {
        let access = self.access(room_id, viewer.user_id)?;
        let (event, _) = self.visible_event(&access, viewer.user_id, event_id)?;
        Ok(self.show(&event, viewer, &mut self.visibility(&access, viewer.user_id)?)?)
    }

    /// A part of a room's history.
    pub(crate) fn messages(
        &self,
        room_id: &RoomId,
        viewer: &Viewer<'_>,
        request: PageRequest<'_>,
    ) -> Result<Messages, RoomError> {
        let access = self.access(room_id, viewer.user_id)?;
        let page = self.page(&access, viewer.user_id, request)?;
        let chunk = self.render_page(&access, viewer, &page)?;
        let state =
            self.senders(&access.state, viewer, request.filter, page.events.iter().map(|(_, e)| e))?;
        Ok(Messages { start: page.start, end: page.end, chunk, state })
    }

    /// An event with what was around it.
    pub(crate) fn context(
        &self,
        room_id: &RoomId,
        viewer: &Viewer<'_>,
        event_id: &EventId,
        limit: usize,
        filter: &RoomEventFilter,
    ) -> Result<Context, RoomError> {
        let access = self.access(room_id, viewer.user_id)?;
        let found = self.surroundings(&access, viewer.user_id, event_id, limit, filter)?;
        let shown = || {
            let events = found.before.events.iter().chain(&found.after.events).map(|(_, event)| event);
            events.chain(std::iter::once(&found.event))
        };
        let lazy = filter.lazy_load_members;
        let mut state = self.render_state(&found.state, viewer, |event| {
            super::filter::lets_through(filter, &event.pdu)
                && !(lazy && event.pdu.event_type.to_string() == "m.room.member")
        })?;
        state.extend(self.senders(&found.state, viewer, filter, shown())?);
        Ok(Context {
            event: self.show(&found.event, viewer, &mut self.visibility(&access, viewer.user_id)?)?,
            start: found.before.end.unwrap_or_default(),
            end: found.after.end.unwrap_or_default(),
            events_before: self.render_page(&access, viewer, &found.before)?,
            events_after: self.render_page(&access, viewer, &found.after)?,
            state,
        })
    }

    /// The events of a page as a client gets them.
    pub(crate) fn render_page(
        &self,
        access: &Access,
        viewer: &Viewer<'_>,
        page: &Page,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let mut visibility = self.visibility(access, viewer.user_id)?;
        let mut show = |(_, event): &(Position, Arc<StoredEvent>)| self.show(event, viewer, &mut visibility);
        Ok(page.events.iter().map(&mut show).collect::<Result<_, _>>()?)
    }

    /// The member events of those who sent events, where the filter asks for those members only.
    fn senders<'e>(
        &self,
        state: &StateTree,
        viewer: &Viewer<'_>,
        filter: &RoomEventFilter,
        events: impl Iterator<Item = &'e Arc<StoredEvent>>,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        if !filter.lazy_load_members {
            return Ok(Vec::new());
        }
        let senders: std::collections::BTreeSet<&UserId> = events.map(|event| &*event.pdu.sender).collect();
        let mut members = Vec::with_capacity(senders.len());
        for sender in senders {
            if let Some(event) = self.state_event_in(state, &StateEventType::RoomMember, sender.as_str())? {
                members.push(self.render(&event, viewer, None)?);
            }
        }
        Ok(members)
    }

    /// The member events of a room.
    pub(crate) fn members(
        &self,
        room_id: &RoomId,
        viewer: &Viewer<'_>,
        request: &MembersRequest,
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let access = self.access(room_id, viewer.user_id)?;
        let state = match request.at {
            Some(at) if at < access.state_upto => self.state_seen_at(&access, viewer.user_id, at)?,
            _ => access.state,
        };
        self.render_state(&state, viewer, |event| {
            event.pdu.event_type.to_string() == "m.room.member"
                && membership_of(event).is_some_and(|membership| {
                    request.membership.as_ref().is_none_or(|wanted| *wanted == membership)
                        && request.not_membership.as_ref().is_none_or(|unwanted| *unwanted != membership)
                })
        })
    }

    /// The state of a room at a position, for who sees what was said then.
    fn state_seen_at(&self, access: &Access, viewer: &UserId, at: Position) -> Result<StateTree, RoomError> {
        let Some(last) = self.timeline_rows(&access.room, Position::ZERO, at).next_back().transpose()? else {
            return Ok(StateTree::default());
        };
        if self.visibility(access, viewer)?.may_see(&last.event)? {
            Ok(StateTree::at(last.state_after))
        } else {
            Err(RoomError::forbidden("you may not see this room as it was then"))
        }
    }

    /// Who is joined to a room, with their names and avatars. Only for who is in it.
    pub(crate) fn joined_members(
        &self,
        room_id: &RoomId,
        viewer: &UserId,
    ) -> Result<Arc<RoomState>, RoomError> {
        let room = self.get(room_id)?.ok_or_else(RoomError::not_in_room)?;
        let view = room.view();
        if view.is_joined(viewer) { Ok(view) } else { Err(RoomError::not_in_room()) }
    }

    /// The rooms that a user is joined to.
    pub(crate) fn joined_rooms(&self, user_id: &UserId) -> Result<Vec<OwnedRoomId>, RoomError> {
        let rooms = self.of_user(user_id)?;
        let joined = rooms.iter().filter(|(_, room)| room.membership == MembershipState::Join);
        Ok(joined.map(|(room_id, _)| room_id.clone()).collect())
    }

    /// A user's membership in a room.
    pub(crate) fn membership_of(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Option<MembershipState>, RoomError> {
        Ok(self.get(room_id)?.and_then(|room| room.membership(user_id)))
    }

    /// Whether a user is joined to a room.
    pub(crate) fn is_joined(&self, room_id: &RoomId, user_id: &UserId) -> Result<bool, RoomError> {
        Ok(self.membership_of(room_id, user_id)? == Some(MembershipState::Join))
    }

    /// Whether two users are joined to a room both.
    pub(crate) fn shares_room(&self, user_id: &UserId, other: &UserId) -> Result<bool, RoomError> {
        let (rooms, others) = (self.of_user(user_id)?, self.of_user(other)?);
        let joined = |room: &super::UserRoom| room.membership == MembershipState::Join;
        Ok(rooms.iter().any(|(room_id, room)| joined(room) && others.get(room_id).is_some_and(joined)))
    }
}
