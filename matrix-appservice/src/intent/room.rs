//! [Creating rooms](https://spec.matrix.org/v1.19/client-server-api/#creation) and
//! [aliases](https://spec.matrix.org/v1.19/client-server-api/#room-aliases).

use ruma::{
    OwnedRoomAliasId, OwnedRoomId, RoomAliasId, RoomId,
    api::client::alias::{create_alias, delete_alias, get_alias},
};

use super::Intent;
use crate::client::ClientError;

pub use ruma::api::client::room::create_room::v3::Request as CreateRoom;

impl Intent {
    /// Creates a room.
    ///
    /// With `room_alias_name` it can be repeated: a room that has the alias already, because an attempt before this
    /// one was cut short, is the one that is returned.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn create_room(&self, request: CreateRoom) -> Result<OwnedRoomId, ClientError> {
        let alias = request.room_alias_name.as_deref().and_then(|localpart| {
            RoomAliasId::parse(format!("#{localpart}:{}", self.user_id.server_name())).ok()
        });
        let error = match self.request(request).await {
            Ok(response) => {
                self.remember_joined(&response.room_id, true);
                return Ok(response.room_id);
            }
            Err(error) => error,
        };
        let may_exist = error.is("M_ROOM_IN_USE") || error.is_retryable();
        if let Some(alias) = alias.filter(|_| may_exist)
            && let Ok(Some(room_id)) = self.resolve_alias(&alias).await
        {
            tracing::info!(%room_id, %alias, "the room exists already");
            return Ok(room_id);
        }
        Err(error)
    }

    /// The room that an alias stands for.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<Option<OwnedRoomId>, ClientError> {
        match self.request(get_alias::v3::Request::new(alias.to_owned())).await {
            Ok(response) => Ok(Some(response.room_id)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lets an alias stand for a room. It is no error if it does already.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer; `M_UNKNOWN` with status 409 if the alias stands
    /// for another room.
    pub async fn put_alias(&self, alias: &RoomAliasId, room_id: &RoomId) -> Result<(), ClientError> {
        let request = create_alias::v3::Request::new(alias.to_owned(), room_id.to_owned());
        match self.request(request).await {
            Err(error) if error.status() == Some(409) => match self.resolve_alias(alias).await? {
                Some(found) if found == room_id => Ok(()),
                _ => Err(error),
            },
            result => result.map(drop),
        }
    }

    /// Removes an alias. It is no error if there is none.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn delete_alias(&self, alias: &RoomAliasId) -> Result<(), ClientError> {
        match self.request(delete_alias::v3::Request::new(OwnedRoomAliasId::from(alias))).await {
            Err(error) if error.is_not_found() => Ok(()),
            result => result.map(drop),
        }
    }
}
