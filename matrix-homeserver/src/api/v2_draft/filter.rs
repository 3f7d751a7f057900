//! Filters: what a client wants to see of what it reads. The token of a filter is the filter itself, so it never expires.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    api::{ApiError, ApiResult, Json, Reply, Requester, extract::query_value},
    room::lets_type_through,
};

/// What a client wants to see; everything, where nothing is said. There are no negative filters: the draft leaves open
/// whether there should be.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    /// Types of events; `*` stands for anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<Vec<String>>,
    /// Whose presence.
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<String>>,
    /// Events as servers exchange them.
    pub(super) federation: bool,
    /// Which keys of events.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
    /// Whether what updates an event comes inside of it.
    pub(super) updates: bool,
    /// Whether what relates to an event comes inside of it.
    pub(super) relates_to: bool,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            types: None,
            rooms: None,
            users: None,
            federation: false,
            keys: None,
            updates: true,
            relates_to: true,
        }
    }
}

fn names(list: Option<&[String]>, name: &str) -> bool {
    list.is_none_or(|list| list.iter().any(|wanted| wanted == name))
}

impl Filter {
    /// The filter that a request names.
    pub(super) fn of(uri: &Uri) -> ApiResult<Self> {
        let Some(token) = query_value(uri.query(), "filter") else { return Ok(Self::default()) };
        let filter = URL_SAFE_NO_PAD.decode(&*token).ok();
        let filter = filter.and_then(|filter| serde_json::from_slice(&filter).ok());
        filter.ok_or_else(|| ApiError::invalid_param("filter is not the token of a filter"))
    }

    pub(super) fn lets_type_through(&self, event_type: &str) -> bool {
        lets_type_through(self.types.as_deref(), &[], || event_type.to_owned())
    }

    pub(super) fn lets_room_through(&self, room_id: &str) -> bool {
        names(self.rooms.as_deref(), room_id)
    }

    /// Whether an event is wanted.
    pub(super) fn lets_through(&self, event: &Map<String, Value>) -> bool {
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let event_type = text("type").unwrap_or_default();
        self.lets_type_through(event_type)
            && text("room_id").is_none_or(|room_id| self.lets_room_through(room_id))
            && (event_type != "m.presence"
                || text("sender").is_none_or(|user_id| names(self.users.as_deref(), user_id)))
    }

    /// The keys of an event that are wanted.
    pub(super) fn pick(&self, mut event: Map<String, Value>) -> Map<String, Value> {
        event.retain(|key, _| names(self.keys.as_deref(), key));
        event
    }
}

pub(super) async fn make(_: Requester, Json(filter): Json<Filter>) -> ApiResult<Reply<Value>> {
    let filter = serde_json::to_vec(&filter).map_err(|error| ApiError::internal(&error))?;
    Ok(Reply(json!({"token": URL_SAFE_NO_PAD.encode(filter)})))
}
