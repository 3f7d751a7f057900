//! Access tokens: stored as hashes, looked up from memory.

use std::{collections::HashMap, fmt, sync::Arc};

use parking_lot::RwLock;
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Users, read_json};
use crate::store::{KeyBuf, StoreError, key};

/// The hash of an access token. The token itself is never kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenHash([u8; 32]);

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads what [`to_hex`](Self::to_hex) wrote.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    pub(crate) fn to_hex(self) -> String {
        use fmt::Write;
        self.0.iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// Who a token belongs to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) user_id: OwnedUserId,
    pub(crate) device_id: OwnedDeviceId,
    #[serde(default)]
    pub(crate) is_guest: bool,
}

/// The sessions that were used since the server started.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    cache: RwLock<HashMap<TokenHash, Arc<Session>>>,
}

impl Sessions {
    fn get(&self, token: &TokenHash) -> Option<Arc<Session>> {
        self.cache.read().get(token).cloned()
    }

    pub(super) fn insert(&self, token: TokenHash, session: Arc<Session>) {
        self.cache.write().insert(token, session);
    }

    pub(super) fn remove(&self, user_id: &UserId, device_id: &DeviceId) {
        self.cache.write().retain(|_, session| session.user_id != user_id || session.device_id != device_id);
    }
}

impl Users {
    /// Whose token this is, if it is anybody's.
    pub(crate) fn session(&self, token: &TokenHash) -> Result<Option<Arc<Session>>, StoreError> {
        if let Some(session) = self.sessions.get(token) {
            return Ok(Some(session));
        }
        let Some(session) = read_json::<Session>(&self.store, token_key(*token))? else { return Ok(None) };
        let session = Arc::new(session);
        self.sessions.insert(*token, session.clone());
        Ok(Some(session))
    }
}

pub(super) fn token_key(token: TokenHash) -> KeyBuf {
    key(["token", &token.to_hex()])
}
