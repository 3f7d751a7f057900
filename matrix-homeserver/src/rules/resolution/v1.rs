//! The state resolution of room version 1.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{EventId, OwnedEventId, events::StateEventType, room_version_rules::RoomVersionRules};
use sha1::{Digest, Sha1};

use super::StateIds;
use crate::{
    event::Pdu,
    rules::{StateKey, authorize},
};

/// The events that are in the same place of different states, the deepest last; of equally deep ones, the one with the
/// lowest hash last.
type Conflicts = BTreeMap<StateKey, Vec<Arc<Pdu>>>;

/// The state that follows from several ([state resolution of room version 1]).
///
/// What is not in conflict stands. Conflicts are resolved in the order in which they bear on the authorisation rules:
/// power levels, join rules, members, all the rest. Of the members, none decides over another: each is checked against
/// what was resolved before all of them, so the result does not depend on the order of their names.
///
/// [state resolution of room version 1]: https://spec.matrix.org/v1.19/rooms/v1/#state-resolution
pub(super) fn resolve(
    rules: &RoomVersionRules,
    states: &[StateIds],
    fetch: impl Fn(&EventId) -> Option<Arc<Pdu>>,
) -> StateIds {
    let (mut resolved, mut conflicts) = separate(states, &fetch);
    for event_type in
        [StateEventType::RoomPowerLevels, StateEventType::RoomJoinRules, StateEventType::RoomMember]
    {
        let (of_type, rest) = conflicts.into_iter().partition(|((kind, _), _)| *kind == event_type);
        conflicts = rest;
        let winners: Vec<_> = Conflicts::into_iter(of_type)
            .filter_map(|(key, events)| {
                let winner = last_of_the_allowed_chain(rules, &key, events, &resolved, &fetch)?;
                Some((key, winner))
            })
            .collect();
        resolved.extend(winners);
    }
    let winners: Vec<_> = conflicts
        .into_iter()
        .filter_map(|(key, events)| Some((key, deepest_that_is_allowed(rules, &events, &resolved, &fetch)?)))
        .collect();
    resolved.extend(winners);
    resolved
}

/// What no states disagree on, and the rest.
fn separate(states: &[StateIds], fetch: &impl Fn(&EventId) -> Option<Arc<Pdu>>) -> (StateIds, Conflicts) {
    let mut candidates: BTreeMap<StateKey, BTreeSet<OwnedEventId>> = BTreeMap::new();
    for (key, event_id) in states.iter().flatten() {
        candidates.entry(key.clone()).or_default().insert(event_id.clone());
    }
    let (mut agreed, mut conflicts) = (StateIds::new(), Conflicts::new());
    for (key, event_ids) in candidates {
        if let (1, Some(event_id)) = (event_ids.len(), event_ids.first()) {
            agreed.insert(key, event_id.clone());
            continue;
        }
        let mut events: Vec<_> = event_ids.iter().filter_map(|event_id| fetch(event_id)).collect();
        events.sort_by_cached_key(|event| (event.depth, Reverse(Sha1::digest(event.event_id.as_bytes()))));
        conflicts.insert(key, events);
    }
    (agreed, conflicts)
}

/// Of the events that the rules themselves look at: beginning with the first, as long as each is allowed where the one
/// before it is in place.
fn last_of_the_allowed_chain(
    rules: &RoomVersionRules,
    key: &StateKey,
    events: Vec<Arc<Pdu>>,
    resolved: &StateIds,
    fetch: &impl Fn(&EventId) -> Option<Arc<Pdu>>,
) -> Option<OwnedEventId> {
    let mut events = events.into_iter();
    let mut in_place = events.next()?;
    for event in events {
        let allowed = authorize(rules, &event, |event_type, state_key| {
            if *event_type == key.0 && state_key == key.1 {
                return Some(in_place.clone());
            }
            state_event(resolved, event_type, state_key, fetch)
        });
        if allowed.is_err() {
            break;
        }
        in_place = event;
    }
    Some(in_place.event_id.clone())
}

/// Of events on which nothing else depends: the last that is allowed; if none is, the first.
fn deepest_that_is_allowed(
    rules: &RoomVersionRules,
    events: &[Arc<Pdu>],
    resolved: &StateIds,
    fetch: &impl Fn(&EventId) -> Option<Arc<Pdu>>,
) -> Option<OwnedEventId> {
    let allowed = events.iter().rev().find(|event| {
        let state = |event_type: &StateEventType, state_key: &str| {
            state_event(resolved, event_type, state_key, fetch)
        };
        authorize(rules, event, state).is_ok()
    });
    allowed.or(events.first()).map(|event| event.event_id.clone())
}

fn state_event(
    state: &StateIds,
    event_type: &StateEventType,
    state_key: &str,
    fetch: &impl Fn(&EventId) -> Option<Arc<Pdu>>,
) -> Option<Arc<Pdu>> {
    fetch(state.get(&(event_type.clone(), state_key.to_owned()))?)
}
