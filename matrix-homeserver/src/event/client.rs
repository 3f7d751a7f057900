//! The form of events that clients see ([client event]).
//!
//! [client event]: https://spec.matrix.org/v1.19/client-server-api/#room-event-format

use ruma::{EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, UserId, events::TimelineEventType};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::Pdu;

/// Where an event is shown, which decides the fields around its core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ClientFormat {
    /// With the room's ID: everywhere but in `/sync`.
    #[default]
    Full,
    /// Without the room's ID, which is in the structure around it.
    Sync,
    /// As application services and the clients of 2014 read it: also `user_id`, and `age` beside `unsigned`.
    Legacy,
}

/// What the server tells about an event beside the event itself.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Unsigned {
    /// Milliseconds since the event was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) age: Option<i64>,
    /// The reader's membership when the event was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) membership: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prev_content: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prev_sender: Option<String>,
    /// The state event that this one replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) replaces_state: Option<OwnedEventId>,
    /// The redaction, in client format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redacted_because: Option<Box<RawValue>>,
    /// Only for the device that sent the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) transaction_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) invite_room_state: Option<Box<RawValue>>,
    /// What relates to the event, by kind.
    #[serde(rename = "m.relations", skip_serializing_if = "Option::is_none")]
    pub(crate) relations: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct ClientEvent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    age: Option<i64>,
    content: &'a RawValue,
    event_id: &'a EventId,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_content: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacted_because: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redacts: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces_state: Option<&'a EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<&'a RoomId>,
    sender: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<&'a str>,
    #[serde(rename = "type")]
    event_type: &'a TimelineEventType,
    unsigned: &'a Unsigned,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a UserId>,
}

/// The event as a client sees it.
pub(crate) fn client_event(pdu: &Pdu, unsigned: &Unsigned, format: ClientFormat) -> Box<RawValue> {
    let legacy = format == ClientFormat::Legacy;
    let redacts_in_content = with_redacts(pdu);
    let event = ClientEvent {
        age: unsigned.age.filter(|_| legacy),
        content: redacts_in_content.as_deref().unwrap_or(&pdu.content),
        event_id: &pdu.event_id,
        origin_server_ts: pdu.origin_server_ts,
        prev_content: unsigned.prev_content.as_deref().filter(|_| legacy),
        redacted_because: unsigned.redacted_because.as_deref().filter(|_| legacy),
        redacts: pdu.redacts.as_deref(),
        replaces_state: unsigned.replaces_state.as_deref().filter(|_| legacy),
        room_id: (format != ClientFormat::Sync).then_some(&*pdu.room_id),
        sender: &pdu.sender,
        state_key: pdu.state_key.as_deref(),
        event_type: &pdu.event_type,
        unsigned,
        user_id: legacy.then_some(&*pdu.sender),
    };
    to_raw_value(&event).expect("an event is made of texts, numbers and JSON")
}

/// The content of a redaction of an old room version with `redacts` in it, where clients look for it today
/// ([redaction events]).
///
/// [redaction events]: https://spec.matrix.org/v1.19/client-server-api/#mroomredaction
fn with_redacts(pdu: &Pdu) -> Option<Box<RawValue>> {
    let redacts = pdu.redacts.as_ref()?;
    let mut content: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(pdu.content.get()).ok()?;
    if content.contains_key("redacts") {
        return None;
    }
    content.insert("redacts".to_owned(), redacts.as_str().into());
    to_raw_value(&content).ok()
}

#[derive(Serialize)]
struct StrippedEvent<'a> {
    content: &'a RawValue,
    sender: &'a UserId,
    state_key: &'a str,
    #[serde(rename = "type")]
    event_type: &'a TimelineEventType,
}

/// The event as somebody sees it who is not in the room ([stripped state]).
///
/// [stripped state]: https://spec.matrix.org/v1.19/client-server-api/#stripped-state
pub(crate) fn stripped_event(pdu: &Pdu) -> Box<RawValue> {
    let event = StrippedEvent {
        content: &pdu.content,
        sender: &pdu.sender,
        state_key: pdu.state_key.as_deref().unwrap_or_default(),
        event_type: &pdu.event_type,
    };
    to_raw_value(&event).expect("an event is made of texts and JSON")
}
