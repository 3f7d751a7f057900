//! One account or connection on the network.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{
    BackfillMessage, ChatInfo, MatrixChange, NetworkError, OutgoingMessage, RemoteSink, RoomFeatures,
    UserInfo,
};
use crate::network_id::{PortalKey, RemoteMessageId, RemoteUserId, TxnKey};

/// One account or connection on the network.
///
/// # Tasks and order
/// [`connect`](Self::connect) and [`disconnect`](Self::disconnect) are called by the bridge's login
/// task, never both at once. [`send`](Self::send) and [`apply`](Self::apply) are called by the portal's
/// task: one at a time and in order for each portal, concurrently for different portals. They may
/// wait; what waits is that portal and no other.
///
/// # Cancellation
/// The futures of `send` and `apply` are dropped only when the process stops. The framework has
/// written a `sending` row before the call, so after the restart
/// [`resolve_uncertain`](Self::resolve_uncertain) is asked what became of it.
#[async_trait]
pub trait Login: Send + Sync + 'static {
    /// Begins to connect and stays connected, until [`disconnect`](Self::disconnect). Returns as soon as
    /// the work is under way: state changes are told through [`RemoteSink::state`].
    ///
    /// # Errors
    /// Only for what will not mend by itself; a network that is down is no error.
    async fn connect(&self, sink: RemoteSink) -> Result<(), NetworkError>;

    /// Ends the connection in an orderly way. Nothing may be pushed afterwards.
    async fn disconnect(&self);

    /// Sends a message.
    ///
    /// The call may be repeated with the same [`OutgoingMessage::key`] only after the network itself
    /// said that the first attempt was not sent (a [`SendError`] that is retryable, or
    /// [`Resolution::NotSent`]).
    async fn send(&self, message: OutgoingMessage) -> Sent;

    /// What a chat is like. Asked when its room is made.
    ///
    /// # Errors
    /// [`NetworkError::NotFound`] refuses the room.
    async fn chat_info(&self, portal: &PortalKey) -> Result<ChatInfo, NetworkError>;

    /// What a user is like. Asked when the ghost is made and nothing is known of its user. Unless overridden,
    /// he is called what his identifier says.
    ///
    /// # Errors
    /// Reported; the ghost is made all the same.
    async fn user_info(&self, user: &RemoteUserId) -> Result<UserInfo, NetworkError> {
        Ok(UserInfo::named(user.as_str()))
    }

    /// What the chat supports: the one source for what the framework refuses before calling the network.
    /// Text and nothing else, unless overridden.
    fn features(&self, portal: &PortalKey) -> RoomFeatures {
        let _ = portal;
        RoomFeatures::text()
    }

    /// Does what a Matrix user did, other than sending a message.
    async fn apply(&self, change: MatrixChange) -> Sent {
        let _ = change;
        Sent::unsupported()
    }

    /// What became of a request that was under way when the process died. Asked after
    /// [`connect`](Self::connect), before the portal goes on. May wait for the network's answer.
    async fn resolve_uncertain(&self, send: UncertainSend) -> Resolution {
        let _ = send;
        Resolution::Unknown
    }

    /// Messages of the past, oldest first, at most `limit`, after `after` if it is given. Asked when a
    /// room is made and [`RoomFeatures::history`] is on.
    ///
    /// # Errors
    /// Reported; the room is used without its past.
    async fn history(
        &self,
        portal: &PortalKey,
        after: Option<&RemoteMessageId>,
        limit: usize,
    ) -> Result<Vec<BackfillMessage>, NetworkError> {
        let _ = (portal, after, limit);
        Ok(Vec::new())
    }
}

#[async_trait]
impl<L: Login> Login for Arc<L> {
    async fn connect(&self, sink: RemoteSink) -> Result<(), NetworkError> {
        L::connect(self, sink).await
    }

    async fn disconnect(&self) {
        L::disconnect(self).await;
    }

    async fn send(&self, message: OutgoingMessage) -> Sent {
        L::send(self, message).await
    }

    async fn chat_info(&self, portal: &PortalKey) -> Result<ChatInfo, NetworkError> {
        L::chat_info(self, portal).await
    }

    async fn user_info(&self, user: &RemoteUserId) -> Result<UserInfo, NetworkError> {
        L::user_info(self, user).await
    }

    fn features(&self, portal: &PortalKey) -> RoomFeatures {
        L::features(self, portal)
    }

