//! What chats and users are like.

use ruma::{OwnedMxcUri, UInt};
use serde::{Deserialize, Serialize};

use super::MemberChange;
use crate::network_id::RemoteUserId;

/// What a chat is like. Fields that are `None` are unknown and leave the room as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ChatInfo {
    /// What kind of chat.
    pub kind: ChatKind,
    /// Its name.
    pub name: Option<String>,
    /// Its topic; an empty string removes it.
    pub topic: Option<String>,
    /// Its picture.
    pub avatar: Option<OwnedMxcUri>,
    /// Who may join the room.
    pub join: Option<JoinPolicy>,
    /// Whether the room is listed in the homeserver's directory.
    pub listed: bool,
    /// Who is in it. Applied in the background: messages do not wait for it.
    pub members: Vec<MemberChange>,
    /// Whether `members` is all of them, so that everybody else has left.
    pub members_complete: bool,
    /// Whether only users with power may speak.
    pub moderated: Option<bool>,
}

impl ChatInfo {
    /// A chat that anybody may join.
    pub fn channel(name: impl Into<String>) -> Self {
        Self {
            kind: ChatKind::Channel,
            name: Some(name.into()),
            join: Some(JoinPolicy::Anyone),
            ..Self::default()
        }
    }

    /// A chat for invited people.
    pub fn group(name: impl Into<String>) -> Self {
        Self {
            kind: ChatKind::Group,
            name: Some(name.into()),
            join: Some(JoinPolicy::Invited),
            ..Self::default()
        }
    }

    /// A chat of two.
    pub fn private(with: impl Into<RemoteUserId>) -> Self {
        Self {
            kind: ChatKind::Private,
            join: Some(JoinPolicy::Invited),
            members: vec![MemberChange::join(with)],
            ..Self::default()
        }
    }

    /// A change of the topic alone.
    pub fn topic(topic: impl Into<String>) -> Self {
        Self { topic: Some(topic.into()), ..Self::default() }
    }

    /// With this topic.
    pub fn with_topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// With these members, and nobody else if `complete`.
    pub fn with_members(mut self, members: Vec<MemberChange>, complete: bool) -> Self {
        self.members = members;
        self.members_complete = complete;
        self
    }
}

/// What kind of chat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChatKind {
    /// Anybody may find and join it.
    #[default]
    Channel,
    /// For invited people.
    Group,
    /// A conversation of two.
    Private,
}

/// Who may join a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JoinPolicy {
    /// Anybody.
    Anyone,
    /// Whoever is invited.
    Invited,
}

/// What a user is like. Fields that are `None` are unknown and leave the ghost as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct UserInfo {
    /// The name to show.
    pub display_name: Option<String>,
    /// The picture.
    pub avatar: Option<OwnedMxcUri>,
}

impl UserInfo {
    /// A user with this name.
    pub fn named(display_name: impl Into<String>) -> Self {
        Self { display_name: Some(display_name.into()), avatar: None }
    }

    /// With this picture.
    pub fn with_avatar(mut self, avatar: OwnedMxcUri) -> Self {
        self.avatar = Some(avatar);
        self
    }
}

/// What a chat supports. Everything is off at first; the framework refuses what is off before
/// it calls the network, and tells the user where he would otherwise believe that it worked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomFeatures {
    /// Messages that replace another.
    pub edits: bool,
    /// Removal of messages.
    pub redactions: bool,
    /// Reactions.
    pub reactions: bool,
    /// Whether messages can point at the one they answer. If not, the network gets the reference all the
    /// same and may render it in text.
    pub replies: bool,
    /// Typing notices from Matrix.
    pub typing: bool,
    /// Read receipts from Matrix.
    pub receipts: bool,
    /// Files, pictures, sound, video. If not, they are refused.
    pub media: bool,
    /// The greatest media file in bytes.
    pub max_media_size: Option<UInt>,
    /// Setting the name from Matrix.
    pub name: bool,
    /// Setting the topic from Matrix.
    pub topic: bool,
    /// Setting the picture from Matrix.
    pub avatar: bool,
    /// Joining, leaving, inviting, kicking and banning from Matrix.
    pub membership: bool,
    /// Power levels from Matrix.
    pub power: bool,
    /// Whether the network shows who wrote a relayed message. If not, the framework puts the name into the
    /// text.
    pub names: bool,
    /// Whether [`Login::history`](super::Login::history) has anything to give.
    pub history: bool,
}

impl RoomFeatures {
    /// Text and nothing else.
    pub fn text() -> Self {
        Self::default()
    }
}
