//! What a user of the low layer implements.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ruma::{RoomAliasId, UserId};

use super::{
    event::{DeviceChanges, Ephemeral, RoomEvent, ToDevice},
    third_party::ThirdParty,
};

/// Receives what the homeserver sends. Only [`event`](Self::event) is required.
///
/// Events of one room come one at a time and in the order of their arrival, each from a task of its room;
/// rooms run side by side. An event comes again until an attempt ends in something else than
/// [`Outcome::Retry`]; after a crash it may come again although an attempt had ended, so whoever must not do a
/// thing twice keys it by [`EventContext::idempotency_key`]. Attempts are cancelled only when the process ends.
#[async_trait]
pub trait AppserviceHandler: Send + Sync + 'static {
    /// Handles a room event. It may take as long as it needs; only its own room waits.
    async fn event(&self, cx: &EventContext, event: RoomEvent) -> Outcome;

    /// Handles typing, receipts or presence. These are not stored: what is not handled when the process dies is
    /// gone, as it is of no use afterwards.
    async fn ephemeral(&self, _ephemeral: Ephemeral) {}

    /// Handles a to-device message. They are stored as room events are, and come in the order of
    /// their arrival for each receiving user.
    async fn to_device(&self, _cx: &EventContext, _message: ToDevice) -> Outcome {
        Outcome::Done
    }

    /// Takes note of changed devices and key counts, before any event of the same transaction is handled.
    async fn devices(&self, _changes: DeviceChanges) {}

    /// Whether the user exists on the other network; if so he has been made when this returns. Called while the
    /// homeserver, and somebody's client, wait.
    async fn query_user(&self, _user_id: &UserId) -> QueryReply {
        QueryReply::NotFound
    }

    /// Whether the alias names a chat of the other network; if so its room has been made when this returns.
    /// Called while the homeserver, and somebody's client, wait.
    async fn query_alias(&self, _alias: &RoomAliasId) -> QueryReply {
        QueryReply::NotFound
    }

    /// Look-ups of users and locations of the other network, if it has any.
    fn third_party(&self) -> Option<&dyn ThirdParty> {
        None
    }

    /// Whether every attempt is recorded on disk before it begins, so that [`EventContext::interrupted`] is
    /// exact. Costs a flush an event where events of one room queue up.
    fn records_attempts(&self) -> bool {
        false
    }
}

#[async_trait]
impl<T: AppserviceHandler + ?Sized> AppserviceHandler for Arc<T> {
    async fn event(&self, cx: &EventContext, event: RoomEvent) -> Outcome {
        (**self).event(cx, event).await
    }

    async fn ephemeral(&self, ephemeral: Ephemeral) {
        (**self).ephemeral(ephemeral).await;
    }

    async fn to_device(&self, cx: &EventContext, message: ToDevice) -> Outcome {
        (**self).to_device(cx, message).await
    }

    async fn devices(&self, changes: DeviceChanges) {
        (**self).devices(changes).await;
    }

    async fn query_user(&self, user_id: &UserId) -> QueryReply {
        (**self).query_user(user_id).await
    }

    async fn query_alias(&self, alias: &RoomAliasId) -> QueryReply {
        (**self).query_alias(alias).await
    }

    fn third_party(&self) -> Option<&dyn ThirdParty> {
        (**self).third_party()
    }

    fn records_attempts(&self) -> bool {
        (**self).records_attempts()
    }
}

/// The circumstances of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventContext {
    /// How often this was tried before: 0 at first.
    pub attempt: u32,
    /// Whether an earlier process began an attempt whose outcome is not known. Exact where the handler
    /// [records attempts](AppserviceHandler::records_attempts), else always `false`.
    pub interrupted: bool,
    /// Names the event: the same at every attempt, different for every event.
    pub idempotency_key: String,
    /// How long it has been waiting since it was accepted.
    pub age: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is dealt with.
    Done,
    /// It is to be tried again; its room waits.
    Retry {
        /// How long to wait. Zero: a pause that grows with every attempt.
        after: Duration,
        /// Why, for the log.
        reason: String,
    },
    /// It can never succeed. It is kept as a dead letter.
    Reject {
        /// Why, for the log and the sender.
        reason: String,
        /// Whether the bot tells the room.
        notify: bool,
    },
}

impl Outcome {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry { .. } => "retry",
            Self::Reject { .. } => "reject",
        }
    }
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryReply {
    /// It exists, and now also on the homeserver.
    Found,
    /// There is no such thing.
    NotFound,
    /// It could not be found out. The homeserver may ask again.
    Unavailable,
}
