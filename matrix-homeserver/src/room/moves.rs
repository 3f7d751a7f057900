//! Who came into a room and who left it.

use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};

use super::{Rooms, live::Room, load, membership_of};
use crate::store::{Position, StoreError, Tree};

/// Somebody whose membership is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) user_id: OwnedUserId,
    pub(crate) before: Option<MembershipState>,
    pub(crate) now: MembershipState,
}

impl Move {
    pub(crate) fn came(&self) -> bool {
        self.now == MembershipState::Join
    }

    pub(crate) fn went(&self) -> bool {
        self.before == Some(MembershipState::Join)
    }
}

impl Rooms {
    /// Whose membership of a room has become another since a position. A new name is no move.
    ///
    /// Looks at what has happened since where that is in memory, else at every member: never at the whole history.
    pub(crate) fn moves_since(&self, room: &Room, since: Position) -> Result<Vec<Move>, StoreError> {
        let view = room.view();
        if view.position <= since {
            return Ok(Vec::new());
        }
        if let Some((first, users)) = room.recent_members(since) {
            let members = users.iter().filter_map(|user_id| view.members.get_key_value(user_id));
            return members
                .filter_map(|(user_id, member)| self.moved(user_id, member, first).transpose())
                .collect();
        }
        let after = load::timeline_key(room.number).position(since.next());
        let end = load::timeline_key(room.number).position(Position::MAX);
        let Some(row) = self.store().range(Tree::Timeline, after..end).next() else { return Ok(Vec::new()) };
        let (key, value) = row?;
        let (_, first, _) = load::read_timeline(&key, &value)?;
        // The events of a room are numbered in their order.
        let changed = view.members.iter().filter(|(_, member)| member.number >= first);
        changed.filter_map(|(user_id, member)| self.moved(user_id, member, first).transpose()).collect()
    }

    /// What became of a member from the event with this number on.
    fn moved(
        &self,
        user_id: &UserId,
        member: &super::live::Member,
        first: u64,
    ) -> Result<Option<Move>, StoreError> {
        let mut before = None;
        let mut next = Some(member.number);
        while let Some(number) = next {
            let event = self.events().expect(number)?;
            if number < first {
                before = membership_of(&event);
                break;
            }
            next = event.meta.replaces;
        }
        let now = member.membership.clone();
        Ok((before.as_ref() != Some(&now)).then(|| Move { user_id: user_id.to_owned(), before, now }))
    }
}
