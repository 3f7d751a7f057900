//! One connection to a network: the bridge's own, or a Matrix user's.
//!
//! A connection outlives its sockets: it is made when the framework opens a login, and its [driver](driver) connects,
//! waits and connects again for as long as it is wanted. The bridge's own is always wanted, a puppet while its
//! user is in a channel or has just spoken.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use matrix_appservice::bridge::{Journalled, LoginId, LoginState, RemoteSink, SendError, TxnKey};
use parking_lot::Mutex;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::network::IrcNetwork;
use super::pending::Pending;

mod dial;
mod driver;
mod join;
mod link;
mod overhear;

pub(crate) use self::dial::probe;
pub(crate) use self::join::JoinState;
pub(crate) use self::link::Link;

/// One connection to a network.
pub(crate) struct Connection {
    pub(crate) network: Arc<IrcNetwork>,
    pub(crate) login: LoginId,
    /// Whose it is; `None` for the bridge's own.
    pub(crate) user: Option<OwnedUserId>,
    pub(crate) pending: Mutex<Pending>,
    /// Pushes whose flush is not known yet.
    pub(crate) in_flight: Mutex<VecDeque<Journalled>>,
    pub(crate) settings: Mutex<Settings>,
    sink: Mutex<Option<RemoteSink>>,
    wish: Mutex<Wish>,
    /// Wakes the driver when a wish changed.
    wished: Notify,
    joins: Mutex<HashMap<String, JoinState>>,
    /// Wakes those who wait to be in a channel.
    joined: Notify,
    link: watch::Sender<Option<Arc<Link>>>,
    stop: Mutex<CancellationToken>,
    overhearing: Mutex<Vec<overhear::Overhearing>>,
    /// Whether a fence is due soon, because an echo is awaited.
    pub(crate) fence_planned: AtomicBool,
}

/// What a user decided about his connection; stored with the login.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// The nick he chose with `!nick`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nick: Option<String>,
    /// The account name he chose with `!username`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    /// The account password he stored with `!storepass`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<StoredPassword>,
}

/// A password that `Debug` does not show.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoredPassword(pub(crate) String);

impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredPassword(…)")
    }
}

/// What the connection is wanted for.
#[derive(Debug, Default)]
struct Wish {
    /// The name its user shows on Matrix.
    display_name: Option<String>,
    /// The channels it shall be in, folded, with their names.
    channels: BTreeMap<String, String>,
    /// Wanted at least until then, because its user spoke or left just now.
    until: Option<Instant>,
    /// When its user last did something.
    active: Option<Instant>,
    /// The user said `!quit`: stay away until he speaks again.
    quit: bool,
}

impl Connection {
    pub(crate) fn new(
        network: Arc<IrcNetwork>,
        login: LoginId,
        user: Option<OwnedUserId>,
        settings: Settings,
    ) -> Self {
        Self {
            network,
            login,
            user,
            pending: Mutex::default(),
            in_flight: Mutex::default(),
            settings: Mutex::new(settings),
            sink: Mutex::default(),
            wish: Mutex::default(),
            wished: Notify::new(),
            joins: Mutex::default(),
            joined: Notify::new(),
            link: watch::Sender::new(None),
            stop: Mutex::new(CancellationToken::new()),
            overhearing: Mutex::default(),
            fence_planned: AtomicBool::new(false),
        }
    }

    pub(crate) fn is_puppet(&self) -> bool {
        self.user.is_some()
    }

    pub(crate) fn sink(&self) -> Option<RemoteSink> {
        self.sink.lock().clone()
    }

    pub(crate) fn state(&self, state: LoginState) {
        if let Some(sink) = self.sink() {
            sink.state(state);
        }
    }

