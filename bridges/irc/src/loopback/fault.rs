//! Things that go wrong on real networks, on demand.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_util::sync::CancellationToken;

use super::Loopback;
use super::state::{ConnectionId, State};
use super::wire::Reply;

/// What is wrong with the network at the moment.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// New connections are closed at once.
    pub(super) refuse: bool,
    /// `PING` is not answered.
    pub(super) mute_pongs: bool,
    /// Nicks that nobody may have.
    pub(super) forbidden_nicks: HashSet<String>,
    /// The time, if it is not the clock's.
    pub(super) clock: Option<SystemTime>,
    echoes_to_swallow: u32,
}

impl Faults {
    /// Whether this echo is lost.
    pub(super) fn swallow_echo(&mut self) -> bool {
        let swallow = self.echoes_to_swallow > 0;
        self.echoes_to_swallow = self.echoes_to_swallow.saturating_sub(1);
        swallow
    }
}

impl Loopback {
    /// Closes new connections at once, or no longer.
    pub fn refuse_connections(&self, refuse: bool) {
        self.shared.state.lock().faults.refuse = refuse;
    }

    /// Answers no `PING`, or does so again.
    pub fn mute_pongs(&self, mute: bool) {
        self.shared.state.lock().faults.mute_pongs = mute;
    }

    /// Lets nobody have this nick (432).
    pub fn forbid_nick(&self, nick: &str) {
        self.shared.state.lock().faults.forbidden_nicks.insert(nick.to_owned());
    }

    /// Does not echo the next messages to their senders, as if the line had been lost.
    pub fn swallow_echoes(&self, count: u32) {
        self.shared.state.lock().faults.echoes_to_swallow = count;
    }

    /// Stamps messages with this time, in milliseconds since 1970, instead of the clock's.
    pub fn set_clock(&self, millis: Option<u64>) {
        self.shared.state.lock().faults.clock =
            millis.map(|millis| UNIX_EPOCH + Duration::from_millis(millis));
    }

    /// Cuts a client's connection without a word to it. `false` if nobody has the nick.
    pub fn cut(&self, nick: &str) -> bool {
        self.with(nick, |state, id| state.disconnected(id, "Connection reset by peer"))
    }

    /// Throws a client off with an `ERROR`.
    pub fn kill(&self, nick: &str, reason: &str) -> bool {
        self.with(nick, |state, id| state.close(id, reason))
    }

    /// Reads nothing more from a client until the returned token is cancelled.
    pub fn stall(&self, nick: &str) -> Option<CancellationToken> {
        let gate = CancellationToken::new();
        let held = gate.clone();
        self.with(nick, move |state, id| state.client_mut(id).stalled = Some(held)).then_some(gate)
    }

    /// Renames a client by force, as services do.
    pub fn force_nick(&self, nick: &str, new: &str) -> bool {
        self.with(nick, |state, id| state.take_nick(id, new))
    }

    /// Puts a client into a channel by force (`SAJOIN`).
    pub fn force_join(&self, nick: &str, channel: &str) -> bool {
        self.with(nick, |state, id| state.enter(id, channel))
    }

    /// Sends a line to a client as it is, with CR LF added.
    pub fn send_raw(&self, nick: &str, line: &[u8]) -> bool {
        self.with(nick, |state, id| state.client(id).write([line, b"\r\n"].concat()))
    }

    /// Gives a member of a channel a rank (`o`, `v`, …) or takes it, on behalf of the server.
    pub fn set_rank(&self, channel: &str, nick: &str, mode: char, add: bool) -> bool {
        self.with(nick, |state, id| {
            let folded = state.fold(channel);
            let Some(ranks) =
                state.channels.get_mut(&folded).and_then(|channel| channel.members.get_mut(&id))
            else {
                return;
            };
            if add {
                ranks.insert(mode)
            } else {
                ranks.remove(&mode)
            };
            let sign = if add { '+' } else { '-' };
            let reply = Reply::new(&state.config.name, "MODE")
                .param(channel)
                .param(format!("{sign}{mode}"))
                .param(state.client(id).shown_nick());
            state.send_to_channel(channel, &reply, None);
        })
    }

    /// Splits these clients off: everybody else sees them quit, with the names of two servers as the reason.
    /// Returns what [`Loopback::heal`] needs.
    pub fn split(&self, nicks: &[&str]) -> Split {
        let mut state = self.shared.state.lock();
        let mut gone = Vec::new();
        for id in nicks.iter().filter_map(|nick| state.find(nick)).collect::<Vec<_>>() {
            let quit =
                Reply::new(state.client(id).mask(), "QUIT").param("hub.loopback.test leaf.loopback.test");
            state.send_to_acquaintances(id, &quit, false);
            for channel in state.channels.values_mut() {
                if channel.members.remove(&id).is_some() {
                    gone.push((id, channel.name.clone()));
                }
            }
        }
        Split(gone)
    }

    /// Brings back whom [`Loopback::split`] took away.
    pub fn heal(&self, split: Split) {
        let mut state = self.shared.state.lock();
        for (id, channel) in split.0 {
            if state.is_connected(id) {
                state.enter(id, &channel);
            }
        }
    }

    fn with(&self, nick: &str, act: impl FnOnce(&mut State, ConnectionId)) -> bool {
        let mut state = self.shared.state.lock();
        let Some(id) = state.find(nick) else { return false };
        act(&mut state, id);
        true
    }
}

/// Who was where before a split.
#[derive(Debug)]
pub struct Split(Vec<(ConnectionId, String)>);
