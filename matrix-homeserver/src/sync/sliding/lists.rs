//! Which rooms are in which list, and which of them a request wants.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use ruma::{
    OwnedRoomId, RoomId,
    events::{StateEventType, room::member::MembershipState},
};
use serde_json::Value;

use super::{
    connection::Told,
    request::{ListConfig, ListFilters, RoomConfig, SlidingBody},
    required::RequiredState,
    response::{List, Operation},
};
use crate::{
    room::{RoomError, RoomsOfUser, StateTree, UserRoom},
    store::Position,
    sync::{SyncExtras, reader::Reader},
};

/// A room that a request wants, by all the rules that match it.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) room_id: &'a OwnedRoomId,
    pub(super) mine: &'a UserRoom,
    /// How many of the last events.
    pub(super) events: usize,
    pub(super) required: Arc<RequiredState>,
    pub(super) lists: Vec<&'a str>,
    pub(super) subscribed: bool,
}

/// What a request makes of the user's rooms.
#[derive(Debug, Default)]
pub(super) struct Selection<'a> {
    pub(super) lists: BTreeMap<String, List>,
    pub(super) rooms: BTreeMap<&'a OwnedRoomId, Wanted<'a>>,
}

/// Goes through the rooms of a user for one answer.
pub(super) struct Selector<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) extras: &'a dyn SyncExtras,
    pub(super) mine: &'a RoomsOfUser,
    pub(super) told: &'a Told,
    pub(super) direct: &'a HashSet<OwnedRoomId>,
}

/// A room that may be in lists.
struct Candidate<'a> {
    room_id: &'a OwnedRoomId,
    mine: &'a UserRoom,
    /// When something last happened there that the user may know of.
    active: Position,
    state: OnceCell<StateTree>,
}

/// How far a room is shown to the user.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    No,
    /// To who asks for it by its ID.
    Subscribed,
    /// Also in lists.
    Listed,
}

impl<'a> Wanted<'a> {
    fn new(room_id: &'a OwnedRoomId, mine: &'a UserRoom) -> Self {
        let (required, lists) = (Arc::default(), Vec::new());
        Self { room_id, mine, events: 0, required, lists, subscribed: false }
    }

    /// Adds what a rule wants.
    fn add(&mut self, events: usize, required: &Arc<RequiredState>) {
        self.events = self.events.max(events);
        if self.lists.is_empty() && !self.subscribed {
            self.required = required.clone();
        } else if *self.required != **required {
            Arc::make_mut(&mut self.required).add(required);
        }
    }
}

