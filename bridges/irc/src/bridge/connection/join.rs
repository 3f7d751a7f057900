//! Being in channels: asked for, refused, lost, asked for again.

use std::sync::Arc;

use matrix_appservice::bridge::LoginId;
use tokio::time::{Duration, Instant, timeout_at};
use tracing::{info, warn};

use super::super::channels::Handover;
use super::Connection;

/// How a connection stands to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JoinState {
    /// `JOIN` was sent.
    Asked,
    /// It is in.
    In,
    /// The network refused.
    Refused(String),
}

/// Pause before a channel is tried again that the connection was put out of or not let into.
const RETRY: Duration = Duration::from_secs(60);

impl Connection {
    /// Wants to be in a channel from now on.
    pub(crate) fn want(&self, folded: &str, name: &str) {
        self.wish.lock().channels.insert(folded.to_owned(), name.to_owned());
        if matches!(self.join_state(folded), Some(JoinState::Refused(_))) {
            self.joins.lock().remove(folded);
        }
        self.wished.notify_one();
        self.ask(folded, name);
    }

    /// Wants to be in a channel no longer.
    pub(crate) fn unwant(&self, folded: &str, reason: Option<&str>) {
        let name = self.wish.lock().channels.remove(folded);
        self.joins.lock().remove(folded);
        if let (Some(link), Some(name)) = (self.link(), name) {
            let reason = reason.unwrap_or_default();
            link.send_later(&["PART", &name, reason]);
        }
        let linger = Duration::from_secs(self.network.config.irc_clients.linger_timeout.into());
        let mut wish = self.wish.lock();
        wish.until = wish.until.max(Some(Instant::now() + linger));
        drop(wish);
        self.wished.notify_one();
    }

    pub(crate) fn wanted_channels(&self) -> Vec<(String, String)> {
        self.wish.lock().channels.iter().map(|(folded, name)| (folded.clone(), name.clone())).collect()
    }

    pub(crate) fn join_state(&self, folded: &str) -> Option<JoinState> {
        self.joins.lock().get(folded).cloned()
    }

    /// Sends `JOIN`, unless that was done already.
    pub(crate) fn ask(&self, folded: &str, name: &str) {
        let Some(link) = self.link() else { return };
        {
            let mut joins = self.joins.lock();
            if joins.contains_key(folded) {
                return;
            }
            joins.insert(folded.to_owned(), JoinState::Asked);
        }
        let key =
            self.network.config.mappings.iter().find(|(channel, _)| self.network.fold(channel) == folded);
        match key.and_then(|(_, mapping)| mapping.key.as_ref()) {
            Some(key) => link.send_later(&["JOIN", name, key.expose()]),
            None => link.send_later(&["JOIN", name]),
        }
    }

    /// Waits until the connection is in a channel.
    ///
    /// # Errors
    ///
    /// What the network says against it; `None` if it does not answer in time.
    pub(crate) async fn wait_joined(&self, folded: &str, deadline: Instant) -> Result<(), Option<String>> {
        loop {
            let mut changed = std::pin::pin!(self.joined.notified());
            changed.as_mut().enable();
            match self.join_state(folded) {
                Some(JoinState::In) => return Ok(()),
                Some(JoinState::Refused(reason)) => return Err(Some(reason)),
                Some(JoinState::Asked) | None => {}
            }
            if timeout_at(deadline, changed).await.is_err() {
                return Err(None);
            }
        }
    }

    /// Waits until the names of a channel are complete.
    pub(crate) async fn wait_names(&self, folded: &str, deadline: Instant) -> bool {
        loop {
            let mut changed = std::pin::pin!(self.joined.notified());
            changed.as_mut().enable();
            if self.network.state.lock().channels.get(folded).is_some_and(|channel| channel.complete) {
                return true;
            }
            if timeout_at(deadline, changed).await.is_err() {
                return false;
            }
        }
    }

    pub(crate) fn join_done(&self, folded: &str) {
        self.joins.lock().insert(folded.to_owned(), JoinState::In);
        self.joined.notify_waiters();
    }

    pub(crate) fn names_done(&self, _folded: &str) {
        self.joined.notify_waiters();
    }

    pub(crate) fn not_joined(&self, folded: &str) {
        self.joins.lock().remove(folded);
        self.joined.notify_waiters();
    }

    /// The network does not let the connection in. Whether that was what was asked for.
    pub(crate) fn join_refused(&self, folded: &str, text: &str) -> bool {
        {
            let mut joins = self.joins.lock();
            match joins.get_mut(folded) {
                Some(state @ JoinState::Asked) => *state = JoinState::Refused(text.to_owned()),
                _ => return false,
            }
        }
        self.joined.notify_waiters();
        info!(login = %self.login, channel = folded, "not let in: {text}");
        if let Some(user) = self.user.clone() {
            let (network, text) = (self.network.clone(), format!("You are not in {folded} on IRC: {text}."));
            self.network.cx.tasks().spawn(async move { network.cx.tell(&user, &text).await });
        }
        self.retry_later(folded);
        true
    }

    /// The network says that the connection is not in a channel where we believed it to be.
    pub(crate) fn not_in_channel(&self, numeric: u16, folded: &str) {
        if numeric == 442 && self.join_state(folded) == Some(JoinState::In) {
            self.not_joined(folded);
            self.retry_later(folded);
        }
    }

    pub(crate) fn was_kicked(&self, folded: &str, by: &str, reason: &str) {
        warn!(login = %self.login, channel = folded, "kicked by {by}: {reason}");
        // For a puppet, the room is told by whoever listens; if that was this connection, nobody else can.
        self.retry_later(folded);
    }

    /// The bridge's own connection tries again after a while; a puppet when its user speaks next.
    fn retry_later(&self, folded: &str) {
        if self.is_puppet() {
            return;
        }
        let (network, login, folded) = (self.network.clone(), self.login.clone(), folded.to_owned());
        let shutdown = self.network.cx.shutdown().clone();
        self.network.cx.tasks().spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
            let Some(connection) = network.connection(&login) else { return };
            let name = connection.wish.lock().channels.get(&folded).cloned();
            if let Some(name) = name.filter(|_| connection.join_state(&folded) != Some(JoinState::In)) {
                connection.want(&folded, &name);
            }
        });
    }

    /// Another connection listens from now on: it asks for the names, to find out what it missed.
    pub(crate) fn hand_over(&self, folded: &str, handover: Handover) {
        match handover {
            Handover::None => {}
            Handover::Deaf => {
                info!(channel = folded, network = %self.network.server, "nobody listens any more");
            }
            Handover::To(login) => self.begin_to_listen(folded, &login),
        }
    }

    fn begin_to_listen(&self, folded: &str, login: &LoginId) {
        info!(channel = folded, network = %self.network.server, %login, "another connection listens now");
        let next: Option<Arc<Self>> = self.network.connection(login);
        let name = self.network.state.lock().channels.get(folded).map(|channel| channel.name.clone());
        if let (Some(link), Some(name)) = (next.and_then(|next| next.link()), name) {
            link.send_later(&["NAMES", &name]);
        }
    }
}
