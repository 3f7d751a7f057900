//! Devices and the sessions on them. One device has at most one session.

use std::{fmt, time::Duration};

use rand::{RngExt, distr::Alphanumeric};
use ruma::{DeviceId, OwnedDeviceId, UserId};
use serde::{Deserialize, Serialize};

use super::{Session, UserError, Users, now_ms, parse_row, put_json, read_json, session::token_key};
use crate::store::{KeyBuf, StoreError, Tree, WriteSet, key};

/// A device of a user ([device management](https://spec.matrix.org/v1.19/client-server-api/#device-management)).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Device {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) display_name: Option<String>,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub(crate) created: u64,
    #[serde(flatten)]
    pub(super) tokens: Tokens,
}

/// The tokens of a device, as hashes in hexadecimal. Devices of application services have none.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Tokens {
    /// The access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
    /// What it can be refreshed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refresh: Option<String>,
    /// The tokens that came out of a refresh, until one of them is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next_refresh: Option<String>,
}

impl Tokens {
    /// Ends the tokens that are in use.
    pub(super) fn stage_end(&mut self, writes: &mut WriteSet) {
        if let Some(token) = self.token.take() {
            writes.delete(Tree::Account, token_key(&token));
        }
        if let Some(refresh) = self.refresh.take() {
            writes.delete(Tree::Account, refresh_key(&refresh));
        }
    }

    /// Ends the tokens that were not used yet.
    pub(super) fn stage_end_of_next(&mut self, writes: &mut WriteSet) {
        if let Some(token) = self.next_token.take() {
            writes.delete(Tree::Account, token_key(&token));
        }
        if let Some(refresh) = self.next_refresh.take() {
            writes.delete(Tree::Account, refresh_key(&refresh));
        }
    }
}

/// What a client asks for when it logs in.
#[derive(Debug, Default)]
pub(crate) struct NewSession {
    pub(crate) device_id: Option<OwnedDeviceId>,
    /// Cut where it is too long.
    pub(crate) display_name: Option<String>,
    /// How long the access token is good, for clients that can refresh it. For ever, where absent.
    pub(crate) lifetime: Option<Duration>,
}

/// A session that was just made. The only place where the tokens are in the clear.
pub(crate) struct Login {
    pub(crate) access_token: String,
    pub(crate) device_id: OwnedDeviceId,
    pub(crate) refresh_token: Option<String>,
    /// How long the access token is good.
    pub(crate) lifetime: Option<Duration>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("device_id", &self.device_id).finish_non_exhaustive()
    }
}

/// The longest device ID, in bytes.
const MAX_ID_BYTES: usize = 512;
/// The longest name of a device, in characters, as with Synapse.
pub(crate) const MAX_DEVICE_NAME: usize = 100;

/// Refuses what no device is called.
pub(crate) fn check_device_id(device_id: &DeviceId) -> Result<(), UserError> {
    let length = device_id.as_str().len();
    if (1..=MAX_ID_BYTES).contains(&length) { Ok(()) } else { Err(UserError::DeviceId) }
}

impl Users {
    /// Makes a session. On a device that exists already, it takes the place of the one before.
    pub(crate) async fn log_in(&self, user_id: &UserId, session: NewSession) -> Result<Login, UserError> {
        let _one = self.sessions.changing.lock().await;
        let is_guest = self.open_account(user_id)?.guest;
        let mut writes = WriteSet::new();
        let login = self.stage_login(&mut writes, user_id, session, is_guest)?;
        self.store.commit(writes).await?;
        Ok(login)
    }

    /// Only while [`Sessions::changing`](super::Sessions) is held, or for a user that nobody knows yet.
    pub(super) fn stage_login(
        &self,
        writes: &mut WriteSet,
        user_id: &UserId,
        session: NewSession,
        is_guest: bool,
    ) -> Result<Login, UserError> {
        let device_id =
            session.device_id.unwrap_or_else(|| OwnedDeviceId::from(random_text(10).to_ascii_uppercase()));
        check_device_id(&device_id)?;
        let mut device = self.device(user_id, &device_id)?.unwrap_or_default();
        device.tokens.stage_end(writes);
        device.tokens.stage_end_of_next(writes);
        let new = Session::new(user_id, &device_id, is_guest);
        let tokens = super::refresh::stage_tokens(writes, new, session.lifetime);
        device.tokens.token = Some(tokens.access_hash);
        device.tokens.refresh = tokens.refresh_hash;
        let named = session.display_name.map(|name| name.chars().take(MAX_DEVICE_NAME).collect());
        device.display_name = named.or(device.display_name);
        if device.created == 0 {
            device.created = now_ms();
        }
        put_json(writes, device_key(user_id, &device_id), &device);
        self.forget_tokens_on_commit(writes, user_id, &device_id);
        let (access_token, refresh_token) = (tokens.access_token, tokens.refresh_token);
        Ok(Login { access_token, device_id, refresh_token, lifetime: session.lifetime })
    }

