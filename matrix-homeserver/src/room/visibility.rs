//! Who sees which part of a room's history ([history visibility]).
//!
//! [history visibility]: https://spec.matrix.org/v1.19/client-server-api/#room-history-visibility

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use ruma::{
    OwnedUserId, RoomId, UserId,
    events::{
        StateEventType,
        room::{history_visibility::HistoryVisibility, member::MembershipState},
    },
};
use serde::Deserialize;

use super::{
    RoomError, Rooms,
    live::Room,
    load,
    state_tree::{Root, StateTree},
    stored::StoredEvent,
};
use crate::store::{Position, StoreError, Tree};

#[derive(Deserialize)]
struct VisibilityContent {
    history_visibility: HistoryVisibility,
}

#[derive(Deserialize)]
struct MembershipContent {
    membership: MembershipState,
}

/// What somebody may see of a room.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) room: Arc<Room>,
    /// The end of the history.
    pub(crate) upto: Position,
    /// The state is that of here. Who was banned after leaving sees the ban, and nothing else of that time.
    pub(crate) state_upto: Position,
    pub(crate) state: StateTree,
    /// The viewer's membership now.
    pub(crate) membership: Option<MembershipState>,
}

/// What rooms have to know about users, who are kept elsewhere.
pub(crate) trait UserPolicies: Send + Sync + 'static {
    /// Whose words a user does not want to see ([ignoring users]).
    ///
    /// [ignoring users]: https://spec.matrix.org/v1.19/client-server-api/#ignoring-users
    fn ignored_by(&self, user_id: &UserId) -> Result<Arc<HashSet<OwnedUserId>>, StoreError>;

    /// Whether a user has left the server and asked that who comes later does not read what they said
    /// ([account deactivation]).
    ///
    /// [account deactivation]: https://spec.matrix.org/v1.19/client-server-api/#account-deactivation
    fn is_erased(&self, user_id: &UserId) -> Result<bool, StoreError>;
}

/// What somebody sees of a room's history, event by event. Remembers what it found.
pub(crate) struct Visibility<'a> {
    rooms: &'a Rooms,
    viewer: &'a UserId,
    ignored: Arc<HashSet<OwnedUserId>>,
    /// The last that can be seen, for who is not in the room any more.
    until: Option<Position>,
    /// Until when the viewer was joined, if ever.
    joined_until: Option<Position>,
    memory: HashMap<Root, (HistoryVisibility, Option<MembershipState>)>,
}

impl fmt::Debug for Visibility<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visibility").field("viewer", &self.viewer).finish_non_exhaustive()
    }
}

impl Rooms {
    /// What a user may see of a room: all of it who is in it, what was there who has left, and all of it
    /// anybody where the room says so.
    ///
    /// # Errors
    /// If the user may see nothing, or there is no such room.
    pub(crate) fn access(&self, room_id: &RoomId, user_id: &UserId) -> Result<Access, RoomError> {
        let room = self.get(room_id)?.ok_or_else(RoomError::not_in_room)?;
        if self.closed().is_deleted(room_id) {
            return Err(RoomError::not_in_room());
        }
        let view = room.view();
        let membership = view.members.get(user_id).map(|member| member.membership.clone());
        let (upto, state_upto) = (view.position, view.position);
        let now = Access { room, upto, state_upto, state: view.state.clone(), membership };
        if now.membership == Some(MembershipState::Join)
            || self.history_visibility(&view.state)? == HistoryVisibility::WorldReadable
        {
            return Ok(now);
        }
        match self.inner.users.get(user_id, room_id)? {
            Some(left)
                if !left.forgotten
                    && matches!(left.membership, MembershipState::Leave | MembershipState::Ban) =>
            {
                // Who only declined an invitation has never been there.
                let state_upto = self.joined_until(left.number)?.ok_or_else(RoomError::not_in_room)?;
                let state = self.state_at_position(&now.room, state_upto)?;
                Ok(Access { upto: left.position, state_upto, state, ..now })
            }
            _ => Err(RoomError::not_in_room()),
        }
    }

