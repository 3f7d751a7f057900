//! Which state holds where the history of a room has forked.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use ruma::{
    EventId, OwnedEventId,
    room_version_rules::{RoomVersionRules, StateResolutionVersion},
    state_res::{self, StateMap, utils::event_id_set::EventIdSet},
};

use crate::event::Pdu;

mod v1;

/// A state by the IDs of its events.
pub(crate) type StateIds = StateMap<OwnedEventId>;

/// Why states could not be resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ResolveError {
    /// The algorithm of the room version is not known here.
    #[error("the state resolution of this room version is not supported")]
    Unsupported,
    /// An event that is needed is missing or malformed.
    #[error("the states could not be resolved")]
    Events(#[from] state_res::Error),
}

/// The state that follows from several ([state resolution]).
///
/// `fetch` returns an event by its ID; events that it does not know take no part.
///
/// [state resolution]: https://spec.matrix.org/v1.19/rooms/v12/#state-resolution
pub(crate) fn resolve(
    rules: &RoomVersionRules,
    states: &[StateIds],
    fetch: impl Fn(&EventId) -> Option<Arc<Pdu>>,
) -> Result<StateIds, ResolveError> {
    let v2 = match &rules.state_res {
        StateResolutionVersion::V1 => return Ok(v1::resolve(rules, states, fetch)),
        StateResolutionVersion::V2(v2) => v2,
        _ => return Err(ResolveError::Unsupported),
    };
    let chains = states.iter().map(|state| auth_chain(state.values(), &fetch)).collect();
    Ok(state_res::resolve(&rules.authorization, v2, states, chains, &fetch, |conflicted| {
        Some(conflicted_subgraph(conflicted.values().flatten(), &fetch))
    })?)
}

/// The events that these ones rest on, with the events themselves.
fn auth_chain<'a>(
    events: impl Iterator<Item = &'a OwnedEventId>,
    fetch: &impl Fn(&EventId) -> Option<Arc<Pdu>>,
) -> EventIdSet<OwnedEventId> {
    let mut seen: HashSet<OwnedEventId> = HashSet::new();
    let mut queue: VecDeque<OwnedEventId> = events.cloned().collect();
    while let Some(id) = queue.pop_front() {
        if seen.contains(&id) {
            continue;
        }
        if let Some(event) = fetch(&id) {
            queue.extend(event.auth_events.iter().filter(|id| !seen.contains(*id)).cloned());
        }
        seen.insert(id);
    }
    seen.into_iter().collect()
}

/// The events on every path of auth events from one conflicted event to another, with those events
/// ([conflicted state subgraph]).
///
/// [conflicted state subgraph]: https://spec.matrix.org/v1.19/rooms/v12/#state-resolution
fn conflicted_subgraph<'a>(
    conflicted: impl Iterator<Item = &'a OwnedEventId>,
    fetch: &impl Fn(&EventId) -> Option<Arc<Pdu>>,
) -> EventIdSet<OwnedEventId> {
    let conflicted: BTreeSet<OwnedEventId> = conflicted.cloned().collect();
    // Who rests on an event, among what the conflicted events rest on.
    let mut dependants: HashMap<OwnedEventId, Vec<OwnedEventId>> = HashMap::new();
    let mut reached: HashSet<OwnedEventId> = HashSet::new();
    let mut queue: VecDeque<OwnedEventId> = conflicted.iter().cloned().collect();
    while let Some(id) = queue.pop_front() {
        if !reached.insert(id.clone()) {
            continue;
        }
        let Some(event) = fetch(&id) else { continue };
        for authority in &event.auth_events {
            dependants.entry(authority.clone()).or_default().push(id.clone());
            queue.push_back(authority.clone());
        }
    }
    // All of `reached` is below a conflicted event; what is also above one is on a path.
    let mut on_path: HashSet<OwnedEventId> = HashSet::new();
    let mut queue: VecDeque<OwnedEventId> = conflicted.into_iter().collect();
    while let Some(id) = queue.pop_front() {
        if on_path.insert(id.clone()) {
            queue.extend(dependants.get(&id).into_iter().flatten().cloned());
        }
    }
    on_path.into_iter().collect()
}
