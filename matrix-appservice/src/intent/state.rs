//! Room state.

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId,
    api::client::state::{get_state_event_for_key, send_state_event},
    serde::Raw,
};
use serde::Serialize;
use serde_json::{Map, Value, value::to_raw_value};

use super::Intent;
use crate::client::ClientError;

impl Intent {
    /// Sets state ([`PUT /rooms/{roomId}/state`]). Setting what is set already is no event on most homeservers.
    ///
    /// [`PUT /rooms/{roomId}/state`]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixclientv3roomsroomidstateeventtypestatekey
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn send_state(
        &self,
        room_id: &RoomId,
        event_type: &str,
        state_key: &str,
        content: &impl Serialize,
    ) -> Result<OwnedEventId, ClientError> {
        self.send_state_at(room_id, event_type, state_key, content, None).await
    }

    /// Sets state that was set at another time on the other network.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn send_state_at(
        &self,
        room_id: &RoomId,
        event_type: &str,
        state_key: &str,
        content: &impl Serialize,
        ts: Option<MilliSecondsSinceUnixEpoch>,
    ) -> Result<OwnedEventId, ClientError> {
        let content =
            to_raw_value(content).map_err(|_| ClientError::invalid("the content is no JSON object"))?;
        let request = send_state_event::v3::Request::new_raw(
            room_id.to_owned(),
            event_type.into(),
            state_key.to_owned(),
            Raw::from_json(content),
        );
        let adjust = |identity: crate::client::Identity| match ts {
            Some(ts) => identity.at(ts),
            None => identity,
        };
        Ok(self.in_room(room_id, request, adjust).await?.event_id)
    }

    /// Reads the content of state; `None` if it is not set.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn state(
        &self,
        room_id: &RoomId,
        event_type: &str,
        state_key: &str,
    ) -> Result<Option<Map<String, Value>>, ClientError> {
        let request = get_state_event_for_key::v3::Request::new(
            room_id.to_owned(),
            event_type.into(),
            state_key.to_owned(),
        );
        match self.request_in(room_id, request).await {
            Ok(response) => Ok(serde_json::from_str(response.event_or_content.get()).ok()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