    /// The state of a room after the last event at or before a position.
    pub(crate) fn state_at_position(&self, room: &Room, position: Position) -> Result<StateTree, StoreError> {
        let view = room.view();
        if position >= view.position {
            return Ok(view.state.clone());
        }
        let (complete_after, recent) = room.recent();
        if position > complete_after
            && let Some(entry) = recent.iter().rev().find(|entry| entry.position <= position)
        {
            return Ok(StateTree::at(entry.state_after));
        }
        let prefix = load::timeline_key(room.number);
        let range = prefix.clone()..=prefix.position(position);
        match self.inner.store.range(Tree::Timeline, range).next_back() {
            None => Ok(StateTree::default()),
            Some(row) => {
                let (key, value) = row?;
                Ok(StateTree::at(load::read_timeline(&key, &value)?.2))
            }
        }
    }

    /// Who sees the history, by a state. Members do where nothing is said.
    pub(crate) fn history_visibility(&self, state: &StateTree) -> Result<HistoryVisibility, StoreError> {
        let event = self.state_event_in(state, &StateEventType::RoomHistoryVisibility, "")?;
        Ok(event.and_then(|event| visibility_of(&event)).unwrap_or(HistoryVisibility::Shared))
    }

    /// A user's membership, by a state.
    pub(crate) fn membership_in(
        &self,
        state: &StateTree,
        user_id: &UserId,
    ) -> Result<Option<MembershipState>, StoreError> {
        let event = self.state_event_in(state, &StateEventType::RoomMember, user_id.as_str())?;
        Ok(event.and_then(|event| membership_of(&event)))
    }

    /// What a user sees of a room's history.
    pub(crate) fn visibility<'a>(
        &'a self,
        access: &Access,
        viewer: &'a UserId,
    ) -> Result<Visibility<'a>, StoreError> {
        self.visibility_without(access, viewer, self.inner.config.policies.ignored_by(viewer)?)
    }

    /// What a user sees of a room's history who does not want to see the words of others.
    pub(crate) fn visibility_without<'a>(
        &'a self,
        access: &Access,
        viewer: &'a UserId,
        ignored: Arc<HashSet<OwnedUserId>>,
    ) -> Result<Visibility<'a>, StoreError> {
        let joined_until = match access.membership {
            None => None,
            Some(MembershipState::Join) => Some(Position::MAX),
            Some(_) => match access.room.view().members.get(viewer) {
                Some(member) => self.joined_until(member.number)?,
                None => None,
            },
        };
        let until = (access.membership != Some(MembershipState::Join)).then_some(access.upto);
        Ok(Visibility { rooms: self, viewer, ignored, until, joined_until, memory: HashMap::new() })
    }

    /// Where the last time ended that a user was joined, by a member event and those that it replaced. `None` if there
    /// was no such time.
    pub(crate) fn joined_until(&self, member_event: u64) -> Result<Option<Position>, StoreError> {
        let mut until = Position::MAX;
        let mut next = Some(member_event);
        while let Some(number) = next {
            let event = self.inner.events.expect(number)?;
            if membership_of(&event) == Some(MembershipState::Join) {
                return Ok(Some(until));
            }
            until = self.inner.events.locate(event.event_id())?.map_or(until, |(_, position)| position);
            next = event.meta.replaces;
        }
        Ok(None)
    }
}

