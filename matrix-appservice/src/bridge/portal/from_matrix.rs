//! What Matrix users do in portals, brought to the network.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::room::message::RoomMessageEventContent,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Portal,
    from_network::ECHO_MARK,
    send::{Delivery, Request, Traces, retry_store},
};
use crate::{
    bridge::{
        Login, MatrixChange, MatrixChangeKind, MemberAction, MessageRef, NetworkError, OutgoingMessage,
        RoomFeatures, SendError, Sender,
        convert::{self, Content, relations},
        core::{Core, or_report},
    },
    network_id::{LoginId, PortalKey, TxnKey},
    service::{Outcome, RoomEvent},
    store::{Batch, MessageRow, PortalRow, ReactionTo, StoreError},
};

/// How long an event waits for the message that it is about to be confirmed.
const PENDING_TARGET: Duration = Duration::from_millis(250);
/// How often it waits.
const PENDING_PATIENCE: u32 = 60;

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

    fn previous(&self) -> Option<&Content> {
        self.unsigned.get("prev_content").or_else(|| self.unsigned.get("replaces_content"))?.as_object()
    }
}

/// Who speaks in a portal, through which login, and what the chat supports.
struct Voice {
    id: LoginId,
    login: Arc<dyn Login>,
    relayed: bool,
    features: RoomFeatures,
}

/// One event in one portal.
struct Occasion<'a> {
    row: &'a PortalRow,
    event: &'a MatrixEvent,
    attempt: u32,
    interrupted: bool,
}

impl Core {
    /// Handles an event in a portal.
    pub(crate) async fn portal_event(
        self: &Arc<Self>,
        event: &MatrixEvent,
        attempt: u32,
        interrupted: bool,
    ) -> Outcome {
        let row = match self.store.portal_by_room(&event.room_id) {
            Ok(Some(row)) => row,
            Ok(None) => return Outcome::Done,
            Err(error) => return retry_store(&error),
        };
        if interrupted {
            match self.is_settled(event) {
                Ok(true) => return Outcome::Done,
                Ok(false) => {}
                Err(error) => return retry_store(&error),
            }
        }
        let occasion = Occasion { row: &row, event, attempt, interrupted };
        match event.event_type.as_str() {
            "m.room.message" | "m.sticker" if event.state_key.is_none() => self.on_message(&occasion).await,
            "m.reaction" => self.on_reaction(&occasion).await,
            "m.room.redaction" => self.on_redaction(&occasion).await,
            "m.room.member" => self.on_member(&occasion).await,
            "m.room.topic" | "m.room.name" | "m.room.avatar" if event.state_key.as_deref() == Some("") => {
                self.on_state(&occasion).await
            }
            "m.room.power_levels" => self.on_power(&occasion).await,
            "m.room.tombstone" => self.on_tombstone(&occasion).await,
            "m.room.encrypted" => {
                let error = SendError::rejected("this bridge cannot read encrypted messages");
                self.refuse(&occasion, error).await
            }
            _ => Outcome::Done,
        }
    }

    /// Whether the outcome of an event is known, or somebody else finds it out.
    fn is_settled(&self, event: &MatrixEvent) -> Result<bool, StoreError> {
        let pending = self.store.send(&TxnKey::new(event.event_id.as_str()))?.is_some();
        Ok(pending || self.store.message_by_event(&event.event_id)?.is_some())
    }

    async fn on_message(self: &Arc<Self>, occasion: &Occasion<'_>) -> Outcome {
        let event = occasion.event;
        let relations = relations(&event.content);
        if let Some(target) = &relations.replaces {
            return self.on_edit(occasion, target).await;
        }
        let voice = match self.voice(occasion, &event.sender).await {
            Ok(Some(voice)) => voice,
            Ok(None) => return self.refuse(occasion, no_login()).await,
            Err(error) => return self.refuse(occasion, error.into()).await,
        };
        if is_media(event) && !voice.features.media {
            return self.refuse(occasion, SendError::rejected("the network takes no files")).await;
        }
        let Some(mut message) = Portal::plain_message(self, &occasion.row.key, event, occasion.attempt)
        else {
            return self.refuse(occasion, SendError::rejected("the message is malformed")).await;
        };
        message.sender = self.sender(occasion, voice.relayed);
        if voice.relayed && !voice.features.names {
            message.content = relayed_content(&message);
        }
        match self.reference(relations.reply_to.as_deref(), occasion).await {
            Reference::Known(target) => message.reply_to = Some(target),
            Reference::Wait(outcome) => return outcome,
            Reference::Unknown => {}
        }
        if let Reference::Known(root) = self.reference(relations.thread.as_deref(), occasion).await {
            message.thread = Some(root);
        }
        self.deliver(occasion.delivery(&voice), Request::Message(Box::new(message))).await
    }

