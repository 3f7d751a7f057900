//! [Typing notices](https://spec.matrix.org/v1.19/client-server-api/#typing-notifications) and
//! [receipts](https://spec.matrix.org/v1.19/client-server-api/#receipts).

use std::time::Duration;

use ruma::{
    EventId, RoomId,
    api::client::{receipt::create_receipt, typing::create_typing_event},
    events::receipt::ReceiptThread,
};

use super::Intent;
use crate::client::ClientError;

impl Intent {
    /// Shows the user as typing for some time; `None` ends it.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn typing(&self, room_id: &RoomId, timeout: Option<Duration>) -> Result<(), ClientError> {
        use create_typing_event::v3::{Request, Typing, TypingInfo};
        let typing = timeout.map_or(Typing::No, |timeout| Typing::Yes(TypingInfo::new(timeout)));
        let request = Request::new(self.user_id.clone(), room_id.to_owned(), typing);
        self.request_in(room_id, request).await.map(drop)
    }

    /// Shows that the user has read up to an event.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn read(&self, room_id: &RoomId, event_id: &EventId) -> Result<(), ClientError> {
        use create_receipt::v3::{ReceiptType, Request};
        let mut request = Request::new(room_id.to_owned(), ReceiptType::Read, event_id.to_owned());
        request.thread = ReceiptThread::Unthreaded;
        self.request_in(room_id, request).await.map(drop)
    }
}
