//! Events, in the form that servers exchange (PDU) and in the form that clients see.
//!
//! Everything here is pure: values in, values out.

use std::fmt;

use ruma::{
    CanonicalJsonObject, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId,
    UserId,
    events::TimelineEventType,
    room_version_rules::{EventsReferenceFormatVersion, RoomVersionRules},
    signatures::reference_hash,
    state_res,
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

mod client;
mod draft;
mod redaction;
mod server_key;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    client::{ClientFormat, Unsigned, client_event, stripped_event},
    draft::{Draft, EventError, Reference, canonical_content},
    redaction::{redact, redact_json},
    server_key::ServerKey,
};

/// An event in the form that servers exchange, without the parts that only prove its origin (hashes and
/// signatures); those are in the stored JSON.
#[derive(Debug, Clone)]
pub(crate) struct Pdu {
    /// Unique within the world, by being a hash (room version 3 and later) or by the server that chose it.
    pub(crate) event_id: OwnedEventId,
    /// The hash by which other events of room versions 1 and 2 refer to this one; absent in later versions.
    pub(crate) reference_hash: Option<Box<str>>,
    pub(crate) room_id: OwnedRoomId,
    pub(crate) sender: OwnedUserId,
    pub(crate) event_type: TimelineEventType,
    /// Present exactly on state events.
    pub(crate) state_key: Option<String>,
    pub(crate) content: Box<RawValue>,
    pub(crate) origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// One more than the deepest of `prev_events`.
    pub(crate) depth: u64,
    pub(crate) prev_events: Vec<OwnedEventId>,
    pub(crate) auth_events: Vec<OwnedEventId>,
    /// The event that this one redacts, from wherever the room version keeps it.
    pub(crate) redacts: Option<OwnedEventId>,
    /// The event did not pass the checks on receipt and takes part in nothing.
    pub(crate) rejected: bool,
}

/// What of the JSON is read into a [`Pdu`].
#[derive(Deserialize)]
struct Wire {
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    #[serde(rename = "type")]
    event_type: TimelineEventType,
    state_key: Option<String>,
    content: Box<RawValue>,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    depth: u64,
    prev_events: Vec<WireReference>,
    auth_events: Vec<WireReference>,
    redacts: Option<OwnedEventId>,
}

/// How an event names another on the wire: by its ID, or in room versions 1 and 2 by its ID and hashes.
#[derive(Deserialize)]
#[serde(untagged)]
enum WireReference {
    Id(OwnedEventId),
    WithHashes((OwnedEventId, IgnoredAny)),
}

impl From<WireReference> for OwnedEventId {
    fn from(reference: WireReference) -> Self {
        match reference {
            WireReference::Id(id) | WireReference::WithHashes((id, _)) => id,
        }
    }
}

/// The part of the content of `m.room.redaction` that names the redacted event since room version 11.
#[derive(Deserialize)]
struct RedactsInContent {
    redacts: Option<OwnedEventId>,
}

impl Pdu {
    /// Reads an event whose ID is known.
    ///
    /// # Errors
    /// If a required field is missing or of the wrong type.
    pub(crate) fn from_json(
        event_id: OwnedEventId,
        json: &str,
        rules: &RoomVersionRules,
    ) -> Result<Self, serde_json::Error> {
        let wire: Wire = serde_json::from_str(json)?;
        let room_id = match wire.room_id {
            Some(room_id) => room_id,
            None => room_id_of_create(&event_id).map_err(serde::de::Error::custom)?,
        };
        let redacts = match wire.event_type {
            TimelineEventType::RoomRedaction if rules.redaction.content_field_redacts => {
                serde_json::from_str::<RedactsInContent>(wire.content.get())
                    .ok()
                    .and_then(|found| found.redacts)
            }
            TimelineEventType::RoomRedaction => wire.redacts,
            _ => None,
        };
        Ok(Self {
            event_id,
            reference_hash: hash_of(json, rules)?,
            room_id,
            sender: wire.sender,
            event_type: wire.event_type,
            state_key: wire.state_key,
            content: wire.content,
            origin_server_ts: wire.origin_server_ts,
            depth: wire.depth,
            prev_events: wire.prev_events.into_iter().map(Into::into).collect(),
            auth_events: wire.auth_events.into_iter().map(Into::into).collect(),
            redacts,
            rejected: false,
        })
    }

    /// What another event needs to know to name this one.
    pub(crate) fn reference(&self) -> Reference {
        Reference { event_id: self.event_id.clone(), hash: self.reference_hash.clone() }
    }

    /// Whether this is the state event of this type and key.
    pub(crate) fn is_state(&self, event_type: &str, state_key: &str) -> bool {
        self.state_key.as_deref() == Some(state_key) && self.event_type.to_string() == event_type
    }

    /// A field of the content that is a text.
    pub(crate) fn content_text(&self, field: &str) -> Option<String> {
        let content: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(self.content.get()).ok()?;
        content.get(field)?.as_str().map(str::to_owned)
    }
}

/// The ID of a room whose version makes it from the ID of its create event (12 and later).
pub(crate) fn room_id_of_create(event_id: &EventId) -> Result<OwnedRoomId, ruma::IdParseError> {
    RoomId::new_v2(event_id.localpart())
}

/// The hash by which an event is referred to, where its ID is not that hash ([event format of room version 1]).
///
/// [event format of room version 1]: https://spec.matrix.org/v1.19/rooms/v1/#event-format
fn hash_of(json: &str, rules: &RoomVersionRules) -> Result<Option<Box<str>>, serde_json::Error> {
    if rules.events_reference_format == EventsReferenceFormatVersion::V2 {
        return Ok(None);
    }
    let object: CanonicalJsonObject = serde_json::from_str(json)?;
    let hash = reference_hash(&object, rules).map_err(serde::de::Error::custom)?;
    Ok(Some(hash.into_boxed_str()))
}

impl state_res::Event for Pdu {
    type Id = OwnedEventId;

    fn event_id(&self) -> &Self::Id {
        &self.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        // A create event whose ID makes the room's does not contain it.
        let implied = self.event_type == TimelineEventType::RoomCreate
            && self.room_id.strip_sigil() == self.event_id.localpart();
        (!implied).then_some(&self.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.event_type
    }

    fn content(&self) -> &RawValue {
        &self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &Self::Id> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&Self::Id> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}

impl fmt::Display for Pdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.event_type, self.event_id)
    }
}