    async fn on_edit(self: &Arc<Self>, occasion: &Occasion<'_>, target: &str) -> Outcome {
        let event = occasion.event;
        let (target, row) = match self.target(target, occasion).await {
            Target::Known(target, row) => (target, row),
            Target::Wait(outcome) => return outcome,
            Target::Unknown => return Outcome::Done,
        };
        // Only the author can replace a message; clients ignore anything else, so the bridge does too.
        if row.sender != event.sender {
            return Outcome::Done;
        }
        let content = convert::for_network(convert::new_content(&event.content), &event.event_type, true);
        let Ok(content) = serde_json::from_value::<RoomMessageEventContent>(Value::Object(content)) else {
            return self.refuse(occasion, SendError::rejected("the new text is malformed")).await;
        };
        let traces = Traces::SameAs(row.event_id.clone());
        let kind = MatrixChangeKind::Edit { target, all: row.ids, content: Box::new(content) };
        self.change(occasion, kind, traces, |features| features.edits, true).await
    }

    async fn on_reaction(self: &Arc<Self>, occasion: &Occasion<'_>) -> Outcome {
        let Some((target, emoji)) = relations(&occasion.event.content).annotates else {
            return Outcome::Done;
        };
        let (target, row) = match self.target(&target, occasion).await {
            Target::Known(target, row) => (target, row),
            Target::Wait(outcome) => return outcome,
            Target::Unknown => return Outcome::Done,
        };
        let traces = Traces::Reaction(ReactionTo { target: row.event_id, emoji: emoji.clone() });
        let kind = MatrixChangeKind::React { target, emoji };
        self.change(occasion, kind, traces, |features| features.reactions, false).await
    }

    async fn on_redaction(self: &Arc<Self>, occasion: &Occasion<'_>) -> Outcome {
        let event = occasion.event;
        let Some(redacted) = event.redacts.as_deref().or_else(|| event.text("redacts")) else {
            return Outcome::Done;
        };
        let reason = event.text("reason").map(str::to_owned);
        let (target, row) = match self.target(redacted, occasion).await {
            Target::Known(target, row) => (target, row),
            Target::Wait(outcome) => return outcome,
            Target::Unknown => return self.on_unreaction(occasion, redacted).await,
        };
        let kind = MatrixChangeKind::Redact { target, all: row.ids, reason };
        self.change(occasion, kind, Traces::Nothing, |features| features.redactions, false).await
    }

    async fn on_unreaction(self: &Arc<Self>, occasion: &Occasion<'_>, redacted: &str) -> Outcome {
        let Ok(redacted) = EventId::parse(redacted) else { return Outcome::Done };
        let row = match self.store.message_by_event(&redacted) {
            Ok(row) => row,
            Err(error) => return retry_store(&error),
        };
        let Some((row, reaction)) = row.and_then(|row| row.reaction.clone().map(|reaction| (row, reaction)))
        else {
            return Outcome::Done;
        };
        let target = match self.target(reaction.target.as_str(), occasion).await {
            Target::Known(target, _) => target,
            Target::Wait(outcome) => return outcome,
            Target::Unknown => return Outcome::Done,
        };
        let kind =
            MatrixChangeKind::Unreact { target, reaction: row.ids.first().cloned(), emoji: reaction.emoji };
        let traces = Traces::Unreaction(Box::new(row));
        self.change(occasion, kind, traces, |features| features.reactions, false).await
    }