    /// Tokens of the device that are in memory have to be read again once the set is written.
    pub(super) fn forget_tokens_on_commit(
        &self,
        writes: &mut WriteSet,
        user_id: &UserId,
        device_id: &DeviceId,
    ) {
        let (sessions, user_id, device_id) =
            (self.sessions.clone(), user_id.to_owned(), device_id.to_owned());
        writes.on_commit(move |_| sessions.remove(&user_id, &device_id));
    }

    pub(crate) fn device(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
    ) -> Result<Option<Device>, StoreError> {
        read_json(&self.store, device_key(user_id, device_id))
    }

    pub(crate) fn device_exists(&self, user_id: &UserId, device_id: &DeviceId) -> Result<bool, StoreError> {
        self.store.contains(Tree::Account, device_key(user_id, device_id))
    }

    pub(crate) fn devices(&self, user_id: &UserId) -> Result<Vec<(OwnedDeviceId, Device)>, StoreError> {
        let mut devices = Vec::new();
        for row in self.store.scan_prefix(Tree::Account, key(["device", user_id.as_str()])) {
            let (key, row) = row?;
            let Some([_, _, device_id]) = KeyBuf::read::<3>(&key) else { continue };
            devices.push((OwnedDeviceId::from(device_id), parse_row(&row)?));
        }
        Ok(devices)
    }

    /// Names a device, and makes it if there is none; true if it was made.
    pub(crate) async fn put_device(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        display_name: Option<String>,
    ) -> Result<bool, StoreError> {
        let _one = self.sessions.changing.lock().await;
        let found = self.device(user_id, device_id)?;
        let made = found.is_none();
        let mut device = found.unwrap_or_else(|| Device { created: now_ms(), ..Device::default() });
        device.display_name = display_name.or(device.display_name);
        let mut writes = WriteSet::new();
        put_json(&mut writes, device_key(user_id, device_id), &device);
        self.store.commit(writes).await?;
        Ok(made)
    }

    /// Deletes devices with their sessions. Those that do not exist are passed over.
    pub(crate) async fn remove_devices(
        &self,
        user_id: &UserId,
        devices: &[OwnedDeviceId],
    ) -> Result<(), StoreError> {
        self.pushers.remove_of_devices(user_id, devices).await?;
        let _one = self.sessions.changing.lock().await;
        let mut writes = WriteSet::new();
        for device_id in devices {
            let Some(mut device) = self.device(user_id, device_id)? else { continue };
            writes.delete(Tree::Account, device_key(user_id, device_id));
            self.keys.stage_removal(user_id, device_id, &mut writes)?;
            self.to_device.stage_removal(user_id, device_id, &mut writes)?;
            device.tokens.stage_end(&mut writes);
            device.tokens.stage_end_of_next(&mut writes);
            self.forget_tokens_on_commit(&mut writes, user_id, device_id);
        }
        self.store.commit(writes).await.map(drop)
    }

    /// Deletes every device of a user but one.
    pub(crate) async fn remove_all_devices(
        &self,
        user_id: &UserId,
        kept: Option<&DeviceId>,
    ) -> Result<(), StoreError> {
        let devices = self.devices(user_id)?.into_iter().map(|(device_id, _)| device_id);
        let doomed: Vec<_> = devices.filter(|device_id| kept != Some(&**device_id)).collect();
        self.remove_devices(user_id, &doomed).await
    }
}

pub(super) fn device_key(user_id: &UserId, device_id: &DeviceId) -> KeyBuf {
    key(["device", user_id.as_str(), device_id.as_str()])
}

/// The row of a refresh token, by its hash in hexadecimal.
pub(super) fn refresh_key(hash: &str) -> KeyBuf {
    key(["refresh", hash])
}

/// Letters and digits that nobody can guess.
pub(crate) fn random_text(len: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(len).map(char::from).collect()
}
