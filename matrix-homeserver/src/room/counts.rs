//! How many events were accepted, by what they do.

use prometheus_client::metrics::{counter::Counter, family::Family};
use ruma::events::TimelineEventType;

use crate::event::Pdu;

/// `class`: `message`, `state`, `membership` or `redaction`.
type Labels = [(&'static str, &'static str); 1];

/// Counts of accepted events since the server started. Cloning gives another handle.
#[derive(Debug, Clone)]
pub(crate) struct EventCounts {
    /// By class.
    pub(crate) family: Family<Labels, Counter>,
    messages: Counter,
    state: Counter,
    memberships: Counter,
    redactions: Counter,
}

impl Default for EventCounts {
    fn default() -> Self {
        let family = Family::<Labels, Counter>::default();
        let of = |class| family.get_or_create(&[("class", class)]).clone();
        let (messages, state) = (of("message"), of("state"));
        let (memberships, redactions) = (of("membership"), of("redaction"));
        Self { family, messages, state, memberships, redactions }
    }
}

impl EventCounts {
    /// The counter of an event's class.
    pub(super) fn of(&self, pdu: &Pdu) -> Counter {
        let counter = match (&pdu.event_type, &pdu.state_key) {
            (TimelineEventType::RoomMember, Some(_)) => &self.memberships,
            (TimelineEventType::RoomRedaction, _) => &self.redactions,
            (_, Some(_)) => &self.state,
            (_, None) => &self.messages,
        };
        counter.clone()
    }
}
