//! What Matrix users do, as the network is told.

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedMxcUri, OwnedUserId,
    events::room::message::RoomMessageEventContent,
};
use serde::{Deserialize, Serialize};

use crate::network_id::{PartId, PortalKey, RemoteMessageId, RemoteUserId, TxnKey};

/// A message from Matrix to the network.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutgoingMessage {
    /// Names this request: the same when it is repeated.
    pub key: TxnKey,
    /// Where it goes.
    pub portal: PortalKey,
    /// The Matrix event.
    pub event_id: OwnedEventId,
    /// Who wrote it.
    pub sender: Sender,
    /// When it was written, by the homeserver's clock.
    pub timestamp: MilliSecondsSinceUnixEpoch,
    /// What was written. Relations and reply fallbacks are removed; stickers arrive as pictures.
    pub content: RoomMessageEventContent,
    /// The message that it answers, if that one is known to the network.
    pub reply_to: Option<MessageRef>,
    /// The first message of its thread, if that one is known to the network.
    pub thread: Option<MessageRef>,
    /// How often this was tried before: 0 at first.
    pub attempt: u32,
}

impl OutgoingMessage {
    /// The text as plain text, whatever the kind of message.
    pub fn body(&self) -> &str {
        self.content.body()
    }
}

impl PartialEq for OutgoingMessage {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.attempt == other.attempt
    }
}

impl Eq for OutgoingMessage {}

/// The Matrix user who caused something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sender {
    /// Who.
    pub user_id: OwnedUserId,
    /// The name he shows in this room, if it is known.
    pub display_name: Option<String>,
    /// Whether the login that is called belongs to somebody else, so that the name has to go into the text.
    pub relayed: bool,
}

impl Sender {
    /// The name to show: the display name, else the localpart.
    pub fn name(&self) -> &str {
        self.display_name.as_deref().unwrap_or_else(|| self.user_id.localpart())
    }
}

/// A message that both sides know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MessageRef {
    /// Its identifier on the network.
    pub id: RemoteMessageId,
    /// Which part of it.
    pub part: PartId,
    /// The Matrix event.
    pub event_id: OwnedEventId,
    /// Who wrote it, if a user of the network did.
    pub author: Option<RemoteUserId>,
    /// Who wrote it, if a Matrix user did.
    pub matrix_author: Option<OwnedUserId>,
    /// When it was written.
    pub timestamp: MilliSecondsSinceUnixEpoch,
}

/// What a Matrix user did in a portal, other than sending a message.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MatrixChange {
    /// Names this request: the same when it is repeated.
    pub key: TxnKey,
    /// Where.
    pub portal: PortalKey,
    /// The Matrix event; `None` for what is no event (typing, receipts) and for what the framework
    /// does by itself.
    pub event_id: Option<OwnedEventId>,
    /// Who.
    pub sender: Sender,
    /// When, by the homeserver's clock.
    pub timestamp: MilliSecondsSinceUnixEpoch,
    /// What.
    pub kind: MatrixChangeKind,
}

impl MatrixChange {
    /// The event, where there is one.
    pub fn event_id(&self) -> Option<&EventId> {
        self.event_id.as_deref()
    }
}

/// What a Matrix user did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum MatrixChangeKind {
    /// Replaced a message.
    Edit {
        /// Which.
        target: MessageRef,
        /// All identifiers that the message has on the network, if it became several.
        all: Vec<RemoteMessageId>,
        /// What it says now.
        content: Box<RoomMessageEventContent>,
    },
    /// Removed a message.
    Redact {
        /// Which.
        target: MessageRef,
        /// All identifiers that the message has on the network, if it became several.
        all: Vec<RemoteMessageId>,
        /// Why.
        reason: Option<String>,
    },
    /// Reacted to a message.
    React {
        /// Which.
        target: MessageRef,
        /// The emoji or text.
        emoji: String,
    },
    /// Took a reaction back.
    Unreact {
        /// The message that it was on.
        target: MessageRef,
        /// What the network called the reaction, if it gave it a name.
        reaction: Option<RemoteMessageId>,
        /// The emoji or text.
        emoji: String,
    },
    /// Has read everything up to this message.
    Receipt {
        /// The last one that was read.
        up_to: MessageRef,
    },
    /// Is typing, or has stopped.
    Typing {
        /// Which of the two.
        typing: bool,
    },
    /// Set the name.
    Name(String),
    /// Set the topic.
    Topic(String),
    /// Set or removed the picture.
    Avatar(Option<OwnedMxcUri>),
    /// Changed somebody's membership; his own by joining or leaving.
    Member {
        /// Whose.
        user: OwnedUserId,
        /// The remote user, if `user` is a ghost.
        ghost: Option<RemoteUserId>,
        /// To what.
        action: MemberAction,
        /// Why.
        reason: Option<String>,
    },
    /// Gave somebody another power level.
    Power {
        /// Whom.
        user: OwnedUserId,
        /// The remote user, if `user` is a ghost.
        ghost: Option<RemoteUserId>,
        /// The level before.
        from: i64,
        /// The level now.
        to: i64,
    },
}

/// What happened to somebody's membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemberAction {
    /// Came in. Also told for every Matrix member of a portal when his login opens.
    Join,
    /// Left, or turned an invitation down.
    Leave,
    /// Was invited.
    Invite,
    /// Was put out.
    Kick,
    /// Was banned.
    Ban,
    /// May come back.
    Unban,
}
