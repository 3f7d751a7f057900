//! Bringing several ends of a room's graph together.

use std::collections::HashMap;

use ruma::{
    EventId,
    events::{StateEventType, room::member::MembershipState},
};

use super::insert::member_of;
use crate::{
    room::{
        RoomError, Rooms,
        live::{Member, Room, RoomState},
        load,
        state_tree::StateTree,
    },
    rules::{self, StateIds},
    store::{StoreError, WriteSet},
};

impl Rooms {
    /// The state that holds now that the graph of a room has several ends.
    pub(in crate::room) fn resolve(
        &self,
        room: &Room,
        after: &RoomState,
        set: &mut WriteSet,
    ) -> Result<StateTree, RoomError> {
        match after.extremities.as_slice() {
            [_] => Ok(after.state.clone()),
            _ => self.resolve_several(room, after, &after.state, set),
        }
    }

    fn resolve_several(
        &self,
        room: &Room,
        after: &RoomState,
        newest: &StateTree,
        set: &mut WriteSet,
    ) -> Result<StateTree, RoomError> {
        let store = &self.inner.store;
        let mut numbers = HashMap::new();
        let mut states: Vec<StateIds> = Vec::new();
        for extremity in &after.extremities {
            let tree = if extremity.state_after == newest.root() {
                newest.clone()
            } else {
                StateTree::at(extremity.state_after)
            };
            let mut state = StateIds::new();
            for entry in tree.entries(store)? {
                let event = self.inner.events.expect(entry.number)?;
                let key = (StateEventType::from(&*entry.event_type), entry.state_key.to_string());
                state.insert(key, event.pdu.event_id.clone());
                numbers.insert(event.pdu.event_id.clone(), event.number);
            }
            states.push(state);
        }
        let fetch = |id: &EventId| {
            let event = match numbers.get(id) {
                Some(number) => self.inner.events.get(*number).ok().flatten(),
                None => self.inner.events.by_id(id).ok().flatten().map(|(event, _)| event),
            };
            event.map(|event| event.pdu.clone())
        };
        let resolved = rules::resolve(&room.rules, &states, fetch)
            .map_err(|error| RoomError::Internal(error.to_string()))?;
        let mut tree = StateTree::default();
        for ((event_type, state_key), id) in &resolved {
            let number = match numbers.get(id) {
                Some(number) => Some(*number),
                None => self.inner.events.locate(id)?.map(|(number, _)| number),
            };
            let number = number.ok_or_else(|| StoreError::damaged("an event of the resolved state"))?;
            tree = tree.with(store, &event_type.to_string(), state_key, number, set)?;
        }
        Ok(tree)
    }

    /// Takes over the memberships that the resolution of states has changed.
    pub(super) fn take_resolved(
        &self,
        room: &Room,
        after: &mut RoomState,
        old: &StateTree,
        set: &mut WriteSet,
    ) -> Result<(), RoomError> {
        let store = &self.inner.store;
        for entry in old.changed_since(store, &after.state)? {
            let gone = after.state.get(store, &entry.event_type, &entry.state_key)?.is_none();
            if gone && let Some((user_id, _)) = member_of(&*self.inner.events.expect(entry.number)?) {
                // The resolved state does not know the user: the same as having left.
                let left = Member {
                    membership: MembershipState::Leave,
                    number: entry.number,
                    displayname: None,
                    avatar_url: None,
                };
                load::put_member(set, room.number, &user_id, &left);
                after.set_member(user_id, left);
            }
        }
        let mut changed = after.state.changed_since(store, old)?;
        changed.sort_by_key(|entry| entry.number);
        for entry in changed {
            let event = self.inner.events.expect(entry.number)?;
            self.take_member(room, after, &event, set);
        }
        Ok(())
    }
}
