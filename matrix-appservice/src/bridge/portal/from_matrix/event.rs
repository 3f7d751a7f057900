//! An event as bridges look at it.

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{bridge::convert::Content, service::RoomEvent};

/// An event as the homeserver hands it over. What is malformed reads as absent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MatrixEvent {
    pub(crate) event_id: OwnedEventId,
    pub(crate) room_id: OwnedRoomId,
    pub(crate) sender: OwnedUserId,
    #[serde(rename = "type")]
    pub(crate) event_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state_key: Option<String>,
    #[serde(default)]
    pub(crate) content: Content,
    pub(crate) origin_server_ts: MilliSecondsSinceUnixEpoch,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redacts: Option<String>,
    #[serde(default, skip_serializing_if = "Content::is_empty")]
    pub(crate) unsigned: Content,
}

impl MatrixEvent {
    /// What of an event concerns a bridge.
    pub(crate) fn of(event: &RoomEvent) -> Self {
        #[derive(Deserialize)]
        struct Rest {
            #[serde(default)]
            content: Content,
            #[serde(default)]
            redacts: Option<String>,
            #[serde(default)]
            unsigned: Content,
            // The early drafts put it beside the content.
            #[serde(default)]
            prev_content: Option<Value>,
        }
        let rest = event.deserialize_as::<Rest>().unwrap_or_else(|_| Rest {
            content: Content::new(),
            redacts: None,
            unsigned: Content::new(),
            prev_content: None,
        });
        let mut unsigned = rest.unsigned;
        if let Some(before) = rest.prev_content {
            unsigned.entry("prev_content").or_insert(before);
        }
        Self {
            event_id: event.event_id.clone(),
            room_id: event.room_id.clone(),
            sender: event.sender.clone(),
            event_type: event.event_type.clone(),
            state_key: event.state_key.clone(),
            content: rest.content,
            origin_server_ts: event.origin_server_ts.unwrap_or_else(MilliSecondsSinceUnixEpoch::now),
            redacts: rest.redacts,
            unsigned,
        }
    }

    pub(crate) fn text(&self, field: &str) -> Option<&str> {
        self.content.get(field).and_then(Value::as_str)
    }

    pub(super) fn previous(&self) -> Option<&Content> {
        self.unsigned.get("prev_content").or_else(|| self.unsigned.get("replaces_content"))?.as_object()
    }
}
