//! What the network does, as the framework is told. Plain data: it is journalled as it is.

use ruma::{MilliSecondsSinceUnixEpoch, events::room::message::RoomMessageEventContent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{ChatInfo, UserInfo};
use crate::network_id::{PartId, PortalKey, RemoteMessageId, RemoteUserId, TxnKey};

/// Something that happened on the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RemoteEvent {
    /// Where.
    pub portal: PortalKey,
    /// Who did it; `None` for the network itself, for which the bot acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<RemoteUserId>,
    /// When it happened, by the network's clock. Becomes the Matrix event's timestamp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<MilliSecondsSinceUnixEpoch>,
    /// Whether the login that pushes it is the sender, with another client. Shown as the login's
    /// Matrix user where the bridge may act as him, else as his ghost.
    #[serde(default)]
    pub own: bool,
    /// What happened.
    pub kind: RemoteEventKind,
}

impl RemoteEvent {
    /// Something that the network itself did.
    pub fn new(portal: PortalKey, kind: RemoteEventKind) -> Self {
        Self { portal, sender: None, timestamp: None, own: false, kind }
    }

    /// A message in one part.
    pub fn message(
        portal: PortalKey,
        sender: impl Into<RemoteUserId>,
        id: impl Into<RemoteMessageId>,
        content: impl Into<Part>,
    ) -> Self {
        Self::new(
            portal,
            RemoteEventKind::Message {
                id: id.into(),
                parts: vec![content.into()],
                reply_to: None,
                thread: None,
                txn: None,
            },
        )
        .by(sender)
    }

    /// A message in plain text.
    pub fn text(
        portal: PortalKey,
        sender: impl Into<RemoteUserId>,
        id: impl Into<RemoteMessageId>,
        text: impl Into<String>,
    ) -> Self {
        Self::message(portal, sender, id, Part::text(text))
    }

    /// Changes of who is in the chat.
    pub fn members(portal: PortalKey, changes: Vec<MemberChange>) -> Self {
        Self::new(portal, RemoteEventKind::Membership { changes, complete: false })
    }

    /// Who is in the chat; everybody else has left.
    pub fn all_members(portal: PortalKey, members: Vec<MemberChange>) -> Self {
        Self::new(portal, RemoteEventKind::Membership { changes: members, complete: true })
    }

    /// A change of the chat itself.
    pub fn chat(portal: PortalKey, info: ChatInfo) -> Self {
        Self::new(portal, RemoteEventKind::ChatInfo(Box::new(info)))
    }

    /// Who did it.
    pub fn by(mut self, sender: impl Into<RemoteUserId>) -> Self {
        self.sender = Some(sender.into());
        self
    }