    /// The socket in use, if the network let us in.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.link.borrow().clone()
    }

    /// Waits until the network let us in. `None` if it does not in time.
    pub(crate) async fn online(&self, deadline: Instant) -> Option<Arc<Link>> {
        let mut link = self.link.subscribe();
        let found = timeout_at(deadline, link.wait_for(Option::is_some)).await.ok()?.ok()?;
        found.clone()
    }

    /// Whether there is a reason to be connected.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.is_puppet() || self.wanted_until(Instant::now()).is_some()
    }

    /// Until when the connection is wanted; `None` if it is not. `Some(None)`: no end in sight.
    fn wanted_until(&self, now: Instant) -> Option<Option<Instant>> {
        if !self.is_puppet() {
            return Some(None);
        }
        let wish = self.wish.lock();
        if wish.quit {
            return None;
        }
        let idle = self.network.config.irc_clients.idle_timeout;
        let until = wish.until.filter(|until| *until > now);
        if wish.channels.is_empty() {
            return until.map(Some);
        }
        if idle == 0 {
            return Some(None);
        }
        let idle_end = wish.active.map(|active| active + Duration::from_secs(idle.into()));
        idle_end.filter(|end| *end > now).max(until).map(Some)
    }

    /// The user did something: the connection is wanted, and not idle.
    pub(crate) fn touch(&self, display_name: Option<&str>) {
        let now = Instant::now();
        let linger = Duration::from_secs(self.network.config.irc_clients.linger_timeout.into());
        {
            let mut wish = self.wish.lock();
            if let Some(name) = display_name {
                wish.display_name = Some(name.to_owned());
            }
            wish.active = Some(now);
            wish.until = wish.until.max(Some(now + linger));
            wish.quit = false;
        }
        self.wished.notify_one();
    }

    /// The user wants no connection until he speaks again.
    pub(crate) fn quit(&self) {
        self.wish.lock().quit = true;
        self.wished.notify_one();
    }

    /// The name its user shows on Matrix, else the localpart.
    pub(crate) fn display_name(&self) -> String {
        let name = self.wish.lock().display_name.clone();
        name.or_else(|| self.user.as_ref().map(|user| user.localpart().to_owned())).unwrap_or_default()
    }

    /// Whether a folded nick is this connection's.
    pub(crate) fn is_me(&self, folded: &str) -> bool {
        self.link().is_some_and(|link| self.network.fold(&link.nick()) == folded)
    }

    /// Whether a target is a channel.
    pub(crate) fn is_channel(&self, target: &str) -> bool {
        self.network.state.lock().isupport.is_channel(target)
    }

    /// The channel of a target such as `@#channel`: only those of a rank are meant.
    pub(crate) fn status_target<'a>(&self, target: &'a str) -> Option<&'a str> {
        let isupport = self.network.state.lock().isupport.clone();
        let channel = target.trim_start_matches(|sign| isupport.mode_of_sign(sign).is_some());
        (channel.len() < target.len() && isupport.is_channel(channel)).then_some(channel)
    }

    /// What names this socket; unique for all time.
    pub(crate) fn identity(&self) -> String {
        self.link().map_or_else(|| "offline".to_owned(), |link| link.identity.clone())
    }

    /// A name for a line that the network gives none; unique for all time.
    pub(crate) fn next_line_id(&self) -> String {
        self.link().map_or_else(|| "offline".to_owned(), |link| link.next_line_id())
    }

    pub(crate) fn fail_rejected(&self, key: &TxnKey, text: &str) {
        if let Some(sink) = self.sink() {
            self.in_flight.lock().push_back(sink.fail(key, SendError::rejected(text)));
        }
    }

    /// Gives unconfirmed messages up: their lines were written, and nobody can tell whether they arrived.
    fn give_up(&self, keys: Vec<TxnKey>) {
        let Some(sink) = self.sink() else { return };
        for key in keys {
            let error =
                SendError::uncertain("the connection to IRC broke; this message may not have arrived");
            self.in_flight.lock().push_back(sink.fail(&key, error));
        }
    }

    /// Waits until few pushes are under way, so that a slow disk holds the network back and not the memory.
    async fn settle(&self, at_most: usize) {
        loop {
            let next = {
                let mut in_flight = self.in_flight.lock();
                if in_flight.len() <= at_most {
                    return;
                }
                in_flight.pop_front()
            };
            if let Some(next) = next
                && let Err(error) = next.await
            {
                tracing::warn!(login = %self.login, "a line from IRC was not accepted: {error}");
            }
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("login", &self.login).finish_non_exhaustive()
    }
}
