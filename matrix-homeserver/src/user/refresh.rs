//! Refresh tokens ([refreshing access tokens]): access tokens that last a while, and tokens to get the next one with.
//!
//! The tokens of a refresh live beside those before them until one of the new ones is used. So an answer that got lost
//! does no harm: the client refreshes again with the token that it has.
//!
//! [refreshing access tokens]: https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens

use std::time::Duration;

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    Login, Session, TokenHash, Users,
    device::{Device, device_key, random_text, refresh_key},
    now_ms, put_json, read_json,
    session::token_key,
};
use crate::store::{StoreError, WriteSet};

/// Whose refresh token it is.
#[derive(Debug, Serialize, Deserialize)]
struct Refresh {
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
}

/// Tokens that are about to be stored, and their hashes in hexadecimal.
pub(super) struct NewTokens {
    pub(super) access_token: String,
    pub(super) access_hash: String,
    pub(super) refresh_token: Option<String>,
    pub(super) refresh_hash: Option<String>,
}

/// Makes an access token and, for clients that can refresh it, a refresh token.
pub(super) fn stage_tokens(
    writes: &mut WriteSet,
    mut session: Session,
    lifetime: Option<Duration>,
) -> NewTokens {
    let access_token = format!("syt_{}", random_text(40));
    let access_hash = TokenHash::of(&access_token).to_hex();
    let (mut refresh_token, mut refresh_hash) = (None, None);
    if let Some(lifetime) = lifetime {
        let lifetime = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        session.expires = Some(now_ms().saturating_add(lifetime));
        let token = format!("syr_{}", random_text(40));
        let hash = TokenHash::of(&token).to_hex();
        let row = Refresh { user_id: session.user_id.clone(), device_id: session.device_id.clone() };
        put_json(writes, refresh_key(&hash), &row);
        (refresh_token, refresh_hash) = (Some(token), Some(hash));
    }
    put_json(writes, token_key(&access_hash), &session);
    NewTokens { access_token, access_hash, refresh_token, refresh_hash }
}

impl Users {
    /// Gives new tokens for a refresh token. `None` when the token is not good, or not any more.
    pub(crate) async fn refresh(
        &self,
        refresh_token: &str,
        lifetime: Duration,
    ) -> Result<Option<(OwnedUserId, Login)>, StoreError> {
        let hash = TokenHash::of(refresh_token).to_hex();
        let _one = self.sessions.changing.lock().await;
        let Some(Refresh { user_id, device_id }) = read_json(&self.store, refresh_key(&hash))? else {
            return Ok(None);
        };
        let Some(mut device) = self.device(&user_id, &device_id)? else { return Ok(None) };
        let mut writes = WriteSet::new();
        if device.tokens.next_refresh.as_ref() == Some(&hash) {
            self.stage_confirmation(&mut writes, &user_id, &device_id, &mut device)?;
        } else if device.tokens.refresh.as_ref() == Some(&hash) {
            device.tokens.stage_end_of_next(&mut writes);
        } else {
            return Ok(None);
        }
        let is_guest = self.account(&user_id)?.is_some_and(|account| account.guest);
        let session = Session { fresh: true, ..Session::new(&user_id, &device_id, is_guest) };
        let tokens = stage_tokens(&mut writes, session, Some(lifetime));
        device.tokens.next_token = Some(tokens.access_hash);
        device.tokens.next_refresh = tokens.refresh_hash;
        put_json(&mut writes, device_key(&user_id, &device_id), &device);
        self.forget_tokens_on_commit(&mut writes, &user_id, &device_id);
        self.store.commit(writes).await?;
        let (access_token, refresh_token) = (tokens.access_token, tokens.refresh_token);
        let login = Login { access_token, device_id, refresh_token, lifetime: Some(lifetime) };
        Ok(Some((user_id, login)))
    }

    /// Ends the tokens before a fresh one, which is being used.
    pub(crate) async fn confirm(&self, token: &TokenHash, session: &Session) -> Result<(), StoreError> {
        let _one = self.sessions.changing.lock().await;
        let (user_id, device_id) = (&session.user_id, &session.device_id);
        let Some(mut device) = self.device(user_id, device_id)? else { return Ok(()) };
        if device.tokens.next_token.as_ref() != Some(&token.to_hex()) {
            return Ok(());
        }
        let mut writes = WriteSet::new();
        self.stage_confirmation(&mut writes, user_id, device_id, &mut device)?;
        put_json(&mut writes, device_key(user_id, device_id), &device);
        self.forget_tokens_on_commit(&mut writes, user_id, device_id);
        self.store.commit(writes).await.map(drop)
    }

    /// The tokens of the last refresh take the place of those before them.
    fn stage_confirmation(
        &self,
        writes: &mut WriteSet,
        user_id: &UserId,
        device_id: &DeviceId,
        device: &mut Device,
    ) -> Result<(), StoreError> {
        let tokens = &mut device.tokens;
        tokens.stage_end(writes);
        tokens.token = tokens.next_token.take();
        tokens.refresh = tokens.next_refresh.take();
        if let Some(hash) = &tokens.token
            && let Some(known) = read_json::<Session>(&self.store, token_key(hash))?
        {
            debug_assert!(known.user_id == user_id && known.device_id == device_id, "a token of the device");
            put_json(writes, token_key(hash), &Session { fresh: false, ..known });
        }
        Ok(())
    }
}
