//! What arrives in transactions.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::transaction::{ByDevice, DeviceLists};

/// A room event in the format for clients.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RoomEvent {
    /// Names it. Made up from the transaction where the homeserver follows the early draft, which has
    /// events without IDs.
    pub event_id: OwnedEventId,
    /// Where it happened.
    pub room_id: OwnedRoomId,
    /// Who sent it; `user_id` in the drafts.
    pub sender: OwnedUserId,
    /// What it is: `m.room.message`.
    pub event_type: String,
    /// What it is the state of, if it is a state event.
    pub state_key: Option<String>,
    /// When it was sent, by the sender's homeserver.
    pub origin_server_ts: Option<MilliSecondsSinceUnixEpoch>,
    json: Box<RawValue>,
}

/// Both formats; events may hold `sender` and `user_id` at once.
#[derive(Deserialize)]
struct RoomEventWire {
    event_id: Option<OwnedEventId>,
    room_id: OwnedRoomId,
    sender: Option<OwnedUserId>,
    user_id: Option<OwnedUserId>,
    #[serde(rename = "type")]
    event_type: String,
    state_key: Option<String>,
    origin_server_ts: Option<MilliSecondsSinceUnixEpoch>,
}

impl RoomEvent {
    /// Reads an event, with the name that it goes by if it has none of its own.
    pub(crate) fn read(json: &RawValue, name: &str) -> Result<Self, serde_json::Error> {
        let wire: RoomEventWire = serde_json::from_str(json.get())?;
        let sender = wire.sender.or(wire.user_id);
        let event_id = match wire.event_id {
            Some(event_id) => event_id,
            None => OwnedEventId::try_from(format!("${name}")).map_err(serde::de::Error::custom)?,
        };
        Ok(Self {
            event_id,
            room_id: wire.room_id,
            sender: sender.ok_or_else(|| serde::de::Error::missing_field("sender"))?,
            event_type: wire.event_type,
            state_key: wire.state_key,
            origin_server_ts: wire.origin_server_ts,
            json: json.to_owned(),
        })
    }

    /// The whole event as it arrived.
    pub fn json(&self) -> &RawValue {
        &self.json
    }

    /// The whole event as a type of one's choice: one of [`ruma::events`], for example.
    ///
    /// # Errors
    /// If the event has another shape; users can send anything.
    pub fn deserialize_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.json.get())
    }

    /// Its content as a type of one's choice.
    ///
    /// # Errors
    /// If the content has another shape; users can send anything.
    pub fn content<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        #[derive(Deserialize)]
        struct Only<T> {
            content: T,
        }
        Ok(self.deserialize_as::<Only<T>>()?.content)
    }
}

/// Typing, receipts or presence.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Ephemeral {
    /// `m.typing`, `m.receipt` or `m.presence`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// In which room; presence is in none.
    pub room_id: Option<OwnedRoomId>,
    /// Who; only presence says.
    pub sender: Option<OwnedUserId>,
    /// What.
    pub content: Box<RawValue>,
}

/// A message from device to device.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct ToDevice {
    /// `m.room.encrypted`, `m.room_key_request`, ….
    #[serde(rename = "type")]
    pub event_type: String,
    /// Who sent it.
    pub sender: OwnedUserId,
    /// Which user of the application service it is for.
    #[serde(alias = "to")]
    pub to_user_id: Option<OwnedUserId>,
    /// Which device of his.
    pub to_device_id: Option<String>,
    /// What.
    pub content: Box<RawValue>,
}

/// What changed about devices and keys.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct DeviceChanges {
    /// Users whose devices changed, and those whose devices need not be followed any longer.
    pub device_lists: DeviceLists,
    /// How many one-time keys are left.
    pub one_time_keys_count: ByDevice<BTreeMap<String, u64>>,
    /// Which kinds of fallback keys are not used yet.
    pub unused_fallback_key_types: ByDevice<Vec<String>>,
}

/// What is needed of an event to journal it.
#[derive(Deserialize)]
pub(crate) struct EventHead {
    // Owned, because text with escapes cannot be borrowed.
    pub(crate) event_id: Option<String>,
    pub(crate) room_id: Option<String>,
}

/// A name for what has none: as long as an event ID of today.
pub(crate) fn made_up_name(hash: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(hash)
}

#[cfg(test)]
mod tests {
    use super::RoomEvent;

    fn read(json: &str) -> Result<RoomEvent, serde_json::Error> {
        RoomEvent::read(serde_json::from_str(json)?, "name")
    }

    #[test]
    fn events_of_today_and_of_the_draft_are_read() {
        let today = read(
            r#"{"event_id":"$e","room_id":"!r:hs","sender":"@a:hs","user_id":"@a:hs","type":"t","state_key":"",
                "origin_server_ts":5,"content":{"body":"x"}}"#,
        )
        .unwrap();
        assert_eq!((today.event_id.as_str(), today.state_key.as_deref()), ("$e", Some("")));
        let draft =
            read(r#"{"room_id":"!r:hs","user_id":"@a:hs","type":"t","content":{"body":"x"}}"#).unwrap();
        assert_eq!((draft.event_id.as_str(), draft.sender.as_str()), ("$name", "@a:hs"));
        assert_eq!(draft.content::<serde_json::Value>().unwrap()["body"], "x");
    }

    #[test]
    fn an_event_without_what_every_event_has_is_refused() {
        for json in [
            r#"{"room_id":"!r:hs","type":"t","content":{}}"#,
            r#"{"sender":"@a:hs","type":"t"}"#,
            r#"{"room_id":5,"sender":"@a:hs","type":"t"}"#,
            r#"{"room_id":"!r:hs","sender":"nobody","type":"t"}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
