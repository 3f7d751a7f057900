//! Giving an event its place in the graph, and asking the rules whether it may have it.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

use ruma::{
    CanonicalJsonObject, UserId,
    events::{StateEventType, TimelineEventType},
};

use super::Proposal;
use crate::{
    event::{Draft, Pdu},
    room::{
        RoomError, Rooms,
        live::{Authorities, Head, Room, RoomState},
        state_tree::StateTree,
        stored::StoredEvent,
    },
    rules,
    store::StoreError,
};

/// How many member events are kept beside a room for authorisation.
const KEPT_MEMBERS: usize = 1024;

impl Rooms {
    /// Gives a proposal its place in the graph, hashes and signs it.
    pub(in crate::room) fn build(
        &self,
        room: &Room,
        head: &mut Head,
        state: &RoomState,
        proposal: Proposal,
        content: CanonicalJsonObject,
    ) -> Result<(Pdu, String), RoomError> {
        let selection = rules::auth_selection(
            &room.rules,
            &proposal.event_type,
            &proposal.sender,
            proposal.state_key.as_deref(),
            &proposal.content,
        )
        .map_err(|denied| RoomError::BadJson(denied.0))?;
        let mut auth_events = Vec::with_capacity(selection.len());
        for (event_type, state_key) in &selection {
            if let Some(event) = self.authority(head, state, event_type, state_key)? {
                auth_events.push(event.pdu.reference());
            }
        }
        let is_create = proposal.event_type == TimelineEventType::RoomCreate;
        let without_id = is_create && room.rules.authorization.room_create_event_id_as_room_id;
        let depth = state.extremities.iter().map(|extremity| extremity.depth).max().unwrap_or_default();
        let draft = Draft {
            room_id: (!without_id).then(|| room.room_id.clone()),
            sender: proposal.sender,
            event_type: proposal.event_type,
            state_key: proposal.state_key,
            content,
            origin_server_ts: proposal.origin_server_ts.unwrap_or_else(|| self.now()),
            redacts: proposal.redacts,
            prev_events: state.extremities.iter().map(|extremity| extremity.event.clone()).collect(),
            auth_events,
            depth: depth + 1,
        };
        Ok(draft.sign(&room.rules, &self.inner.config.key)?)
    }

    /// Checks an event against the state that it is added to.
    pub(in crate::room) fn authorize(
        &self,
        room: &Room,
        head: &mut Head,
        state: &RoomState,
        pdu: &Pdu,
    ) -> Result<(), RoomError> {
        if pdu.event_type == TimelineEventType::RoomCreate {
            return rules::check_auth_events(&room.rules, pdu, |_| None)
                .map_err(|denied| RoomError::Forbidden(denied.0));
        }
        let failed: Cell<Option<StoreError>> = Cell::new(None);
        let head = RefCell::new(head);
        let verdict = rules::authorize(&room.rules, pdu, |event_type, state_key| {
            self.authority(&mut head.borrow_mut(), state, event_type, state_key)
                .unwrap_or_else(|error| {
                    failed.set(Some(error));
                    None
                })
                .map(|event| event.pdu.clone())
        });
        match failed.into_inner() {
            Some(error) => Err(error.into()),
            None => verdict.map_err(|denied| RoomError::Forbidden(denied.0)),
        }
    }

    /// A state event that the authorisation rules ask for; the next time from memory.
    pub(super) fn authority(
        &self,
        head: &mut Head,
        state: &RoomState,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let kept = &mut head.authorities;
        let slot = match event_type {
            StateEventType::RoomCreate if state_key.is_empty() => &mut kept.create,
            StateEventType::RoomPowerLevels if state_key.is_empty() => &mut kept.power_levels,
            StateEventType::RoomJoinRules if state_key.is_empty() => &mut kept.join_rules,
            StateEventType::RoomMember => return self.member_event(head, state, state_key),
            _ => return self.state_event_in(&state.state, event_type, state_key),
        };
        if slot.is_none() {
            *slot = self.state_event_in(&state.state, event_type, state_key)?;
        }
        Ok(slot.clone())
    }

    fn member_event(
        &self,
        head: &mut Head,
        state: &RoomState,
        user_id: &str,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let Ok(user_id) = <&UserId>::try_from(user_id) else { return Ok(None) };
        let Some(member) = state.members.get(user_id) else { return Ok(None) };
        if let Some(event) = head.authorities.members.get(user_id)
            && event.number == member.number
        {
            return Ok(Some(event.clone()));
        }
        let event = self.inner.events.expect(member.number)?;
        if head.authorities.members.len() >= KEPT_MEMBERS {
            head.authorities.members.clear();
        }
        head.authorities.members.insert(user_id.to_owned(), event.clone());
        Ok(Some(event))
    }

    /// The state event in a place of a state.
    pub(crate) fn state_event_in(
        &self,
        state: &StateTree,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let event_type = event_type.to_string();
        match state.get(&self.inner.store, &event_type, state_key)? {
            None => Ok(None),
            Some(number) => self.inner.events.expect(number).map(Some),
        }
    }
}

impl Authorities {
    /// Takes over a state event that is now in place.
    pub(super) fn update(&mut self, event: &Arc<StoredEvent>) {
        let slot = match (&event.pdu.event_type, event.pdu.state_key.as_deref()) {
            (TimelineEventType::RoomCreate, Some("")) => &mut self.create,
            (TimelineEventType::RoomPowerLevels, Some("")) => &mut self.power_levels,
            (TimelineEventType::RoomJoinRules, Some("")) => &mut self.join_rules,
            // Members are found by the number that the room's list of members has.
            _ => return,
        };
        *slot = Some(event.clone());
    }
}
