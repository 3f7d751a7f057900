//! Logins that take more than one request.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedUserId};

use super::{LoginFlow, LoginStage};
use crate::user::{TokenHash, random_text};

/// How long a login may take.
const LIFETIME: Duration = Duration::from_mins(15);
/// How many logins may be under way. The oldest gives way to a new one.
const MAX_SESSIONS: usize = 10_000;
/// How often a code may be wrong.
const MAX_ATTEMPTS: u32 = 5;

/// What a login is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    LogIn,
    Register,
}

/// A login under way.
#[derive(Clone)]
pub(crate) struct LoginSession {
    pub(crate) purpose: Purpose,
    /// The flows that what was done so far belongs to.
    flows: Vec<LoginFlow>,
    /// How many of their stages are done.
    done: usize,
    /// Who logs in, once that is known; or the ID that somebody wants to have.
    pub(crate) user_id: Option<OwnedUserId>,
    /// The password that somebody registers with.
    pub(crate) password: Option<String>,
    /// Addresses that were shown to be the person's.
    pub(crate) emails: Vec<String>,
    /// Provider and ID there, likewise.
    pub(crate) identities: Vec<(String, String)>,
    /// The stage that takes another request.
    pub(crate) pending: Option<Pending>,
    /// The login is done by the page of this server.
    pub(crate) by_page: bool,
    pub(crate) device_id: Option<OwnedDeviceId>,
    pub(crate) device_name: Option<String>,
    until: Instant,
}

/// A stage that was begun.
#[derive(Debug, Clone)]
pub(crate) enum Pending {
    /// A code was sent to an address.
    EmailCode { email: String, code: TokenHash, attempts: u32 },
    /// A link was sent to an address.
    EmailUrl { email: String, token: TokenHash, visited: bool },
    /// The person was sent to a provider.
    OAuth2 { state: TokenHash, identity: Option<(String, String)> },
}

impl fmt::Debug for LoginSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginSession")
            .field("purpose", &self.purpose)
            .field("user_id", &self.user_id)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

impl LoginSession {
    pub(crate) fn new(purpose: Purpose, flows: &[LoginFlow]) -> Self {
        Self {
            purpose,
            flows: flows.to_vec(),
            done: 0,
            user_id: None,
            password: None,
            emails: Vec::new(),
            identities: Vec::new(),
            pending: None,
            by_page: false,
            device_id: None,
            device_name: None,
            until: Instant::now() + LIFETIME,
        }
    }

    /// Whether a stage can be next.
    pub(crate) fn expects(&self, stage: LoginStage) -> bool {
        self.flows.iter().any(|flow| flow.stages().get(self.done) == Some(&stage))
    }

    /// Takes note that a stage is done.
    pub(crate) fn complete(&mut self, stage: LoginStage) {
        self.flows.retain(|flow| flow.stages().get(self.done) == Some(&stage));
        self.done += 1;
        self.pending = None;
    }

    /// The stage to do next. `None` when nothing is left.
    pub(crate) fn next(&self) -> Option<LoginStage> {
        if self.flows.iter().any(|flow| flow.stages().len() == self.done) {
            return None;
        }
        self.flows.iter().find_map(|flow| flow.stages().get(self.done)).copied()
    }

    /// Compares a code. After some wrong ones, no code is right any more.
    pub(crate) fn code_matches(&mut self, candidate: &str) -> bool {
        let Some(Pending::EmailCode { code, attempts, .. }) = &mut self.pending else { return false };
        *attempts += 1;
        *attempts <= MAX_ATTEMPTS && *code == TokenHash::of(candidate)
    }
}

