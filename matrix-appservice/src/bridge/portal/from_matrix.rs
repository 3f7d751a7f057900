//! What Matrix users do in portals, brought to the network.

use std::sync::Arc;

use ruma::{EventId, UserId, events::room::message::RoomMessageEventContent};
use serde_json::Value;

use self::target::{Reference, Target};
use super::{
    Portal,
    from_network::ECHO_MARK,
    send::{Delivery, Request, Traces, retry_store},
};
use crate::{
    bridge::{
        Login, MatrixChange, MatrixChangeKind, NetworkError, OutgoingMessage, RoomFeatures, SendError,
        Sender,
        convert::{self, relations},
        core::{Core, or_report},
    },
    network_id::{LoginId, PortalKey, TxnKey},
    service::Outcome,
    store::{PortalRow, ReactionTo, StoreError},
};

mod event;
mod room;
mod target;

pub(crate) use self::event::MatrixEvent;

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

    /// Whether the bridge itself sent this, as a real user.
    pub(crate) fn is_echo(&self, event: &MatrixEvent) -> bool {
        event.text(ECHO_MARK) == Some(&self.appservice_id)
    }
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

impl MatrixChangeKind {
    /// Whether doing it twice is the same as doing it once.
    pub(super) fn is_repeatable(&self) -> bool {
        !matches!(self, Self::Edit { .. })
    }
}