impl<'a> Selector<'a> {
    /// The rooms that a request wants.
    pub(super) fn select(&self, body: &'a SlidingBody) -> Result<Selection<'a>, RoomError> {
        let mut selection = Selection::default();
        if let Some(lists) = body.lists.as_ref().filter(|lists| !lists.is_empty()) {
            let candidates = self.candidates()?;
            for (name, config) in lists {
                self.list(name, config, &candidates, &mut selection)?;
            }
        }
        for (room_id, config) in body.room_subscriptions.iter().flatten() {
            let Ok(room_id) = <&RoomId>::try_from(room_id.as_str()) else { continue };
            let Some((room_id, mine)) = self.mine.get_key_value(room_id) else { continue };
            if self.shown(room_id, mine)? != Shown::No {
                let wanted = selection.rooms.entry(room_id).or_insert_with(|| Wanted::new(room_id, mine));
                wanted.add(config.timeline_limit, &self.required(config));
                wanted.subscribed = true;
            }
        }
        Ok(selection)
    }

    fn required(&self, config: &RoomConfig) -> Arc<RequiredState> {
        Arc::new(RequiredState::new(&config.required_state, self.reader.user_id))
    }

    fn list(
        &self,
        name: &'a str,
        config: &'a ListConfig,
        candidates: &[Candidate<'a>],
        selection: &mut Selection<'a>,
    ) -> Result<(), RoomError> {
        let filters = config.filters.clone().unwrap_or_default();
        let spaces = filters.spaces.as_deref().map(|spaces| self.children(spaces)).transpose()?;
        let mut rooms = Vec::new();
        for candidate in candidates {
            if spaces.as_ref().is_none_or(|children| children.contains(candidate.room_id.as_str()))
                && self.lets_through(&filters, candidate)?
            {
                rooms.push((candidate.room_id, candidate.mine));
            }
        }
        let within = |(first, last): (usize, usize)| {
            rooms.get(first..rooms.len().min(last.saturating_add(1))).unwrap_or_default()
        };
        let ranges = config.ranges();
        let whole = [(0, usize::MAX)];
        let required = self.required(&config.room);
        for (room_id, mine) in ranges.unwrap_or(&whole).iter().flat_map(|range| within(*range)) {
            let wanted = selection.rooms.entry(room_id).or_insert_with(|| Wanted::new(room_id, mine));
            // Ranges may overlap.
            if wanted.lists.last() != Some(&name) {
                wanted.add(config.room.timeline_limit, &required);
                wanted.lists.push(name);
            }
        }
        let operations = ranges.unwrap_or_default().iter().map(|range| {
            Operation::sync(*range, within(*range).iter().map(|(room_id, _)| (*room_id).clone()).collect())
        });
        let list = List { count: rooms.len(), ops: operations.collect() };
        selection.lists.insert(name.to_owned(), list);
        Ok(())
    }

    /// The rooms that may be in lists, the most recently active first.
    fn candidates(&self) -> Result<Vec<Candidate<'a>>, RoomError> {
        let mut candidates = Vec::with_capacity(self.mine.len());
        for (room_id, mine) in self.mine {
            if self.shown(room_id, mine)? == Shown::Listed {
                let active = match mine.membership {
                    MembershipState::Join => self.reader.room(room_id)?.position(),
                    _ => mine.position,
                };
                candidates.push(Candidate { room_id, mine, active, state: OnceCell::new() });
            }
        }
        candidates.sort_by_key(|candidate| (std::cmp::Reverse(candidate.active), candidate.room_id));
        Ok(candidates)
    }

    /// How far a room is shown. One that the user has left is no more, once that was told, unless somebody else put the
    /// user out.
    fn shown(&self, room_id: &RoomId, mine: &UserRoom) -> Result<Shown, RoomError> {
        let events = self.reader.rooms.events();
        match mine.membership {
            MembershipState::Join | MembershipState::Knock => Ok(Shown::Listed),
            MembershipState::Invite => {
                let inviter = &events.expect(mine.number)?.pdu.sender;
                Ok(if self.reader.ignored.contains(inviter) { Shown::No } else { Shown::Listed })
            }
            _ if mine.forgotten => Ok(Shown::No),
            _ if self.told.since(room_id).is_some_and(|since| mine.position > since) => Ok(Shown::Listed),
            _ if !self.reader.was_joined_since(mine, None)? => Ok(Shown::No),
            _ if events.expect(mine.number)?.pdu.sender == self.reader.user_id => Ok(Shown::Subscribed),
            _ => Ok(Shown::Listed),
        }
    }

    fn lets_through(&self, filters: &ListFilters, room: &Candidate<'_>) -> Result<bool, RoomError> {
        let is = |wanted: Option<bool>, actual: bool| wanted.is_none_or(|wanted| wanted == actual);
        if !is(filters.is_dm, self.direct.contains(room.room_id))
            || !is(filters.is_invite, room.mine.membership == MembershipState::Invite)
        {
            return Ok(false);
        }
        if filters.is_encrypted.is_some() {
            let encryption = self.state_event(room, &StateEventType::RoomEncryption)?;
            if !is(filters.is_encrypted, encryption.is_some()) {
                return Ok(false);
            }
        }
        if filters.room_types.is_some() || filters.not_room_types.is_some() {
            let create = self.state_event(room, &StateEventType::RoomCreate)?;
            let kind = create.and_then(|create| create["type"].as_str().map(str::to_owned));
            if !lets_one_through(filters.room_types.as_deref(), filters.not_room_types.as_deref(), &[kind]) {
                return Ok(false);
            }
        }
        if filters.tags.is_some() || filters.not_tags.is_some() {
            let tags = self.extras.tags(self.reader.user_id, room.room_id);
            return Ok(lets_one_through(filters.tags.as_deref(), filters.not_tags.as_deref(), &tags));
        }
        Ok(true)
    }

    /// The content of a state event of a room, as the user knows the room.
    fn state_event(
        &self,
        candidate: &Candidate<'_>,
        kind: &StateEventType,
    ) -> Result<Option<Value>, RoomError> {
        let state = if let Some(state) = candidate.state.get() {
            state
        } else {
            let room = self.reader.room(candidate.room_id)?;
            let state = self.reader.rooms.state_at_position(&room, candidate.active)?;
            candidate.state.get_or_init(|| state)
        };
        let event = self.reader.rooms.state_event_in(state, kind, "")?;
        Ok(event.and_then(|event| serde_json::from_str(event.pdu.content.get()).ok()))
    }

    /// The rooms that spaces have as children, as far as the user is in the spaces.
    fn children(&self, spaces: &[String]) -> Result<HashSet<String>, RoomError> {
        let mut children = HashSet::new();
        for space in spaces.iter().filter_map(|space| <&RoomId>::try_from(space.as_str()).ok()) {
            if self.mine.get(space).is_none_or(|mine| mine.membership != MembershipState::Join) {
                continue;
            }
            for child in self.reader.rooms.current_state_of_type(space, &StateEventType::SpaceChild)? {
                let content: Value = serde_json::from_str(child.pdu.content.get()).unwrap_or_default();
                if content["via"].is_array() {
                    children.extend(child.pdu.state_key.clone());
                }
            }
        }
        Ok(children)
    }
}

/// Whether one of the values is wanted and none is unwanted.
fn lets_one_through<T: PartialEq>(wanted: Option<&[T]>, unwanted: Option<&[T]>, values: &[T]) -> bool {
    let one_of = |list: &[T]| values.iter().any(|value| list.contains(value));
    wanted.is_none_or(one_of) && !unwanted.is_some_and(one_of)
}

impl Told {
    /// Up to where the client knows a room. Nothing of it, where absent.
    pub(super) fn since(&self, room_id: &RoomId) -> Option<Position> {
        self.rooms.get(room_id).map(|room| room.until.unwrap_or(self.upto))
    }
}
