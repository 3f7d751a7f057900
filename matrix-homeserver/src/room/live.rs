//! A room in memory.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
    sync::Arc,
};

use imbl::OrdMap;
use parking_lot::RwLock;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomVersionId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
    room_version_rules::RoomVersionRules,
};
use serde::{Deserialize, Serialize};

use super::{
    state_tree::{Root, StateTree},
    stored::StoredEvent,
    times::Newest,
};
use crate::{event::Reference, store::Position};

/// How many of the last events of a room are kept beside it.
const RECENT: usize = 64;

/// A room. One task at a time changes it; everybody else reads [`Room::view`].
#[expect(clippy::struct_field_names, reason = "`id` alone would not say which of the two")]
pub(crate) struct Room {
    pub(crate) room_id: OwnedRoomId,
    /// Names the room within this server.
    pub(crate) number: u64,
    pub(crate) version: RoomVersionId,
    pub(crate) rules: RoomVersionRules,
    /// What the next event is built on. May be ahead of what is written.
    pub(super) writer: tokio::sync::Mutex<Head>,
    published: RwLock<Published>,
}

/// What is written and can be shown.
struct Published {
    view: Arc<RoomState>,
    recent: VecDeque<TimelineEntry>,
}

/// An event at its place in the timeline of a room.
#[derive(Debug, Clone)]
pub(crate) struct TimelineEntry {
    pub(crate) position: Position,
    pub(crate) event: Arc<StoredEvent>,
    /// The state of the room from this event on.
    pub(crate) state_after: Root,
}

/// What the next event is built on.
pub(super) struct Head {
    /// [`Store::generation`](crate::store::Store::generation) when it was read.
    pub(super) generation: u64,
    pub(super) state: RoomState,
    /// The state events that say who may do what, as far as they were needed.
    pub(super) authorities: Authorities,
}

/// The state events that the authorisation rules ask for, in memory.
#[derive(Default)]
pub(super) struct Authorities {
    pub(super) create: Option<Arc<StoredEvent>>,
    pub(super) power_levels: Option<Arc<StoredEvent>>,
    pub(super) join_rules: Option<Arc<StoredEvent>>,
    pub(super) members: HashMap<OwnedUserId, Arc<StoredEvent>>,
}

/// A room at one moment. Cloning is cheap.
#[derive(Debug, Clone)]
pub(crate) struct RoomState {
    /// The events that no event follows yet.
    pub(crate) extremities: Vec<Extremity>,
    pub(crate) state: StateTree,
    pub(crate) members: OrdMap<OwnedUserId, Member>,
    pub(crate) joined: usize,
    pub(crate) invited: usize,
    /// Where the last event is.
    pub(crate) position: Position,
    /// The newest time of an event.
    pub(super) newest: Newest,
}

/// An event that no event follows yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Extremity {
    #[serde(flatten)]
    pub(crate) event: Reference,
    pub(crate) depth: u64,
    /// The state after it.
    pub(crate) state_after: Root,
}

/// Somebody's membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) membership: MembershipState,
    /// The member event.
    pub(crate) number: u64,
    pub(crate) displayname: Option<Arc<str>>,
    pub(crate) avatar_url: Option<Arc<str>>,
}

impl Room {
    pub(super) fn new(
        room_id: OwnedRoomId,
        number: u64,
        version: RoomVersionId,
        rules: RoomVersionRules,
        head: Head,
    ) -> Self {
        let published = Published { view: Arc::new(head.state.clone()), recent: VecDeque::new() };
        Self {
            room_id,
            number,
            version,
            rules,
            writer: tokio::sync::Mutex::new(head),
            published: RwLock::new(published),
        }
    }

    /// The room as everybody sees it.
    pub(crate) fn view(&self) -> Arc<RoomState> {
        self.published.read().view.clone()
    }

    /// Where the last event is that everybody sees.
    pub(crate) fn position(&self) -> Position {
        self.published.read().view.position
    }

    /// A user's membership, as everybody sees it.
    pub(crate) fn membership(&self, user_id: &UserId) -> Option<MembershipState> {
        self.published.read().view.members.get(user_id).map(|member| member.membership.clone())
    }

