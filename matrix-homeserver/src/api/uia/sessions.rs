//! What was authenticated so far, until the request is made that it is for. In memory only.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ruma::OwnedUserId;

use super::Demand;
use crate::user::random_text;

/// How long a session waits to be continued.
const LIFETIME: Duration = Duration::from_hours(1);
/// The most sessions that are kept; the oldest go first.
const MAX_SESSIONS: usize = 10_000;

#[derive(Debug)]
struct Session {
    since: Instant,
    demand: Demand,
    completed: Vec<String>,
    /// The account that was made in this session, for clients that did not hear of it.
    registered: Option<OwnedUserId>,
}

/// How far a session is.
pub(super) enum Progress {
    /// These stages are completed.
    Made(Vec<String>),
    /// The session is for another request.
    OfSomethingElse,
    Unknown,
}

/// The sessions that were begun.
#[derive(Debug, Default)]
pub(crate) struct UiaSessions(Mutex<HashMap<String, Session>>);

impl UiaSessions {
    /// Begins a session, and gives its ID.
    pub(super) fn begin(&self, demand: &Demand) -> String {
        let mut sessions = self.0.lock();
        if sessions.len() >= MAX_SESSIONS {
            sessions.retain(|_, session| session.since.elapsed() < LIFETIME);
        }
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) =
                sessions.iter().min_by_key(|(_, session)| session.since).map(|(id, _)| id.clone())
        {
            sessions.remove(&oldest);
        }
        let id = random_text(24);
        let session = Session {
            since: Instant::now(),
            demand: demand.clone(),
            completed: Vec::new(),
            registered: None,
        };
        sessions.insert(id.clone(), session);
        id
    }

    pub(super) fn progress(&self, id: &str, demand: &Demand) -> Progress {
        let sessions = self.0.lock();
        match sessions.get(id).filter(|session| session.since.elapsed() < LIFETIME) {
            None => Progress::Unknown,
            Some(session) if session.demand != *demand => Progress::OfSomethingElse,
            Some(session) => Progress::Made(session.completed.clone()),
        }
    }

    /// What a session is for, and which stages are completed.
    pub(super) fn demand(&self, id: &str) -> Option<(Demand, Vec<String>)> {
        let sessions = self.0.lock();
        let session = sessions.get(id).filter(|session| session.since.elapsed() < LIFETIME)?;
        Some((session.demand.clone(), session.completed.clone()))
    }

    pub(super) fn complete(&self, id: &str, stage: &str) {
        if let Some(session) = self.0.lock().get_mut(id)
            && !session.completed.iter().any(|done| done == stage)
        {
            session.completed.push(stage.to_owned());
        }
    }

    /// The request that the session is for was let through; it is good for no other.
    pub(super) fn end(&self, id: &str) {
        self.0.lock().remove(id);
    }

    /// Remembers the account that was made in a session.
    pub(in crate::api) fn register(&self, id: &str, user_id: OwnedUserId) {
        if let Some(session) = self.0.lock().get_mut(id) {
            session.registered = Some(user_id);
        }
    }

    /// The account that was made in a session.
    pub(in crate::api) fn registered(&self, id: &str) -> Option<OwnedUserId> {
        let sessions = self.0.lock();
        sessions.get(id).filter(|session| session.since.elapsed() < LIFETIME)?.registered.clone()
    }
}