impl Visibility<'_> {
    /// Whether the viewer sees an event and wants to. State is seen whoever set it.
    pub(crate) fn sees(&mut self, event: &StoredEvent) -> Result<bool, StoreError> {
        Ok(!(event.pdu.state_key.is_none() && self.ignores(&event.pdu.sender)) && self.may_see(event)?)
    }

    /// Whether the viewer does not want to see what a user says.
    pub(crate) fn ignores(&self, user_id: &UserId) -> bool {
        self.ignored.contains(user_id)
    }

    /// Whether the viewer was joined at an event or at any time after it.
    fn is_before_leaving(&self, event: &StoredEvent) -> Result<bool, StoreError> {
        match self.joined_until {
            None => Ok(false),
            Some(Position::MAX) => Ok(true),
            Some(until) => {
                let located = self.rooms.events().locate(event.event_id())?;
                Ok(located.is_some_and(|(_, position)| position <= until))
            }
        }
    }

    /// Whether an event is before the viewer left, if he has.
    pub(super) fn reaches(&self, event: &StoredEvent) -> Result<bool, StoreError> {
        let Some(until) = self.until else { return Ok(true) };
        let located = self.rooms.events().locate(event.event_id())?;
        Ok(located.is_some_and(|(_, position)| position <= until))
    }

    /// Whether the viewer may see an event and all that came after it, as far as that is known without looking at what
    /// came after it: true is certain.
    pub(super) fn sees_all_from(&mut self, event: &StoredEvent) -> Result<bool, StoreError> {
        let Some(room) = self.rooms.get(&event.pdu.room_id)? else { return Ok(false) };
        if self.until.is_some() || !self.may_see(event)? {
            return Ok(false);
        }
        let state = room.view().state.clone();
        let said = self.rooms.state_event_in(&state, &StateEventType::RoomHistoryVisibility, "")?;
        if said.is_some_and(|said| said.number > event.number) {
            return Ok(false);
        }
        match self.rooms.history_visibility(&state)? {
            // Who is in the room sees what was before.
            HistoryVisibility::WorldReadable | HistoryVisibility::Shared => Ok(true),
            _ => {
                let member = StateEventType::RoomMember;
                let mut own = self.rooms.state_event_in(&state, &member, self.viewer.as_str())?;
                while let Some(then) =
                    own.take().filter(|then| membership_of(then) == Some(MembershipState::Join))
                {
                    if then.number < event.number {
                        return Ok(true);
                    }
                    own = then.meta.replaces.map(|number| self.rooms.events().expect(number)).transpose()?;
                }
                Ok(false)
            }
        }
    }

    /// Whether what a user said in an event is kept from the viewer, because the user has asked for it and the
    /// viewer was not there to hear it.
    pub(super) fn is_erased(&mut self, event: &StoredEvent) -> Result<bool, StoreError> {
        let sender = &event.pdu.sender;
        let heard = self.membership_at(event)? == Some(MembershipState::Join);
        if heard || event.pdu.state_key.is_some() || sender == self.viewer {
            return Ok(false);
        }
        self.rooms.inner.config.policies.is_erased(sender)
    }

    /// Whether the history is open to the viewer at an event. What happens to his own membership he always sees.
    pub(super) fn may_see(&mut self, event: &StoredEvent) -> Result<bool, StoreError> {
        if event.pdu.is_state("m.room.member", self.viewer.as_str()) {
            return Ok(true);
        }
        let (before, member_before) = self.at(event)?;
        // The event that changes who sees is seen by whoever sees before or after it.
        let after = visibility_of(event).filter(|_| event.pdu.is_state("m.room.history_visibility", ""));
        let member_after =
            membership_of(event).filter(|_| event.pdu.is_state("m.room.member", self.viewer.as_str()));
        let memberships = [member_before, member_after];
        let was =
            |wanted: &MembershipState| memberships.iter().flatten().any(|membership| membership == wanted);
        let (joined, invited) = (was(&MembershipState::Join), was(&MembershipState::Invite));
        // Who comes sees what was before; who has gone does not see what is after.
        let shared = joined || self.is_before_leaving(event)?;
        Ok([Some(before), after].into_iter().flatten().any(|visibility| match visibility {
            HistoryVisibility::WorldReadable => true,
            HistoryVisibility::Shared => shared,
            HistoryVisibility::Invited => joined || invited,
            _ => joined,
        }))
    }

    /// The viewer's membership when an event was sent. Who was never there had left.
    pub(crate) fn told_membership_at(&mut self, event: &StoredEvent) -> Result<MembershipState, StoreError> {
        Ok(self.membership_at(event)?.unwrap_or(MembershipState::Leave))
    }

    pub(crate) fn membership_at(
        &mut self,
        event: &StoredEvent,
    ) -> Result<Option<MembershipState>, StoreError> {
        if event.pdu.is_state("m.room.member", self.viewer.as_str()) {
            return Ok(membership_of(event));
        }
        Ok(self.at(event)?.1)
    }

    fn at(
        &mut self,
        event: &StoredEvent,
    ) -> Result<(HistoryVisibility, Option<MembershipState>), StoreError> {
        let root = event.meta.state_before;
        if let Some(known) = self.memory.get(&root) {
            return Ok(known.clone());
        }
        let state = StateTree::at(root);
        let found = (self.rooms.history_visibility(&state)?, self.rooms.membership_in(&state, self.viewer)?);
        self.memory.insert(root, found.clone());
        Ok(found)
    }
}

fn visibility_of(event: &StoredEvent) -> Option<HistoryVisibility> {
    serde_json::from_str::<VisibilityContent>(event.pdu.content.get())
        .ok()
        .map(|content| content.history_visibility)
}

/// The membership that a member event gives.
pub(crate) fn membership_of(event: &StoredEvent) -> Option<MembershipState> {
    serde_json::from_str::<MembershipContent>(event.pdu.content.get()).ok().map(|content| content.membership)
}
