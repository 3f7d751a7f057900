//! What happens to the room of a portal: members, names, power levels, its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use ruma::{OwnedMxcUri, RoomId, UserId};
use serde_json::Value;

use super::{super::send::Traces, MatrixEvent, Occasion};
use crate::{
    bridge::{
        MatrixChangeKind, MemberAction, MemberChange, RoomFeatures,
        convert::Content,
        core::{Core, or_report},
    },
    service::Outcome,
    store::{Batch, PortalRow},
};

impl Core {
    pub(super) async fn on_member(self: &Arc<Self>, occasion: &Occasion<'_>) -> Outcome {
        let event = occasion.event;
        let Some(user) = event.state_key.as_deref().and_then(|key| UserId::parse(key).ok()) else {
            return Outcome::Done;
        };
        if user == self.bot {
            return Outcome::Done;
        }
        let Some(action) = member_action(event, &user) else { return Outcome::Done };
        let ghost = self.remote_user_of(&user);
        // What happens to a Matrix user is told to his own login; what happens to a ghost, to the one who did it.
        let whose = if ghost.is_some() { event.sender.clone() } else { user.clone() };
        if ghost.is_none() && action == MemberAction::Invite {
            return Outcome::Done;
        }
        let kind =
            MatrixChangeKind::Member { user, ghost, action, reason: event.text("reason").map(str::to_owned) };
        self.change_as(occasion, &whose, kind, Traces::Nothing, |features| features.membership, false).await
    }

    pub(super) async fn on_state(self: &Arc<Self>, occasion: &Occasion<'_>) -> Outcome {
        let event = occasion.event;
        let text = |field| event.text(field).unwrap_or_default().to_owned();
        let mut now = occasion.row.info.clone();
        let (kind, has): (_, fn(&RoomFeatures) -> bool) = match event.event_type.as_str() {
            "m.room.topic" => {
                now.topic = Some(text("topic"));
                (MatrixChangeKind::Topic(text("topic")), |features| features.topic)
            }
            "m.room.name" => {
                now.name = Some(text("name"));
                (MatrixChangeKind::Name(text("name")), |features| features.name)
            }
            _ => {
                let url = event.text("url").map(OwnedMxcUri::from);
                now.avatar.clone_from(&url);
                (MatrixChangeKind::Avatar(url), |features| features.avatar)
            }
        };
        if now == occasion.row.info {
            return Outcome::Done;
        }
        let mut batch = Batch::default();
        batch.put_portal(&PortalRow { info: now, ..occasion.row.clone() }, Some(occasion.row));
        self.apply(batch);
        self.change(occasion, kind, Traces::Nothing, has, true).await
    }

    pub(super) async fn on_power(self: &Arc<Self>, occasion: &Occasion<'_>) -> Outcome {
        let before = occasion.event.previous().map(power_levels).unwrap_or_default();
        let now = power_levels(&occasion.event.content);
        let users: BTreeSet<_> = before.users.keys().chain(now.users.keys()).collect();
        for user in users {
            let (from, to) = (before.of(user), now.of(user));
            let Ok(user) = UserId::parse(user.as_str()) else { continue };
            if from == to || user == self.bot {
                continue;
            }
            let ghost = self.remote_user_of(&user);
            let kind = MatrixChangeKind::Power { user, ghost, from, to };
            match self.change(occasion, kind, Traces::Nothing, |features| features.power, false).await {
                Outcome::Done => {}
                other => return other,
            }
        }
        Outcome::Done
    }

    /// The room was upgraded: the portal moves to the new one
    /// ([room upgrades](https://spec.matrix.org/v1.19/client-server-api/#room-upgrades)).
    pub(super) async fn on_tombstone(self: &Arc<Self>, occasion: &Occasion<'_>) -> Outcome {
        let Some(room_id) = occasion.event.text("replacement_room").and_then(|id| RoomId::parse(id).ok())
        else {
            return Outcome::Done;
        };
        let portal = self.portals.get(&occasion.row.key);
        let ghosts: Vec<_> = or_report(self.store.room_members(&occasion.row.room_id))
            .iter()
            .filter_map(|user| self.remote_user_of(user))
            .map(MemberChange::join)
            .collect();
        let row = PortalRow { room_id, ..occasion.row.clone() };
        let moved = async {
            self.intent(&row.speaker).ensure_joined(&row.room_id).await?;
            portal.move_room(self, Some(occasion.row), &row).await
        };
        match moved.await {
            Ok(()) => {
                portal.members.put(self, &portal, &row, ghosts, false, None);
                Outcome::Done
            }
            Err(error) if error.is_retryable() => Outcome::Retry {
                after: error.retry_after().unwrap_or(Duration::from_secs(1)),
                reason: error.to_string(),
            },
            Err(error) => {
                tracing::error!(%error, %row.room_id, "the bridge cannot follow a room to its successor");
                Outcome::Reject { reason: error.to_string(), notify: false }
            }
        }
    }
}

/// What happened to `user`; `None` if only a profile changed or nothing that concerns the network.
pub(super) fn member_action(event: &MatrixEvent, user: &UserId) -> Option<MemberAction> {
    let before = event.previous().and_then(|content| content.get("membership")).and_then(Value::as_str);
    let own = event.sender == *user;
    match (before, event.text("membership")?) {
        (Some("join"), "join") => None,
        (_, "join") => Some(MemberAction::Join),
        (_, "invite") => Some(MemberAction::Invite),
        (_, "ban") => Some(MemberAction::Ban),
        (Some("ban"), "leave") => Some(MemberAction::Unban),
        (_, "leave") if own => Some(MemberAction::Leave),
        (_, "leave") => Some(MemberAction::Kick),
        _ => None,
    }
}

#[derive(Default)]
pub(super) struct PowerLevels {
    users: BTreeMap<String, i64>,
    default: i64,
}

impl PowerLevels {
    fn of(&self, user: &str) -> i64 {
        self.users.get(user).copied().unwrap_or(self.default)
    }
}

/// Old rooms may hold numbers as strings.
pub(super) fn power_levels(content: &Content) -> PowerLevels {
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
    let users = content.get("users").and_then(Value::as_object);
    PowerLevels {
        users: users
            .into_iter()
            .flatten()
            .filter_map(|(user, level)| Some((user.clone(), number(level)?)))
            .collect(),
        default: content.get("users_default").and_then(number).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
