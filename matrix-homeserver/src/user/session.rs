//! Access tokens: stored as hashes, looked up from memory.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Users, now_ms, read_json};
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
    /// Until when the token is good, in milliseconds since 1970. For ever, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<u64>,
    /// The token came out of a refresh and was not used yet: its first use ends the tokens before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) fresh: bool,
    /// When and from where the token was used, since the server started.
    #[serde(skip)]
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// The last use of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Milliseconds since 1970; zero if there was none.
    pub(crate) at: u64,
    pub(crate) from: Option<IpAddr>,
    pub(crate) user_agent: String,
}

impl Session {
    pub(super) fn new(user_id: &UserId, device_id: &DeviceId, is_guest: bool) -> Self {
        Self {
            user_id: user_id.to_owned(),
            device_id: device_id.to_owned(),
            is_guest,
            expires: None,
            fresh: false,
            seen: Arc::default(),
        }
    }

    /// Whether the token is not good any more, though the device is still there.
    pub(crate) fn has_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= now_ms())
    }

    /// Whether [`Users::confirm`] has something to do.
    pub(crate) fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Notes that the token is used.
    pub(crate) fn touch(&self, from: Option<IpAddr>, user_agent: &str) {
        let mut seen = self.seen.lock();
        seen.at = now_ms();
        seen.from = from;
        if seen.user_agent != user_agent {
            user_agent.clone_into(&mut seen.user_agent);
        }
    }
}

/// The sessions that were used since the server started.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    cache: RwLock<HashMap<TokenHash, Arc<Session>>>,
    /// How many times sessions were removed: what was read before may be gone.
    removals: AtomicU64,
    /// One at a time changes the tokens of devices.
    pub(super) changing: tokio::sync::Mutex<()>,
}

impl Sessions {
    fn get(&self, token: &TokenHash) -> Option<Arc<Session>> {
        self.cache.read().get(token).cloned()
    }

    fn insert(&self, token: TokenHash, session: Arc<Session>, removals: u64) {
        let mut cache = self.cache.write();
        if self.removals.load(Ordering::Acquire) == removals {
            cache.insert(token, session);
        }
    }

    /// Forgets every token of a device.
    pub(super) fn remove(&self, user_id: &UserId, device_id: &DeviceId) {
        let mut cache = self.cache.write();
        self.removals.fetch_add(1, Ordering::AcqRel);
        cache.retain(|_, session| session.user_id != user_id || session.device_id != device_id);
    }

    fn of_user(&self, user_id: &UserId) -> Vec<Arc<Session>> {
        let cache = self.cache.read();
        cache.values().filter(|session| session.user_id == user_id).cloned().collect()
    }
}

impl Users {
    /// Whose token this is, if it is anybody's. Whether it has expired is for the caller to ask.
    pub(crate) fn session(&self, token: &TokenHash) -> Result<Option<Arc<Session>>, StoreError> {
        if let Some(session) = self.sessions.get(token) {
            return Ok(Some(session));
        }
        let removals = self.sessions.removals.load(Ordering::Acquire);
        let Some(session) = read_json::<Session>(&self.store, token_key(&token.to_hex()))? else {
            return Ok(None);
        };
        let session = Arc::new(session);
        self.sessions.insert(*token, session.clone(), removals);
        Ok(Some(session))
    }

    /// When and from where the devices of a user were used since the server started.
    pub(crate) fn seen(&self, user_id: &UserId) -> HashMap<OwnedDeviceId, Seen> {
        let mut found: HashMap<OwnedDeviceId, Seen> = HashMap::new();
        for session in self.sessions.of_user(user_id) {
            let seen = session.seen.lock().clone();
            let known = found.entry(session.device_id.clone()).or_default();
            if seen.at > known.at {
                *known = seen;
            }
        }
        found.retain(|_, seen| seen.at > 0);
        found
    }
}

/// The row of an access token, by its hash in hexadecimal.
pub(super) fn token_key(hash: &str) -> KeyBuf {
    key(["token", hash])
}