/// Somebody comes with a secret that a session waits for.
#[derive(Clone, Copy)]
pub(crate) enum Visit<'s> {
    /// By the link in a mail.
    Link(&'s str),
    /// From a provider.
    Redirect(&'s str),
}

/// The logins under way, bounded in number and time.
#[derive(Debug, Default)]
pub(crate) struct LoginSessions {
    sessions: Mutex<HashMap<String, LoginSession>>,
}

impl LoginSessions {
    /// A session by its ID.
    pub(crate) fn get(&self, id: &str) -> Option<LoginSession> {
        let sessions = self.sessions.lock();
        sessions.get(id).filter(|session| session.until > Instant::now()).cloned()
    }

    /// Keeps a new session. Returns its ID.
    pub(crate) fn begin(&self, session: LoginSession) -> String {
        let id = random_text(32);
        let mut sessions = self.sessions.lock();
        if sessions.len() >= MAX_SESSIONS {
            let now = Instant::now();
            sessions.retain(|_, session| session.until > now);
        }
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.until).map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                sessions.remove(&oldest);
            }
        }
        sessions.insert(id.clone(), session);
        id
    }

    /// Changes a session where it is kept, so that nobody sees it half changed. `None` if there is none.
    pub(crate) fn change<T>(&self, id: &str, change: impl FnOnce(&mut LoginSession) -> T) -> Option<T> {
        let mut sessions = self.sessions.lock();
        let session = sessions.get_mut(id).filter(|session| session.until > Instant::now())?;
        Some(change(session))
    }

    /// Takes a session away, so that nobody else ends it.
    pub(crate) fn end(&self, id: &str) -> Option<LoginSession> {
        self.sessions.lock().remove(id).filter(|session| session.until > Instant::now())
    }

    /// The session that waits for a visit.
    pub(crate) fn awaiting(&self, visit: Visit<'_>) -> Option<String> {
        let (Visit::Link(secret) | Visit::Redirect(secret)) = visit;
        let secret = TokenHash::of(secret);
        let sessions = self.sessions.lock();
        let now = Instant::now();
        let waits = |session: &LoginSession| match (&session.pending, visit) {
            (Some(Pending::EmailUrl { token, .. }), Visit::Link(_)) => *token == secret,
            (Some(Pending::OAuth2 { state, identity: None }), Visit::Redirect(_)) => *state == secret,
            _ => false,
        };
        let found = sessions.iter().find(|(_, session)| session.until > now && waits(session));
        found.map(|(id, _)| id.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(flows: &[&str]) -> LoginSession {
        let flows: Vec<LoginFlow> = flows.iter().map(|flow| flow.parse().unwrap()).collect();
        LoginSession::new(Purpose::LogIn, &flows)
    }

    #[test]
    fn what_is_done_says_what_is_next() {
        let flows =
            ["m.login.password+m.login.email.code", "m.login.password+m.login.oauth2", "m.login.email.url"];
        let mut session = session(&flows);
        assert!(session.expects(LoginStage::EmailUrl) && !session.expects(LoginStage::OAuth2));
        session.complete(LoginStage::Password);
        assert_eq!(session.next(), Some(LoginStage::EmailCode));
        assert!(session.expects(LoginStage::OAuth2) && !session.expects(LoginStage::EmailUrl));
        session.complete(LoginStage::OAuth2);
        assert_eq!(session.next(), None);
    }

    #[test]
    fn a_code_can_be_guessed_at_only_a_few_times() {
        let mut session = session(&["m.login.email.code"]);
        let code = TokenHash::of("123456");
        session.pending = Some(Pending::EmailCode { email: "a@b.c".into(), code, attempts: 0 });
        for _ in 0..MAX_ATTEMPTS {
            assert!(!session.code_matches("000000"));
        }
        assert!(!session.code_matches("123456"));
    }

    #[test]
    fn there_are_never_more_sessions_than_may_be() {
        let sessions = LoginSessions::default();
        let first = sessions.begin(session(&["m.login.password"]));
        for _ in 0..MAX_SESSIONS {
            sessions.begin(session(&["m.login.password"]));
        }
        assert!(sessions.get(&first).is_none());
        assert_eq!(sessions.sessions.lock().len(), MAX_SESSIONS);
    }

    #[test]
    fn a_session_that_took_too_long_is_over() {
        let sessions = LoginSessions::default();
        let mut late = session(&["m.login.password"]);
        late.until = Instant::now();
        let id = sessions.begin(late);
        assert!(sessions.get(&id).is_none() && sessions.change(&id, |_| ()).is_none());
        assert!(sessions.end(&id).is_none());
    }
}