    /// When it happened.
    pub fn at(mut self, timestamp: MilliSecondsSinceUnixEpoch) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// The sender is the login that pushes this, with another client.
    pub fn own(mut self) -> Self {
        self.own = true;
        self
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RemoteEventKind {
    /// Somebody spoke. A message whose identifier is known already is ignored, so a network may
    /// deliver it as often as it likes.
    Message {
        /// What the network calls it.
        id: RemoteMessageId,
        /// What was said; each part becomes one Matrix event, in order.
        parts: Vec<Part>,
        /// The message that it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<RemoteMessageId>,
        /// The first message of its thread.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        thread: Option<RemoteMessageId>,
        /// If this is the echo of something that the framework sent: its key. It is then a
        /// confirmation and no new message.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        txn: Option<TxnKey>,
    },
    /// Somebody replaced a message.
    Edit {
        /// Which.
        target: RemoteMessageId,
        /// What the network calls the edit, so that it is not applied twice; `None` if it has no name
        /// (then two equal edits in a row are one).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<RemoteMessageId>,
        /// What it says now, part by part.
        parts: Vec<Part>,
    },
    /// Somebody removed a message.
    Remove {
        /// Which.
        target: RemoteMessageId,
        /// Only this part of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<PartId>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Somebody reacted to a message.
    Reaction {
        /// Which.
        target: RemoteMessageId,
        /// The emoji or text. The same sender's same reaction to the same message is one.
        emoji: String,
    },
    /// Somebody took a reaction back.
    ReactionRemoved {
        /// The message that it was on.
        target: RemoteMessageId,
        /// The emoji or text.
        emoji: String,
    },
    /// Somebody has read everything up to this message. Not journalled.
    Receipt {
        /// The last one that was read.
        up_to: RemoteMessageId,
    },
    /// Somebody is typing, or has stopped. Not journalled.
    Typing {
        /// Which of the two.
        typing: bool,
    },
    /// The chat changed. Fields that are `None` leave it as it is.
    ChatInfo(Box<ChatInfo>),
    /// Who is in the chat changed. Messages overtake it, but nobody speaks before he has joined.
    Membership {
        /// The changes, in order.
        changes: Vec<MemberChange>,
        /// Whether `changes` names everybody, so that whoever is not named has left.
        #[serde(default)]
        complete: bool,
    },
    /// The sender's profile changed, in all portals.
    Profile(UserInfo),
    /// The chat is gone: ghosts leave and the portal is closed.
    ChatGone {
        /// What the room is told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Messages of the past, oldest first. Those that are known already are left out.
    Backfill {
        /// The messages.
        messages: Vec<BackfillMessage>,
    },
    /// Something that the people in the room should know. The bot says it as a notice.
    Notice {
        /// Names it, so that it is said once.
        id: RemoteMessageId,
        /// What to say.
        text: String,
    },
}

/// A message of the past.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackfillMessage {
    /// What the network calls it.
    pub id: RemoteMessageId,
    /// Who wrote it.
    pub sender: RemoteUserId,
    /// When.
    pub timestamp: MilliSecondsSinceUnixEpoch,
    /// What.
    pub parts: Vec<Part>,
}

/// One Matrix event's worth of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Part {
    /// Which part: unique within the message.
    #[serde(default)]
    pub id: PartId,
    /// The type of the Matrix event: `m.room.message` for most.
    pub event_type: String,
    /// The content of the Matrix event, without relations: those are the framework's.
    pub content: Map<String, Value>,
}

impl Part {
    /// Any event.
    pub fn new(event_type: impl Into<String>, content: Map<String, Value>) -> Self {
        Self { id: PartId::default(), event_type: event_type.into(), content }
    }

    /// Plain text.
    pub fn text(body: impl Into<String>) -> Self {
        let mut content = Map::new();
        content.insert("body".to_owned(), json!(body.into()));
        Self::new("m.room.message", content).msgtype("m.text")
    }

    /// Text with formatting. The HTML must be safe.
    pub fn html(body: impl Into<String>, html: impl Into<String>) -> Self {
        Self::text(body).formatted(html)
    }

    /// What a program says.
    pub fn notice(body: impl Into<String>) -> Self {
        Self::text(body).msgtype("m.notice")
    }

    /// What somebody does.
    pub fn emote(body: impl Into<String>) -> Self {
        Self::text(body).msgtype("m.emote")
    }

    /// The same with another `msgtype`.
    pub fn msgtype(mut self, msgtype: &str) -> Self {
        self.content.insert("msgtype".to_owned(), json!(msgtype));
        self
    }

    /// With this HTML beside the plain text. It must be safe.
    pub fn formatted(mut self, html: impl Into<String>) -> Self {
        self.content.insert("format".to_owned(), json!("org.matrix.custom.html"));
        self.content.insert("formatted_body".to_owned(), json!(html.into()));
        self
    }

    /// As this part of its message.
    pub fn named(mut self, id: impl Into<PartId>) -> Self {
        self.id = id.into();
        self
    }
}

impl From<RoomMessageEventContent> for Part {
    fn from(content: RoomMessageEventContent) -> Self {
        match serde_json::to_value(&content) {
            Ok(Value::Object(content)) => Self::new("m.room.message", content),
            // Content that came out of a parser always serialises; if it ever did not, its text is left.
            _ => Self::text(content.body()),
        }
    }
}

/// A change of somebody's membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemberChange {
    /// Whose.
    pub user: RemoteUserId,
    /// To what.
    pub membership: MembershipState,
    /// Who did it, if it was not the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RemoteUserId>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is known of the user; saves asking for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<UserInfo>,
    /// The user's power level in the room, if it changed or is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<i64>,
}

impl MemberChange {
    /// A change of somebody's membership.
    pub fn new(user: impl Into<RemoteUserId>, membership: MembershipState) -> Self {
        Self { user: user.into(), membership, by: None, reason: None, info: None, power: None }
    }

    /// Somebody is in the chat.
    pub fn join(user: impl Into<RemoteUserId>) -> Self {
        Self::new(user, MembershipState::Join)
    }

    /// Somebody left.
    pub fn leave(user: impl Into<RemoteUserId>) -> Self {
        Self::new(user, MembershipState::Leave)
    }

    /// It was done by somebody else: a kick, a ban, an invitation.
    pub fn by(mut self, user: impl Into<RemoteUserId>) -> Self {
        self.by = Some(user.into());
        self
    }

    /// Why.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// What is known of the user.
    pub fn with_info(mut self, info: UserInfo) -> Self {
        self.info = Some(info);
        self
    }

    /// The user's power level.
    pub fn with_power(mut self, power: i64) -> Self {
        self.power = Some(power);
        self
    }
}

/// Whether somebody is in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MembershipState {
    /// In it.
    Join,
    /// Not in it; a kick if somebody else did it.
    Leave,
    /// Not in it and not allowed back.
    Ban,
    /// Asked to come in.
    Invite,
    /// As before: only what else the change says is applied (power, profile).
    Unchanged,
}
