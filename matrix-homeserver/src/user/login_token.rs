//! Tokens that log somebody in once ([`m.login.token`]). In memory only: they are over in minutes.
//!
//! [`m.login.token`]: https://spec.matrix.org/v1.19/client-server-api/#token-based-user-login

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ruma::OwnedUserId;

use super::{TokenHash, device::random_text};

/// How long a token is good; what the specification recommends.
pub(crate) const LOGIN_TOKEN_LIFETIME: Duration = Duration::from_mins(2);
/// The most tokens that wait to be used.
const MAX_TOKENS: usize = 10_000;

/// The tokens that were given and not used yet.
#[derive(Debug, Default)]
pub(crate) struct LoginTokens(Mutex<HashMap<TokenHash, (OwnedUserId, Instant)>>);

impl LoginTokens {
    /// A token for a user. `None` if there are too many already.
    pub(crate) fn give(&self, user_id: OwnedUserId) -> Option<String> {
        let mut given = self.0.lock();
        given.retain(|_, (_, since)| since.elapsed() < LOGIN_TOKEN_LIFETIME);
        if given.len() >= MAX_TOKENS {
            return None;
        }
        let token = format!("syl_{}", random_text(40));
        given.insert(TokenHash::of(&token), (user_id, Instant::now()));
        Some(token)
    }

    /// Whom a token logs in. It does so once.
    pub(crate) fn take(&self, token: &str) -> Option<OwnedUserId> {
        let (user_id, since) = self.0.lock().remove(&TokenHash::of(token))?;
        (since.elapsed() < LOGIN_TOKEN_LIFETIME).then_some(user_id)
    }
}