    async fn on_member(self: &Arc<Self>, occasion: &Occasion<'_>) -> Outcome {
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

    async fn on_state(self: &Arc<Self>, occasion: &Occasion<'_>) -> Outcome {
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

    async fn on_power(self: &Arc<Self>, occasion: &Occasion<'_>) -> Outcome {
        let before = occasion.event.previous().map(power_levels).unwrap_or_default();
        let now = power_levels(&occasion.event.content);
        let users: std::collections::BTreeSet<_> = before.users.keys().chain(now.users.keys()).collect();
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
    async fn on_tombstone(self: &Arc<Self>, occasion: &Occasion<'_>) -> Outcome {
        let Some(room_id) = occasion.event.text("replacement_room").and_then(|id| RoomId::parse(id).ok())
        else {
            return Outcome::Done;
        };
        let portal = self.portals.get(&occasion.row.key);
        let ghosts: Vec<_> = or_report(self.store.room_members(&occasion.row.room_id))
            .iter()
            .filter_map(|user| self.remote_user_of(user))
            .map(crate::bridge::MemberChange::join)
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

    async fn change(
        self: &Arc<Self>,
        occasion: &Occasion<'_>,
        kind: MatrixChangeKind,
        traces: Traces,
        has: fn(&RoomFeatures) -> bool,
        tell: bool,
    ) -> Outcome {
        self.change_as(occasion, &occasion.event.sender, kind, traces, has, tell).await
    }

    /// Brings a change to the network through the login of `whose`. Where the network lacks the feature it is
    /// not called, and the user is told if he would otherwise believe that it worked.
    async fn change_as(
        self: &Arc<Self>,
        occasion: &Occasion<'_>,
        whose: &UserId,
        kind: MatrixChangeKind,
        traces: Traces,
        has: fn(&RoomFeatures) -> bool,
        tell: bool,
    ) -> Outcome {
        let voice = match self.voice(occasion, whose).await {
            Ok(Some(voice)) => voice,
            Ok(None) => return Outcome::Done,
            Err(error) => return self.refuse(occasion, error.into()).await,
        };
        if !has(&voice.features) {
            if tell {
                let error = SendError::rejected("the network does not support this kind of change");
                return self.refuse(occasion, error).await;
            }
            return Outcome::Done;
        }
        let change = MatrixChange {
            key: TxnKey::new(occasion.event.event_id.as_str()),
            portal: occasion.row.key.clone(),
            event_id: Some(occasion.event.event_id.clone()),
            sender: self.sender(occasion, voice.relayed),
            timestamp: occasion.event.origin_server_ts,
            kind,
        };
        self.deliver(occasion.delivery(&voice), Request::Change(Box::new(change), traces)).await
    }

    /// Through which login `user` acts here; `None` if he has none and nobody speaks for him.
    async fn voice(
        self: &Arc<Self>,
        occasion: &Occasion<'_>,
        user: &UserId,
    ) -> Result<Option<Voice>, NetworkError> {
        let key = &occasion.row.key;
        let Some((id, relayed)) = self.login_for(user, key).await? else { return Ok(None) };
        let login = self.open_login(&id).await?;
        let features = login.features(key);
        Ok(Some(Voice { id, login, relayed, features }))
    }

    fn sender(&self, occasion: &Occasion<'_>, relayed: bool) -> Sender {
        let user_id = occasion.event.sender.clone();
        let display_name = or_report(self.store.member_name(&occasion.row.room_id, &user_id));
        Sender { user_id, display_name, relayed }
    }

    /// Does not bring the event to the network, or not yet.
    async fn refuse(&self, occasion: &Occasion<'_>, error: SendError) -> Outcome {
        if let Some(after) = error.retry {
            return Outcome::Retry { after, reason: error.text };
        }
        self.report_failed(occasion.row, &occasion.event.event_id, &error).await;
        Outcome::Reject { reason: error.text, notify: false }
    }

    /// The message that an event is about.
    async fn target(&self, event_id: &str, occasion: &Occasion<'_>) -> Target {
        let Ok(event_id) = EventId::parse(event_id) else { return Target::Unknown };
        match self.find_target(&event_id, occasion) {
            Ok(Target::Unknown) => {}
            Ok(found) => return found,
            Err(error) => return Target::Wait(retry_store(&error)),
        }
        // It may just have been sent by the bridge, and the homeserver's answer be on its way.
        self.portals.get(&occasion.row.key).wait_for_sending().await;
        self.find_target(&event_id, occasion).unwrap_or_else(|error| Target::Wait(retry_store(&error)))
    }

    fn find_target(&self, event_id: &EventId, occasion: &Occasion<'_>) -> Result<Target, StoreError> {
        // Read before the message map, because a confirmation moves the message from here to there.
        let pending = self.store.send(&TxnKey::new(event_id.as_str()))?.is_some();
        Ok(match self.store.message_by_event(event_id)? {
            Some(row) if row.reaction.is_some() || row.portal != occasion.row.key => Target::Unknown,
            Some(row) => match MessageRef::of(&row) {
                Some(target) => Target::Known(target, Box::new(row)),
                None => Target::Unknown,
            },
            None if pending && occasion.attempt < PENDING_PATIENCE => Target::Wait(Outcome::Retry {
                after: PENDING_TARGET,
                reason: "the message that it is about is not confirmed yet".to_owned(),
            }),
            None => Target::Unknown,
        })
    }

    /// The message that another one refers to. The reference is worth less than the message, so it waits less.
    async fn reference(&self, event_id: Option<&str>, occasion: &Occasion<'_>) -> Reference {
        let Some(event_id) = event_id else { return Reference::Unknown };
        match self.target(event_id, occasion).await {
            Target::Known(target, _) => Reference::Known(target),
            Target::Wait(outcome) if occasion.attempt < PENDING_PATIENCE / 10 => Reference::Wait(outcome),
            _ => Reference::Unknown,
        }
    }

    /// The message of a portal that an event is.
    pub(crate) fn message_names(&self, row: &PortalRow, event_id: &str) -> Option<MessageRef> {
        let message = or_report(self.store.message_by_event(&EventId::parse(event_id).ok()?))?;
        if message.portal == row.key { MessageRef::of(&message) } else { None }
    }

    /// Whether the bridge itself sent this, as a real user.
    pub(crate) fn is_echo(&self, event: &MatrixEvent) -> bool {
        event.text(ECHO_MARK) == Some(&self.appservice_id)
    }
}

enum Target {
    Known(MessageRef, Box<MessageRow>),
    Wait(Outcome),
    Unknown,
}

enum Reference {
    Known(MessageRef),
    Wait(Outcome),
    Unknown,
}

impl<'a> Occasion<'a> {
    fn delivery(&self, voice: &'a Voice) -> Delivery<'a>
    where
        Self: 'a,
    {
        Delivery {
            portal: self.row,
            event: self.event,
            login_id: &voice.id,
            login: &voice.login,
            interrupted: self.interrupted,
        }
    }
}

impl MessageRef {
    /// `None` if the network has no name for the message.
    fn of(row: &MessageRow) -> Option<Self> {
        Some(Self {
            id: row.ids.first()?.clone(),
            part: row.part.clone(),
            event_id: row.event_id.clone(),
            author: row.author.clone(),
            matrix_author: row.author.is_none().then(|| row.sender.clone()),
            timestamp: row.timestamp,
        })
    }
}

impl Portal {
    /// The message that an event is, without what it relates to; `None` if it is malformed.
    pub(super) fn plain_message(
        core: &Core,
        portal: &PortalKey,
        event: &MatrixEvent,
        attempt: u32,
    ) -> Option<OutgoingMessage> {
        let is_reply = relations(&event.content).reply_to.is_some();
        let content = convert::for_network(event.content.clone(), &event.event_type, is_reply);
        let content = serde_json::from_value::<RoomMessageEventContent>(Value::Object(content)).ok()?;
        let display_name = or_report(core.store.member_name(&event.room_id, &event.sender));
        Some(OutgoingMessage {
            key: TxnKey::new(event.event_id.as_str()),
            portal: portal.clone(),
            event_id: event.event_id.clone(),
            sender: Sender { user_id: event.sender.clone(), display_name, relayed: false },
            timestamp: event.origin_server_ts,
            content,
            reply_to: None,
            thread: None,
            attempt,
        })
    }
}

/// The content with its author's name in it; as it was if that makes it unreadable.
fn relayed_content(message: &OutgoingMessage) -> RoomMessageEventContent {
    let named = serde_json::to_value(&message.content)
        .map(|content| convert::relayed(convert::object(content), &message.sender))
        .and_then(|content| serde_json::from_value(Value::Object(content)));
    named.unwrap_or_else(|_| message.content.clone())
}

fn no_login() -> SendError {
    SendError::rejected("you have no login on the network")
}

fn is_media(event: &MatrixEvent) -> bool {
    event.event_type == "m.sticker"
        || matches!(event.text("msgtype"), Some("m.image" | "m.file" | "m.audio" | "m.video"))
}

/// What happened to `user`; `None` if only a profile changed or nothing that concerns the network.
fn member_action(event: &MatrixEvent, user: &UserId) -> Option<MemberAction> {
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
struct PowerLevels {
    users: BTreeMap<String, i64>,
    default: i64,
}

impl PowerLevels {
    fn of(&self, user: &str) -> i64 {
        self.users.get(user).copied().unwrap_or(self.default)
    }
}

/// Old rooms may hold numbers as strings.
fn power_levels(content: &Content) -> PowerLevels {
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

impl MatrixChangeKind {
    /// Whether doing it twice is the same as doing it once.
    pub(super) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Edit { .. })
    }
}

#[cfg(test)]
mod tests;
