//! Which nicks are the bridge's own connections.
//!
//! The listener sees what every puppet says. Whether a line is one of ours is decided by connection, not by name
//! alone: a nick is ours from the moment its connection was told so until the *listener* saw it leave. Lines of one
//! connection come in order, so nothing of ours can follow, and whoever takes the nick next is somebody else. If the
//! listener never sees the nick leave, it stays ours for a while after its connection ended.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use matrix_appservice::bridge::LoginId;

/// How long a nick stays ours after its connection ended, if nobody sees it leave.
const LATE: Duration = Duration::from_secs(600);

/// The nicks of all connections to one network, folded.
#[derive(Debug, Default)]
pub(crate) struct OwnNicks {
    nicks: HashMap<String, Owner>,
}

#[derive(Debug)]
struct Owner {
    login: LoginId,
    /// When its connection ended, or when it took another nick.
    gone: Option<Instant>,
}

impl OwnNicks {
    /// A connection was told that it has this nick.
    pub(crate) fn claim(&mut self, folded: &str, login: &LoginId) {
        self.nicks.insert(folded.to_owned(), Owner { login: login.clone(), gone: None });
    }

    /// A connection has another nick now. Lines under the old one may still be on their way to the listener.
    pub(crate) fn rename(&mut self, old: &str, new: &str, now: Instant) {
        let Some(owner) = self.nicks.get_mut(old) else { return };
        if old != new {
            owner.gone = Some(now);
            let login = owner.login.clone();
            self.claim(new, &login);
        }
    }

    /// A connection ended.
    pub(crate) fn close(&mut self, folded: &str, login: &LoginId, now: Instant) {
        self.nicks.retain(|_, owner| owner.gone.is_none_or(|gone| now.duration_since(gone) < LATE));
        if let Some(owner) = self.nicks.get_mut(folded).filter(|owner| owner.login == *login) {
            owner.gone = Some(now);
        }
    }

    /// The listener saw this nick leave the network or become another.
    pub(crate) fn saw_leave(&mut self, folded: &str) {
        if self.nicks.get(folded).is_some_and(|owner| owner.gone.is_some()) {
            self.nicks.remove(folded);
        }
    }

    /// Whose nick this is, if it is ours.
    pub(crate) fn owner(&self, folded: &str, now: Instant) -> Option<&LoginId> {
        let owner = self.nicks.get(folded)?;
        owner.gone.is_none_or(|gone| now.duration_since(gone) < LATE).then_some(&owner.login)
    }

    /// Whether a connection of ours has this nick now.
    pub(crate) fn current(&self, folded: &str) -> Option<&LoginId> {
        self.nicks.get(folded).filter(|owner| owner.gone.is_none()).map(|owner| &owner.login)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_lines_of_a_closed_connection_are_still_ours() {
        let (mut nicks, alice, now) = (OwnNicks::default(), LoginId::new("n/alice"), Instant::now());
        nicks.claim("alice", &alice);
        nicks.close("alice", &alice, now);
        assert_eq!(nicks.owner("alice", now + Duration::from_secs(60)), Some(&alice));
        assert_eq!(nicks.owner("alice", now + LATE), None);
        assert_eq!(nicks.current("alice"), None);
    }

    #[test]
    fn who_takes_a_nick_after_the_listener_saw_it_leave_is_somebody_else() {
        let (mut nicks, alice, now) = (OwnNicks::default(), LoginId::new("n/alice"), Instant::now());
        nicks.claim("alice", &alice);
        nicks.close("alice", &alice, now);
        nicks.saw_leave("alice");
        assert_eq!(nicks.owner("alice", now), None);
    }

    #[test]
    fn a_nick_that_is_in_use_again_survives_the_late_quit_of_its_last_connection() {
        let (mut nicks, alice, now) = (OwnNicks::default(), LoginId::new("n/alice"), Instant::now());
        nicks.claim("alice", &alice);
        nicks.close("alice", &alice, now);
        nicks.claim("alice", &alice);
        nicks.saw_leave("alice");
        assert_eq!(nicks.owner("alice", now), Some(&alice));
    }

    #[test]
    fn a_renamed_connection_is_known_by_both_nicks() {
        let (mut nicks, alice, now) = (OwnNicks::default(), LoginId::new("n/alice"), Instant::now());
        nicks.claim("alice", &alice);
        nicks.rename("alice", "alice_", now);
        assert_eq!(nicks.owner("alice", now), Some(&alice));
        assert_eq!(nicks.current("alice_"), Some(&alice));
        nicks.saw_leave("alice");
        assert_eq!(nicks.owner("alice", now), None);
        assert_eq!(nicks.owner("alice_", now), Some(&alice));
    }
}
