//! What is told of rooms to those who are not in them.

use ruma::{
    OwnedRoomId, RoomId, UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Services;
use crate::api::ApiResult;

/// The part of `m.room.join_rules` that says of which rooms the members may join.
#[derive(Debug, Default, Deserialize)]
struct Restriction {
    #[serde(default)]
    allow: Vec<Value>,
}

impl Services {
    /// What the public list says of a room.
    pub(crate) fn published_room(&self, room_id: &RoomId) -> ApiResult<Option<Value>> {
        let room = self.rooms.get(room_id)?.filter(|_| !self.rooms.closed().is_deleted(room_id));
        let Some(room) = room else { return Ok(None) };
        let history = self.field(room_id, &StateEventType::RoomHistoryVisibility, "history_visibility")?;
        let guests = self.field(room_id, &StateEventType::RoomGuestAccess, "guest_access")?;
        let mut summary = json!({
            "room_id": room_id,
            "num_joined_members": room.view().joined,
            "world_readable": history.is_some_and(|value| value == "world_readable"),
            "guest_can_join": guests.is_some_and(|value| value == "can_join"),
        });
        let optional = [
            ("name", StateEventType::RoomName, "name"),
            ("topic", StateEventType::RoomTopic, "topic"),
            ("canonical_alias", StateEventType::RoomCanonicalAlias, "alias"),
            ("avatar_url", StateEventType::RoomAvatar, "url"),
            ("join_rule", StateEventType::RoomJoinRules, "join_rule"),
            ("room_type", StateEventType::RoomCreate, "type"),
        ];
        for (name, kind, field) in optional {
            if let Some(value) = self.field(room_id, &kind, field)?.filter(Value::is_string) {
                summary[name] = value;
            }
        }
        Ok(Some(summary))
    }

    /// As [`published_room`](Self::published_room), with more for who may be about to join
    /// ([room summaries](https://spec.matrix.org/v1.19/client-server-api/#room-summaries)).
    pub(crate) fn room_summary(&self, room_id: &RoomId) -> ApiResult<Option<Value>> {
        let (Some(room), Some(mut summary)) = (self.rooms.get(room_id)?, self.published_room(room_id)?)
        else {
            return Ok(None);
        };
        summary["room_version"] = room.version.as_str().into();
        let encryption = self.field(room_id, &StateEventType::RoomEncryption, "algorithm")?;
        if let Some(encryption) = encryption.filter(Value::is_string) {
            summary["encryption"] = encryption;
        }
        if matches!(summary["join_rule"].as_str(), Some("restricted" | "knock_restricted")) {
            summary["allowed_room_ids"] = json!(self.allowed_rooms(room_id)?);
        }
        Ok(Some(summary))
    }

    /// Whether somebody may learn of a room by its summary: who is in it or could be, and everybody if anybody may
    /// knock or read it.
    pub(crate) fn may_find(
        &self,
        summary: &Value,
        room_id: &RoomId,
        user: Option<&UserId>,
    ) -> ApiResult<bool> {
        let rule = summary["join_rule"].as_str();
        if matches!(rule, Some("public" | "knock" | "knock_restricted")) || summary["world_readable"] == true
        {
            return Ok(true);
        }
        let Some(user_id) = user else { return Ok(false) };
        match self.rooms.membership_of(room_id, user_id)? {
            Some(MembershipState::Join | MembershipState::Invite) => return Ok(true),
            Some(MembershipState::Ban) => return Ok(false),
            _ => {}
        }
        if rule != Some("restricted") {
            return Ok(false);
        }
        for allowed in self.allowed_rooms(room_id)? {
            if self.rooms.is_joined(&allowed, user_id)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The rooms whose members may join a restricted room.
    fn allowed_rooms(&self, room_id: &RoomId) -> ApiResult<Vec<OwnedRoomId>> {
        let content = self.state_content(room_id, &StateEventType::RoomJoinRules, "")?;
        let restriction: Restriction =
            content.and_then(|content| serde_json::from_str(content.get()).ok()).unwrap_or_default();
        let by_membership = restriction.allow.iter().filter(|allow| allow["type"] == "m.room_membership");
        Ok(by_membership.filter_map(|allow| allow["room_id"].as_str()?.try_into().ok()).collect())
    }

    /// One member of the content of a state event as it is now, unless it is missing or null.
    pub(crate) fn field(
        &self,
        room_id: &RoomId,
        kind: &StateEventType,
        name: &str,
    ) -> ApiResult<Option<Value>> {
        let content = self.state_content(room_id, kind, "")?;
        let content = content.and_then(|content| serde_json::from_str::<Value>(content.get()).ok());
        Ok(content.and_then(|mut content| match content.get_mut(name).map(Value::take) {
            None | Some(Value::Null) => None,
            found => found,
        }))
    }
}
