//! [Sending events to a room](https://spec.matrix.org/v1.19/client-server-api/#sending-events-to-a-room) and
//! [redactions](https://spec.matrix.org/v1.19/client-server-api/#redactions).

use std::pin::Pin;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedTransactionId, RoomId, TransactionId,
    api::client::{message::send_message_event, redact::redact_event, room::get_room_event},
    events::{AnyMessageLikeEventContent, MessageLikeEventContent, reaction::ReactionEventContent},
    serde::Raw,
};
use serde::Serialize;
use serde_json::{Value, value::to_raw_value};
use sha2::{Digest as _, Sha256};

use super::Intent;
use crate::client::ClientError;

impl Intent {
    /// Sends an event of any type. Nothing happens until the returned value is awaited.
    pub fn send<'a>(
        &'a self,
        room_id: &'a RoomId,
        event_type: &'a str,
        content: &impl Serialize,
    ) -> Sending<'a> {
        let content = to_raw_value(content).map(Raw::from_json);
        Sending { intent: self, room_id, event_type: event_type.to_owned(), content, ts: None, key: None }
    }

    /// Sends an event whose content has a type. Nothing happens until the returned value is awaited.
    pub fn message<'a>(&'a self, room_id: &'a RoomId, content: &impl MessageLikeEventContent) -> Sending<'a> {
        let event_type = content.event_type().to_string();
        let content = to_raw_value(content).map(Raw::from_json);
        Sending { intent: self, room_id, event_type, content, ts: None, key: None }
    }

    /// Reacts to an event, usually by an emoji.
    pub fn react<'a>(&'a self, room_id: &'a RoomId, event_id: &EventId, emoji: &str) -> Sending<'a> {
        let annotation = ruma::events::relation::Annotation::new(event_id.to_owned(), emoji.to_owned());
        self.message(room_id, &ReactionEventContent::new(annotation))
    }

    /// Removes the content of an event. Nothing happens until the returned value is awaited.
    pub fn redact<'a>(&'a self, room_id: &'a RoomId, event_id: &'a EventId) -> Redacting<'a> {
        Redacting { intent: self, room_id, event_id, reason: None, ts: None, key: None }
    }

    /// Reads an event; `None` if there is none that the user may see.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn event(&self, room_id: &RoomId, event_id: &EventId) -> Result<Option<Value>, ClientError> {
        let request = get_room_event::v3::Request::new(room_id.to_owned(), event_id.to_owned());
        match self.request_in(room_id, request).await {
            Ok(response) => Ok(response.event.deserialize_as_unchecked::<Value>().ok()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// An event about to be sent; await it for its ID.
#[must_use = "it is sent when it is awaited"]
#[derive(Debug)]
pub struct Sending<'a> {
    intent: &'a Intent,
    room_id: &'a RoomId,
    event_type: String,
    content: Result<Raw<AnyMessageLikeEventContent>, serde_json::Error>,
    ts: Option<MilliSecondsSinceUnixEpoch>,
    key: Option<String>,
}

impl Sending<'_> {
    /// When it happened on the other network.
    pub fn at(self, ts: impl Into<Option<MilliSecondsSinceUnixEpoch>>) -> Self {
        Self { ts: ts.into(), ..self }
    }

    /// What it is recognised by: sent again with the same key, also after a restart, it is the same event.
    /// Unique within everything this user ever sends.
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    async fn run(self) -> Result<OwnedEventId, ClientError> {
        let content = self.content.map_err(|_| ClientError::invalid("the content is no JSON object"))?;
        let (room_id, txn_id) = (self.room_id, transaction_id(self.key.as_deref()));
        let event_type = self.event_type.into();
        let request =
            send_message_event::v3::Request::new_raw(room_id.to_owned(), txn_id, event_type, content);
        let adjust = |identity| at(identity, self.ts);
        Ok(self.intent.in_room(room_id, request, adjust).await?.event_id)
    }
}

impl<'a> IntoFuture for Sending<'a> {
    type Output = Result<OwnedEventId, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// A redaction about to be sent; await it for its ID.
#[must_use = "it is sent when it is awaited"]
#[derive(Debug)]
pub struct Redacting<'a> {
    intent: &'a Intent,
    room_id: &'a RoomId,
    event_id: &'a EventId,
    reason: Option<String>,
    ts: Option<MilliSecondsSinceUnixEpoch>,
    key: Option<String>,
}

impl Redacting<'_> {
    /// Why.
    pub fn reason(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// When it happened on the other network.
    pub fn at(self, ts: impl Into<Option<MilliSecondsSinceUnixEpoch>>) -> Self {
        Self { ts: ts.into(), ..self }
    }

    /// What it is recognised by; see [`Sending::key`].
    pub fn key(self, key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    async fn run(self) -> Result<OwnedEventId, ClientError> {
        let txn_id = transaction_id(self.key.as_deref());
        let mut request =
            redact_event::v3::Request::new(self.room_id.to_owned(), self.event_id.to_owned(), txn_id);
        request.reason = self.reason;
        let adjust = |identity| at(identity, self.ts);
        Ok(self.intent.in_room(self.room_id, request, adjust).await?.event_id)
    }
}

impl<'a> IntoFuture for Redacting<'a> {
    type Output = Result<OwnedEventId, ClientError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

fn at(identity: crate::client::Identity, ts: Option<MilliSecondsSinceUnixEpoch>) -> crate::client::Identity {
    match ts {
        Some(ts) => identity.at(ts),
        None => identity,
    }
}

/// The transaction ID that a key stands for: a digest, because a key may be long and say too much.
/// Without a key, one that never comes again.
pub(crate) fn transaction_id(key: Option<&str>) -> OwnedTransactionId {
    match key {
        Some(key) => URL_SAFE_NO_PAD.encode(Sha256::digest(key)).into(),
        None => TransactionId::new(),
    }
}
