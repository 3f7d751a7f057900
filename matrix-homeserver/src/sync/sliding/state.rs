//! What is told of the state of a room, and what follows from it.

use std::collections::HashSet;

use imbl::OrdSet;
use ruma::{
    OwnedUserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::value::RawValue;

use super::{
    required::RequiredState,
    response::{Hero, RoomBody},
    rooms::{Standing, Teller},
};
use crate::{
    room::{Access, RoomError, RoomState, StateTree},
    sync::{reader::Tail, summary},
};

pub(super) const MEMBER: &str = "m.room.member";
/// How many members are remembered to be known to a client; of more, some are told once more.
const MOST_MEMBERS: usize = 256;

/// What happened to the state of a room.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Changes {
    name: bool,
    avatar: bool,
    members: bool,
}

/// State that is told.
pub(super) struct StateNews {
    pub(super) events: Vec<Box<RawValue>>,
    pub(super) changes: Changes,
    /// Whom the client then knows of those who were needed.
    pub(super) members: OrdSet<OwnedUserId>,
}

impl Teller<'_> {
    /// The required state that the client does not know.
    pub(super) fn state(
        &self,
        access: &Access,
        standing: &Standing<'_>,
        required: &RequiredState,
        tail: Option<&Tail>,
    ) -> Result<StateNews, RoomError> {
        let (rooms, store) = (self.reader.rooms, self.reader.rooms.store());
        // Whoever is told of a limited timeline forgets which members it knows.
        let is_limited = tail.is_some_and(|tail| tail.limited);
        let nothing = RequiredState::default();
        let named_before = standing.before.map_or(&nothing, |before| &before.required);
        let mut numbers = required.pick(store, &access.state, named_before)?;
        let mut changes = Changes::default();
        let mut changed_members = HashSet::new();
        if let Some(since) = standing.since {
            let known = rooms.state_at_position(&access.room, since)?;
            for entry in access.state.changed_since(store, &known)? {
                changes.note(&entry.event_type);
                // Otherwise a client with some members hears of all changes.
                let is_member = &*entry.event_type == MEMBER;
                let is_heard = is_member && required.lazy_members && !is_limited;
                if is_heard || required.names(&entry.event_type, &entry.state_key) {
                    numbers.push(entry.number);
                }
                if is_member {
                    changed_members.insert(entry.number);
                }
            }
        }
        let known = standing.before.filter(|_| required.lazy_members && !is_limited);
        let mut members = known.map(|before| before.members.clone()).unwrap_or_default();
        if let Some(tail) = tail.filter(|_| required.lazy_members) {
            for event in self.reader.needed_members(&access.state, false, tail)? {
                let user_id = event.pdu.state_key.as_deref().and_then(|key| OwnedUserId::try_from(key).ok());
                let Some(user_id) = user_id else { continue };
                if !members.contains(&user_id) || changed_members.contains(&event.number) {
                    numbers.push(event.number);
                    if members.len() >= MOST_MEMBERS {
                        members.clear();
                    }
                    members.insert(user_id);
                }
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        let mut events = Vec::with_capacity(numbers.len());
        for number in numbers {
            events.push(self.reader.render(&*rooms.events().expect(number)?, None)?);
        }
        Ok(StateNews { events, changes, members })
    }

    /// Adds what a room is called and how many are in it, as far as that is new.
    pub(super) fn describe(
        &self,
        access: &Access,
        changes: Changes,
        body: &mut RoomBody,
    ) -> Result<(), RoomError> {
        let initial = body.initial;
        let name = self.text(&access.state, &StateEventType::RoomName, "name")?;
        let is_named = name.is_some();
        if initial || changes.avatar {
            let avatar = self.text(&access.state, &StateEventType::RoomAvatar, "url")?;
            body.avatar = (!initial || avatar.is_some()).then_some(avatar);
        }
        if initial || changes.name {
            body.name = (!initial || is_named).then_some(name);
        }
        if access.membership == Some(MembershipState::Join) {
            let view = access.room.view();
            if initial || changes.members {
                (body.joined_count, body.invited_count) = (Some(view.joined), Some(view.invited));
            }
            if !is_named && (initial || changes.members || changes.name) {
                body.heroes = self.heroes(&view);
            }
        }
        Ok(())
    }

    fn heroes(&self, view: &RoomState) -> Vec<Hero> {
        let heroes = summary::heroes(view, self.reader.user_id).into_iter().map(|user_id| {
            let member = view.members.get(&user_id);
            Hero {
                displayname: member.and_then(|member| member.displayname.as_deref().map(str::to_owned)),
                avatar_url: member.and_then(|member| member.avatar_url.as_deref().map(str::to_owned)),
                user_id,
            }
        });
        heroes.collect()
    }

    /// A text in a state event, if it says something.
    pub(super) fn text(
        &self,
        state: &StateTree,
        kind: &StateEventType,
        field: &str,
    ) -> Result<Option<String>, RoomError> {
        let event = self.reader.rooms.state_event_in(state, kind, "")?;
        Ok(event.and_then(|event| event.pdu.content_text(field)).filter(|text| !text.is_empty()))
    }
}

impl Changes {
    fn note(&mut self, event_type: &str) {
        match event_type {
            "m.room.name" => self.name = true,
            "m.room.avatar" => self.avatar = true,
            MEMBER => self.members = true,
            _ => {}
        }
    }

    pub(super) fn any(self) -> bool {
        self.name || self.avatar || self.members
    }
}
