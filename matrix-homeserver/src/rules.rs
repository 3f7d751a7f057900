//! What may happen in a room, and which of two states holds.
//!
//! The authorisation rules and the state resolution of ruma-state-res, with what it asks of its caller. Pure:
//! events come in by functions.

use std::sync::Arc;

use ruma::{
    EventId, UserId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
    state_res::{self, auth_types_for_event, check_state_dependent_auth_rules},
};
use serde_json::value::RawValue;

mod power;
mod resolution;

pub(crate) use self::{
    power::PowerLevels,
    resolution::{StateIds, resolve},
};
use crate::event::Pdu;

/// A place in the state of a room.
pub(crate) type StateKey = (StateEventType, String);

/// Why an event is not allowed, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Denied(pub(crate) String);

/// The places in the state that say whether an event is allowed ([auth events selection]).
///
/// [auth events selection]: https://spec.matrix.org/v1.19/server-server-api/#auth-events-selection
pub(crate) fn auth_selection(
    rules: &RoomVersionRules,
    event_type: &TimelineEventType,
    sender: &UserId,
    state_key: Option<&str>,
    content: &RawValue,
) -> Result<Vec<StateKey>, Denied> {
    auth_types_for_event(event_type, sender, state_key, content, &rules.authorization).map_err(Denied)
}

/// Whether an event is allowed by a state ([authorisation rules]).
///
/// [authorisation rules]: https://spec.matrix.org/v1.19/rooms/v12/#authorization-rules
pub(crate) fn authorize<E: state_res::Event>(
    rules: &RoomVersionRules,
    event: &Pdu,
    state: impl Fn(&StateEventType, &str) -> Option<E>,
) -> Result<(), Denied> {
    check_state_dependent_auth_rules(&rules.authorization, event, state).map_err(Denied)
}

/// Whether an event that came from elsewhere names the right events as its authority; for the create event,
/// whether it can start a room.
pub(crate) fn check_auth_events(
    rules: &RoomVersionRules,
    event: &Pdu,
    fetch: impl Fn(&EventId) -> Option<Arc<Pdu>>,
) -> Result<(), Denied> {
    state_res::check_state_independent_auth_rules(&rules.authorization, event, |id: &EventId| fetch(id))
        .map_err(Denied)
}
