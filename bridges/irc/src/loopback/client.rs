//! One connection as the server knows it.

use std::collections::HashSet;
use std::net::SocketAddr;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::wire::Reply;

/// A client. It is registered once it has sent `NICK` and `USER` and ended its negotiation.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) nick: Option<String>,
    pub(super) user: Option<String>,
    pub(super) realname: String,
    pub(super) host: String,
    pub(super) account: Option<String>,
    pub(super) away: Option<String>,
    pub(super) password: Option<String>,
    pub(super) capabilities: HashSet<String>,
    pub(super) negotiating: bool,
    pub(super) registered: bool,
    pub(super) modes: String,
    /// Answers to a labelled request, while it is handled.
    pub(super) collected: Option<Vec<Reply>>,
    /// Set while the server reads nothing from this client.
    pub(super) stalled: Option<CancellationToken>,
    queue: mpsc::Sender<Vec<u8>>,
    closed: CancellationToken,
}

impl Client {
    pub(super) fn new(peer: SocketAddr, queue: mpsc::Sender<Vec<u8>>, closed: CancellationToken) -> Self {
        Self {
            nick: None,
            user: None,
            realname: String::new(),
            host: peer.ip().to_string(),
            account: None,
            away: None,
            password: None,
            capabilities: HashSet::new(),
            negotiating: false,
            registered: false,
            modes: String::new(),
            collected: None,
            stalled: None,
            queue,
            closed,
        }
    }

    pub(super) fn has(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    pub(super) fn shown_nick(&self) -> String {
        self.nick.clone().filter(|_| self.registered).unwrap_or_else(|| "*".to_owned())
    }

    /// `nick!user@host`
    pub(super) fn mask(&self) -> String {
        let nick = self.nick.as_deref().unwrap_or("*");
        format!("{nick}!{}@{}", self.user.as_deref().unwrap_or("*"), self.host)
    }

    /// Puts a line into the queue. A client that does not read is thrown off when its queue is full.
    pub(super) fn write(&self, line: Vec<u8>) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(line) {
            self.close();
        }
    }

    /// Ends the connection after what is queued has been written.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }
}
