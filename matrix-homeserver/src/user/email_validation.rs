//! Showing that one reads the mail of an address. In memory only: it is over in hours.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{TokenHash, device::random_text, now_ms};

/// How long the link in a mail, and what it shows, is good.
const LIFETIME: Duration = Duration::from_hours(24);
/// The most addresses that are being shown at once.
const MAX_VALIDATIONS: usize = 10_000;

/// What an address is shown for: what was shown for one thing is not good for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Registration,
    PasswordReset,
    /// To belong to an account.
    Account,
}

struct Validation {
    purpose: Purpose,
    email: String,
    client_secret: String,
    /// Stands in the mail.
    token: TokenHash,
    /// The request of the client that the last mail was for.
    attempt: u64,
    next_link: Option<String>,
    since: Instant,
    /// Milliseconds since 1970.
    validated_at: Option<u64>,
}

/// An address that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validated {
    pub(crate) email: String,
    /// Milliseconds since 1970.
    pub(crate) at: u64,
}

/// What a client wants shown.
#[derive(Debug)]
pub(crate) struct ValidationRequest {
    pub(crate) purpose: Purpose,
    /// In lower case.
    pub(crate) email: String,
    pub(crate) client_secret: String,
    pub(crate) attempt: u64,
    pub(crate) next_link: Option<String>,
}

/// Addresses that are being shown, by session.
#[derive(Default)]
pub(crate) struct EmailValidations(Mutex<HashMap<String, Validation>>);

impl std::fmt::Debug for EmailValidations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmailValidations").field("sessions", &self.0.lock().len()).finish_non_exhaustive()
    }
}

impl EmailValidations {
    /// The session of a request and, if a mail is to be sent, the token for it. `None` if there are too many.
    pub(crate) fn begin(&self, request: ValidationRequest) -> Option<(String, Option<String>)> {
        let mut sessions = self.0.lock();
        sessions.retain(|_, session| session.since.elapsed() < LIFETIME);
        let token = random_text(32);
        let known = sessions.iter_mut().find(|(_, session)| {
            session.purpose == request.purpose
                && session.email == request.email
                && session.client_secret == request.client_secret
        });
        if let Some((sid, session)) = known {
            if request.attempt <= session.attempt || session.validated_at.is_some() {
                return Some((sid.clone(), None));
            }
            session.attempt = request.attempt;
            session.token = TokenHash::of(&token);
            session.next_link = request.next_link;
            return Some((sid.clone(), Some(token)));
        }
        if sessions.len() >= MAX_VALIDATIONS {
            return None;
        }
        let sid = random_text(16);
        let ValidationRequest { purpose, email, client_secret, attempt, next_link } = request;
        let (since, validated_at) = (Instant::now(), None);
        let hash = TokenHash::of(&token);
        let session = Validation {
            purpose,
            email,
            client_secret,
            token: hash,
            attempt,
            next_link,
            since,
            validated_at,
        };
        sessions.insert(sid.clone(), session);
        Some((sid, Some(token)))
    }

    /// The token of a mail has come back. `None` if it is not the right one; else where to go on.
    pub(crate) fn submit(&self, sid: &str, client_secret: &str, token: &str) -> Option<Option<String>> {
        let mut sessions = self.0.lock();
        let session = sessions.get_mut(sid)?;
        let right = session.client_secret == client_secret && session.token == TokenHash::of(token);
        if !right || session.since.elapsed() >= LIFETIME {
            return None;
        }
        session.validated_at.get_or_insert_with(now_ms);
        Some(session.next_link.clone())
    }

    /// Ends a session: what was shown in it is good for nothing more.
    pub(crate) fn end(&self, sid: &str) {
        self.0.lock().remove(sid);
    }

    /// The address that was shown in a session.
    pub(crate) fn validated(&self, sid: &str, client_secret: &str, purpose: Purpose) -> Option<Validated> {
        let sessions = self.0.lock();
        let session = sessions.get(sid)?;
        let over = session.since.elapsed() >= LIFETIME;
        if over || session.client_secret != client_secret || session.purpose != purpose {
            return None;
        }
        Some(Validated { email: session.email.clone(), at: session.validated_at? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attempt: u64) -> ValidationRequest {
        ValidationRequest {
            purpose: Purpose::Account,
            email: "a@b.test".into(),
            client_secret: "secret".into(),
            attempt,
            next_link: None,
        }
    }

    #[test]
    fn a_mail_is_sent_once_per_attempt_and_its_token_validates_once_it_is_back() {
        let validations = EmailValidations::default();
        let (sid, first) = validations.begin(request(1)).unwrap();
        let first = first.unwrap();
        assert_eq!(validations.begin(request(1)).unwrap(), (sid.clone(), None));
        let (same, second) = validations.begin(request(2)).unwrap();
        assert_eq!(same, sid);
        assert_eq!(validations.submit(&sid, "secret", &first), None, "only the last mail counts");
        assert_eq!(validations.submit(&sid, "other", second.as_ref().unwrap()), None);
        assert_eq!(validations.validated(&sid, "secret", Purpose::Account), None);
        assert_eq!(validations.submit(&sid, "secret", &second.unwrap()), Some(None));
        assert_eq!(validations.validated(&sid, "secret", Purpose::Account).unwrap().email, "a@b.test");
        assert_eq!(validations.validated(&sid, "secret", Purpose::PasswordReset), None);
        assert_eq!(validations.validated(&sid, "other", Purpose::Account), None);
    }
}