    /// The last events, the newest last, as far as they are in memory: complete after the position that is
    /// returned with them.
    pub(crate) fn recent(&self) -> (Position, Vec<TimelineEntry>) {
        let published = self.published.read();
        let entries: Vec<_> = published.recent.iter().cloned().collect();
        let complete_after = match entries.first() {
            // The oldest may have had others of its commit before it; it is itself complete.
            Some(first) => Position(first.position.0.saturating_sub(1)),
            None => published.view.position,
        };
        (complete_after, entries)
    }

    /// The number of the first event after a position, and the users whom member events are about from there on. `None`
    /// if not all of that is in memory.
    pub(super) fn recent_members(&self, since: Position) -> Option<(u64, BTreeSet<OwnedUserId>)> {
        let published = self.published.read();
        let oldest = published.recent.front()?;
        if oldest.position > since.next() {
            return None;
        }
        let (mut first, mut users) = (None, BTreeSet::new());
        for entry in published.recent.iter().rev().take_while(|entry| entry.position > since) {
            let pdu = &entry.event.pdu;
            first = Some(entry.event.number);
            if pdu.event_type == TimelineEventType::RoomMember {
                users
                    .extend(pdu.state_key.as_deref().and_then(|user_id| OwnedUserId::try_from(user_id).ok()));
            }
        }
        first.map(|first| (first, users))
    }

    /// Shows a committed event.
    pub(super) fn publish(&self, mut view: RoomState, entry: TimelineEntry) {
        let mut published = self.published.write();
        view.position = entry.position;
        published.view = Arc::new(view);
        if published.recent.len() == RECENT {
            published.recent.pop_front();
        }
        published.recent.push_back(entry);
    }

    /// Replaces an event that was redacted.
    pub(super) fn replace(&self, event: &Arc<StoredEvent>) {
        let mut published = self.published.write();
        for entry in &mut published.recent {
            if entry.event.number == event.number {
                entry.event = event.clone();
            }
        }
    }

    /// Shows what was read again after a failed write.
    pub(super) fn reset(&self, view: RoomState) {
        *self.published.write() = Published { view: Arc::new(view), recent: VecDeque::new() };
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("room_id", &self.room_id).finish_non_exhaustive()
    }
}

impl RoomState {
    /// Before the first event.
    pub(super) fn empty() -> Self {
        Self {
            extremities: Vec::new(),
            state: StateTree::default(),
            members: OrdMap::new(),
            joined: 0,
            invited: 0,
            position: Position::ZERO,
            newest: Newest::default(),
        }
    }

    /// The users who are joined, by their ID.
    pub(crate) fn joined_members(&self) -> impl Iterator<Item = &UserId> {
        self.members
            .iter()
            .filter(|(_, member)| member.membership == MembershipState::Join)
            .map(|(user_id, _)| &**user_id)
    }

    /// Whether a user is joined.
    pub(crate) fn is_joined(&self, user_id: &UserId) -> bool {
        self.members.get(user_id).is_some_and(|member| member.membership == MembershipState::Join)
    }

    /// Takes away what a redacted member event has said of somebody beside the membership.
    pub(super) fn forget_profile(&mut self, redacted: &StoredEvent) {
        let user_id = redacted.pdu.state_key.as_deref().and_then(|key| <&UserId>::try_from(key).ok());
        if let Some(member) = user_id.and_then(|user_id| self.members.get_mut(user_id))
            && member.number == redacted.number
        {
            (member.displayname, member.avatar_url) = (None, None);
        }
    }

    /// Puts somebody's membership in place, and counts.
    pub(super) fn set_member(&mut self, user_id: OwnedUserId, member: Member) {
        let count = |state: &MembershipState, membership: &MembershipState| usize::from(state == membership);
        self.joined += count(&MembershipState::Join, &member.membership);
        self.invited += count(&MembershipState::Invite, &member.membership);
        if let Some(before) = self.members.insert(user_id, member) {
            self.joined -= count(&MembershipState::Join, &before.membership);
            self.invited -= count(&MembershipState::Invite, &before.membership);
        }
    }
}