    async fn apply(&self, change: MatrixChange) -> Sent {
        L::apply(self, change).await
    }

    async fn resolve_uncertain(&self, send: UncertainSend) -> Resolution {
        L::resolve_uncertain(self, send).await
    }

    async fn history(
        &self,
        portal: &PortalKey,
        after: Option<&RemoteMessageId>,
        limit: usize,
    ) -> Result<Vec<BackfillMessage>, NetworkError> {
        L::history(self, portal, after, limit).await
    }
}

/// What became of a request to the network.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sent {
    /// The network has it, under these identifiers: several if one Matrix message became several
    /// messages of the network (lines), none if the network gives nothing a name.
    Acked(Vec<RemoteMessageId>),
    /// It is on its way and the network will confirm it: [`RemoteSink::confirm`] or [`RemoteSink::fail`]
    /// with this key follows. The portal goes on meanwhile.
    PendingEcho(TxnKey),
    /// It did not work.
    Failed(SendError),
}

impl Sent {
    /// The network has it as one message.
    pub fn acked(id: impl Into<RemoteMessageId>) -> Self {
        Self::Acked(vec![id.into()])
    }

    /// The network has it, or there was nothing to do.
    pub fn done() -> Self {
        Self::Acked(Vec::new())
    }

    /// The network knows no such thing.
    pub fn unsupported() -> Self {
        Self::Failed(SendError::unsupported())
    }
}

impl From<NetworkError> for Sent {
    fn from(error: NetworkError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<SendError> for Sent {
    fn from(error: SendError) -> Self {
        Self::Failed(error)
    }
}

/// How sure it is that a request did not reach the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Certainty {
    /// It did not.
    NotSent,
    /// It may have.
    MaybeSent,
}

/// Why a request to the network failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
#[non_exhaustive]
pub struct SendError {
    /// How sure it is that nothing was sent.
    pub certainty: Certainty,
    /// What the sender is told. Says nothing secret.
    pub text: String,
    /// Try again after this time. Only where `certainty` is [`Certainty::NotSent`]. The portal waits
    /// meanwhile: later messages do not overtake.
    pub retry: Option<Duration>,
    /// Whether the sender is told at all.
    pub notify: bool,
}

impl SendError {
    /// The network refused it for good.
    pub fn rejected(text: impl Into<String>) -> Self {
        Self { certainty: Certainty::NotSent, text: text.into(), retry: None, notify: true }
    }

    /// It was not sent; try again after `after`.
    pub fn retry(after: Duration, text: impl Into<String>) -> Self {
        Self { retry: Some(after), ..Self::rejected(text) }
    }

    /// It may have been sent, and nobody can tell.
    pub fn uncertain(text: impl Into<String>) -> Self {
        Self { certainty: Certainty::MaybeSent, ..Self::rejected(text) }
    }

    /// The network knows no such thing. The sender is not told: he sees it has no effect.
    pub fn unsupported() -> Self {
        Self { notify: false, ..Self::rejected("the network does not support this") }
    }
}

impl From<NetworkError> for SendError {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::Unavailable { text, retry_after } => {
                Self::retry(retry_after.unwrap_or(Duration::from_secs(5)), text)
            }
            other => Self::rejected(other.to_string()),
        }
    }
}

/// A request that was under way when the process died.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UncertainSend {
    /// The key that the request carried.
    pub key: TxnKey,
    /// Where it was to go.
    pub portal: PortalKey,
    /// The Matrix event that it stands for.
    pub event_id: OwnedEventId,
    /// Who caused it.
    pub sender: OwnedUserId,
    /// When the request was begun.
    pub begun: MilliSecondsSinceUnixEpoch,
    /// The message; `None` for other changes, or if it cannot be had any more.
    pub message: Option<Box<OutgoingMessage>>,
}

/// What the network found out about an [`UncertainSend`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// It arrived, under these identifiers.
    Arrived(Vec<RemoteMessageId>),
    /// It did not: it is sent again, with the same key.
    NotSent,
    /// Nobody can tell: the sender is told, and it is not sent again.
    Unknown,
}

/// The state of a login's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginState {
    /// On the way.
    Connecting,
    /// Usable.
    Connected,
    /// Lost, and being mended without help.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// Lost for good until somebody acts: its owner is told.
    BadCredentials {
        /// Why, and what to do.
        reason: String,
    },
    /// Ended on purpose by the other side; the login is closed.
    LoggedOut {
        /// Why.
        reason: String,
    },
}
