//! What a gateway is told ([notify]).
//!
//! [notify]: https://spec.matrix.org/v1.19/push-gateway-api/#post_matrixpushv1notify

use ruma::{
    UserId,
    events::{StateEventType, TimelineEventType},
    push::{Action, Tweak},
};
use serde_json::{Map, Value, json};

use super::Shared;
use crate::{
    room::RoomError,
    user::{Notification, Pusher, PusherId},
};

/// An event, for one pusher.
pub(super) fn of_event(
    shared: &Shared,
    id: &PusherId,
    pusher: &Pusher,
    notification: &Notification,
    unread: u64,
) -> Result<Value, RoomError> {
    let pdu = &notification.event.pdu;
    let tweaks = tweaks(&notification.actions);
    let urgent = pdu.event_type == TimelineEventType::RoomEncrypted
        || tweaks.get("highlight") == Some(&Value::Bool(true))
        || tweaks.contains_key("sound");
    let mut told = json!({
        "event_id": pdu.event_id,
        "room_id": notification.room_id,
        "prio": if urgent { "high" } else { "low" },
        "counts": {"unread": unread},
        "devices": [device(id, pusher, Some(tweaks))],
    });
    if pusher.wants_event_id_only() {
        return Ok(json!({ "notification": told }));
    }
    told["type"] = pdu.event_type.to_string().into();
    told["sender"] = pdu.sender.as_str().into();
    told["content"] = serde_json::from_str(pdu.content.get()).unwrap_or_default();
    if pdu.event_type == TimelineEventType::RoomMember {
        told["user_is_target"] = (pdu.state_key.as_deref() == Some(id.user_id.as_str())).into();
    }
    for (name, value) in [
        ("sender_display_name", displayname(shared, notification, &pdu.sender)?),
        ("room_name", state_text(shared, notification, &StateEventType::RoomName, "name")?),
        ("room_alias", state_text(shared, notification, &StateEventType::RoomCanonicalAlias, "alias")?),
    ] {
        if let Some(value) = value {
            told[name] = value.into();
        }
    }
    Ok(json!({ "notification": told }))
}

/// Only how much is unread now, for the badge of the app.
pub(super) fn of_count(id: &PusherId, pusher: &Pusher, unread: u64) -> Value {
    json!({"notification": {"counts": {"unread": unread}, "devices": [device(id, pusher, None)]}})
}

fn device(id: &PusherId, pusher: &Pusher, tweaks: Option<Map<String, Value>>) -> Value {
    let mut data = pusher.given.get("data").cloned().unwrap_or_else(|| json!({}));
    if let Some(data) = data.as_object_mut() {
        data.remove("url");
    }
    let mut device = json!({
        "app_id": id.app_id,
        "pushkey": id.pushkey,
        "pushkey_ts": pusher.since / 1000,
        "data": data,
    });
    if let Some(tweaks) = tweaks {
        device["tweaks"] = tweaks.into();
    }
    device
}

fn tweaks(actions: &[Action]) -> Map<String, Value> {
    let mut tweaks = Map::new();
    for action in actions {
        if let Action::SetTweak(tweak) = action {
            match tweak {
                Tweak::Sound(sound) => {
                    tweaks.insert("sound".to_owned(), json!(sound));
                }
                Tweak::Highlight(_) => {
                    tweaks.insert("highlight".to_owned(), action.is_highlight().into());
                }
                _ => {}
            }
        }
    }
    tweaks
}

fn displayname(
    shared: &Shared,
    notification: &Notification,
    user_id: &UserId,
) -> Result<Option<String>, RoomError> {
    let Some(room) = shared.rooms.get(&notification.room_id)? else { return Ok(None) };
    let view = room.view();
    Ok(view.members.get(user_id).and_then(|member| member.displayname.as_deref().map(ToOwned::to_owned)))
}

fn state_text(
    shared: &Shared,
    notification: &Notification,
    kind: &StateEventType,
    member: &str,
) -> Result<Option<String>, RoomError> {
    let event = shared.rooms.current_state_event(&notification.room_id, kind, "")?;
    let content = event.and_then(|event| serde_json::from_str::<Value>(event.pdu.content.get()).ok());
    Ok(content.and_then(|content| content[member].as_str().map(ToOwned::to_owned)))
}
