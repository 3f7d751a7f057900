//! From what a user wants to say to a signed event.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId,
    OwnedUserId,
    canonical_json::CanonicalJsonError,
    events::TimelineEventType,
    room_version_rules::{EventIdFormatVersion, EventsReferenceFormatVersion, RoomVersionRules},
    signatures::{JsonError, hash_and_sign_event, reference_hash},
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{Pdu, ServerKey, room_id_of_create};

/// The largest event in bytes, complete with signatures ([size limits]).
///
/// [size limits]: https://spec.matrix.org/v1.19/client-server-api/#size-limits
const MAX_EVENT_BYTES: usize = 65_536;
/// The longest event type, state key, user ID and room ID in bytes ([size limits]).
///
/// [size limits]: https://spec.matrix.org/v1.19/client-server-api/#size-limits
const MAX_ID_BYTES: usize = 255;

/// Why an event could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EventError {
    /// The event is larger than events may be.
    #[error("the event is larger than {MAX_EVENT_BYTES} bytes")]
    TooLarge,
    /// A field is longer than it may be.
    #[error("{field} is longer than {MAX_ID_BYTES} bytes")]
    FieldTooLong {
        /// The field's name.
        field: &'static str,
    },
    /// The content is not an object that canonical JSON can express.
    #[error("the content cannot be expressed as canonical JSON: {reason}")]
    Content {
        /// What is wrong with it.
        reason: String,
    },
}

impl From<JsonError> for EventError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::PduTooLarge => Self::TooLarge,
            error => Self::Content { reason: error.to_string() },
        }
    }
}

impl From<CanonicalJsonError> for EventError {
    fn from(error: CanonicalJsonError) -> Self {
        Self::Content { reason: error.to_string() }
    }
}

/// How an event names another, in every room version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) event_id: OwnedEventId,
    /// The event's hash, where its ID is not that hash: in room versions 1 and 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<Box<str>>,
}

/// An event before it is hashed and signed.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    /// Absent only on the create event of a room whose version makes the room ID from it.
    pub(crate) room_id: Option<OwnedRoomId>,
    pub(crate) sender: OwnedUserId,
    pub(crate) event_type: TimelineEventType,
    pub(crate) state_key: Option<String>,
    pub(crate) content: CanonicalJsonObject,
    pub(crate) origin_server_ts: MilliSecondsSinceUnixEpoch,
    pub(crate) redacts: Option<OwnedEventId>,
    pub(crate) prev_events: Vec<Reference>,
    pub(crate) auth_events: Vec<Reference>,
    pub(crate) depth: u64,
}

/// Reads the content of an event: an object without fractions and with integers that every language holds
/// exactly ([canonical JSON]).
///
/// [canonical JSON]: https://spec.matrix.org/v1.19/appendices/#canonical-json
pub(crate) fn canonical_content(content: &RawValue) -> Result<CanonicalJsonObject, EventError> {
    serde_json::from_str(content.get()).map_err(|error| EventError::Content { reason: error.to_string() })
}

/// Checks the lengths that do not depend on the rest of the event.
fn check_sizes(event_type: &str, state_key: Option<&str>) -> Result<(), EventError> {
    if event_type.len() > MAX_ID_BYTES {
        return Err(EventError::FieldTooLong { field: "type" });
    }
    if state_key.is_some_and(|key| key.len() > MAX_ID_BYTES) {
        return Err(EventError::FieldTooLong { field: "state_key" });
    }
    Ok(())
}

impl Draft {
    /// Hashes and signs the event. Returns it with its complete canonical JSON.
    pub(crate) fn sign(self, rules: &RoomVersionRules, key: &ServerKey) -> Result<(Pdu, String), EventError> {
        self.sign_as(chosen_event_id(rules, key), rules, key)
    }

