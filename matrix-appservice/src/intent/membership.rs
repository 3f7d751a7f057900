//! [Room membership](https://spec.matrix.org/v1.19/client-server-api/#room-membership).

use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, RoomOrAliasId, UserId,
    api::client::membership::{
        ban_user, invite_user, join_room_by_id, join_room_by_id_or_alias, joined_members, kick_user,
        leave_room, unban_user,
    },
};

use super::Intent;
use crate::{
    client::ClientError,
    store::{Batch, Tree},
};

impl Intent {
    /// Makes sure that the user is in the room. Where he may not join by himself, the bot invites him.
    ///
    /// # Errors
    /// If he can neither join nor be invited.
    pub async fn ensure_joined(&self, room_id: &RoomId) -> Result<(), ClientError> {
        if self.is_joined(room_id) {
            return Ok(());
        }
        let _one_at_a_time = self.shared.locks.lock(&format!("{room_id} {}", self.user_id)).await;
        if self.is_joined(room_id) {
            return Ok(());
        }
        let forbidden = match self.join(room_id.into()).await {
            Err(error) if error.is("M_FORBIDDEN") && !self.is_bot() => error,
            result => return result.map(drop),
        };
        let bot = Self { user_id: self.shared.bot.clone(), shared: self.shared.clone() };
        let invited = bot.request(invitation(room_id, &self.user_id, None)).await;
        if let Err(error) = invited {
            tracing::debug!(user_id = %self.user_id, %room_id, %error, "the bot could not invite");
            // The bot may lack the membership or the power: what the user was told says more.
            return Err(if error.is_retryable() { error } else { forbidden });
        }
        self.join(room_id.into()).await.map(drop)
    }

    /// Forgets that the user is in the room, so that the next action makes sure of it.
    pub fn forget_joined(&self, room_id: &RoomId) {
        self.remember_joined(room_id, false);
    }

    /// Joins a room, by its ID or an alias.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn join(&self, room: &RoomOrAliasId) -> Result<OwnedRoomId, ClientError> {
        let room_id = match <&RoomId>::try_from(room) {
            Ok(room_id) => self.request(join_room_by_id::v3::Request::new(room_id.to_owned())).await?.room_id,
            Err(_) => {
                let request = join_room_by_id_or_alias::v3::Request::new(room.to_owned());
                self.request(request).await?.room_id
            }
        };
        self.remember_joined(&room_id, true);
        Ok(room_id)
    }

    /// Leaves a room, or declines an invitation.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn leave(&self, room_id: &RoomId, reason: Option<&str>) -> Result<(), ClientError> {
        self.forget_joined(room_id);
        let mut request = leave_room::v3::Request::new(room_id.to_owned());
        request.reason = reason.map(ToOwned::to_owned);
        self.request(request).await.map(drop)
    }

    /// Invites a user.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn invite(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&str>,
    ) -> Result<(), ClientError> {
        self.request_in(room_id, invitation(room_id, user_id, reason)).await.map(drop)
    }

    /// Removes a user from a room.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn kick(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&str>,
    ) -> Result<(), ClientError> {
        let mut request = kick_user::v3::Request::new(room_id.to_owned(), user_id.to_owned());
        request.reason = reason.map(ToOwned::to_owned);
        self.request_in(room_id, request).await.map(drop)
    }

    /// Removes a user from a room for good.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn ban(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&str>,
    ) -> Result<(), ClientError> {
        let mut request = ban_user::v3::Request::new(room_id.to_owned(), user_id.to_owned());
        request.reason = reason.map(ToOwned::to_owned);
        self.request_in(room_id, request).await.map(drop)
    }

    /// Lifts a ban.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn unban(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        reason: Option<&str>,
    ) -> Result<(), ClientError> {
        let mut request = unban_user::v3::Request::new(room_id.to_owned(), user_id.to_owned());
        request.reason = reason.map(ToOwned::to_owned);
        self.request_in(room_id, request).await.map(drop)
    }

    /// Who is in a room.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn joined_members(&self, room_id: &RoomId) -> Result<Vec<OwnedUserId>, ClientError> {
        let request = joined_members::v3::Request::new(room_id.to_owned());
        Ok(self.request_in(room_id, request).await?.joined.into_keys().collect())
    }

    /// Whether the user was in the room when last heard of.
    pub fn is_joined(&self, room_id: &RoomId) -> bool {
        let row = self.shared.store.get(Tree::Joined, &self.joined_key(room_id));
        row.unwrap_or_else(|error| {
            self.note(Err(error));
            None
        })
        .is_some()
    }

    pub(super) fn remember_joined(&self, room_id: &RoomId, joined: bool) {
        if joined == self.is_joined(room_id) {
            return;
        }
        let mut batch = Batch::default();
        let key = self.joined_key(room_id);
        if joined {
            batch.put(Tree::Joined, &key, b"");
        } else {
            batch.delete(Tree::Joined, &key);
        }
        self.note(self.shared.store.apply(batch));
    }

    /// Neither identifier can contain a space.
    fn joined_key(&self, room_id: &RoomId) -> Vec<u8> {
        format!("{room_id} {}", self.user_id).into_bytes()
    }
}

fn invitation(room_id: &RoomId, user_id: &UserId, reason: Option<&str>) -> invite_user::v3::Request {
    let mut invitation = invite_user::v3::InviteUserId::new(user_id.to_owned());
    invitation.reason = reason.map(ToOwned::to_owned);
    let recipient = invite_user::v3::InvitationRecipient::UserId(invitation);
    invite_user::v3::Request::new(room_id.to_owned(), recipient)
}