    /// The same under this ID, in the room versions that let the server choose it.
    pub(crate) fn sign_as(
        self,
        chosen_id: Option<OwnedEventId>,
        rules: &RoomVersionRules,
        key: &ServerKey,
    ) -> Result<(Pdu, String), EventError> {
        let event_type = self.event_type.to_string();
        check_sizes(&event_type, self.state_key.as_deref())?;
        let content =
            to_raw_value(&self.content).map_err(|error| EventError::Content { reason: error.to_string() })?;
        let redacts = self.redacts.clone();

        let mut object = CanonicalJsonObject::new();
        let mut put = |name: &str, value: CanonicalJsonValue| object.insert(name.to_owned(), value);
        let mut body = self.content;
        if let Some(redacts) = self.redacts {
            let value = CanonicalJsonValue::String(redacts.into());
            if rules.redaction.content_field_redacts {
                body.insert("redacts".to_owned(), value);
            } else {
                put("redacts", value);
            }
        }
        if let Some(event_id) = &chosen_id {
            put("event_id", event_id.as_str().into());
        }
        put("auth_events", references(&self.auth_events, rules));
        put("content", body.into());
        put("depth", integer(self.depth)?);
        put("origin_server_ts", integer(self.origin_server_ts.get().into())?);
        put("prev_events", references(&self.prev_events, rules));
        if let Some(room_id) = &self.room_id {
            put("room_id", room_id.as_str().into());
        }
        put("sender", self.sender.as_str().into());
        if let Some(state_key) = &self.state_key {
            put("state_key", state_key.as_str().into());
        }
        put("type", event_type.into());
        hash_and_sign_event(key.server_name().as_str(), key.pair(), &mut object, &rules.redaction)?;
        let hash = reference_hash(&object, rules)?;
        let (event_id, reference_hash) = match chosen_id {
            Some(event_id) => (event_id, Some(hash.into_boxed_str())),
            None => {
                let event_id = EventId::new_v2_or_v3(&hash);
                (event_id.map_err(|error| EventError::Content { reason: error.to_string() })?, None)
            }
        };
        let json = serde_json::to_string(&object)
            .map_err(|error| EventError::Content { reason: error.to_string() })?;
        if json.len() > MAX_EVENT_BYTES {
            return Err(EventError::TooLarge);
        }
        let content = match object.get("content") {
            Some(body) if redacts.is_some() => {
                to_raw_value(body).map_err(|error| EventError::Content { reason: error.to_string() })?
            }
            _ => content,
        };
        let room_id = match self.room_id {
            Some(room_id) => room_id,
            None => room_id_of_create(&event_id)
                .map_err(|error| EventError::Content { reason: error.to_string() })?,
        };
        let pdu = Pdu {
            event_id,
            reference_hash,
            room_id,
            sender: self.sender,
            event_type: self.event_type,
            state_key: self.state_key,
            content,
            origin_server_ts: self.origin_server_ts,
            depth: self.depth,
            prev_events: ids(self.prev_events),
            auth_events: ids(self.auth_events),
            redacts,
            rejected: false,
        };
        Ok((pdu, json))
    }
}

/// The ID of the next event, in the room versions that let the server choose it ([event IDs]).
///
/// [event IDs]: https://spec.matrix.org/v1.19/rooms/v1/#event-ids
fn chosen_event_id(rules: &RoomVersionRules, key: &ServerKey) -> Option<OwnedEventId> {
    (rules.event_id_format == EventIdFormatVersion::V1).then(|| EventId::new_v1(key.server_name()))
}

/// A list of events as other events name them: IDs, and in room versions 1 and 2 pairs of ID and hashes.
fn references(references: &[Reference], rules: &RoomVersionRules) -> CanonicalJsonValue {
    let with_hashes = rules.events_reference_format == EventsReferenceFormatVersion::V1;
    let references = references.iter().map(|Reference { event_id, hash }| {
        let event_id = CanonicalJsonValue::from(event_id.as_str());
        if !with_hashes {
            return event_id;
        }
        let hash = hash.as_deref().unwrap_or_default();
        let hashes = CanonicalJsonObject::from([("sha256".to_owned(), hash.into())]);
        CanonicalJsonValue::Array(vec![event_id, hashes.into()])
    });
    CanonicalJsonValue::Array(references.collect())
}

fn ids(references: Vec<Reference>) -> Vec<OwnedEventId> {
    references.into_iter().map(|reference| reference.event_id).collect()
}

fn integer(number: u64) -> Result<CanonicalJsonValue, EventError> {
    i64::try_from(number)
        .ok()
        .and_then(|number| ruma::Int::try_from(number).ok())
        .map(CanonicalJsonValue::Integer)
        .ok_or_else(|| EventError::Content { reason: "a number is too large".to_owned() })
}
