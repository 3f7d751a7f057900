//! Keeps a connection up for as long as it is wanted: connects, enters its channels, waits, connects again.

use std::sync::Arc;
use std::time::Duration;

use matrix_appservice::bridge::{LoginState, RemoteSink};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::super::gate::Backoff;
use super::super::ids;
use super::dial::{self, DialError, Session};
use super::{Connection, Link};

/// How many pushes may be on their way to the disk before the connection reads no further.
const IN_FLIGHT: usize = 512;
/// How long the network may take to take our leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a session ended.
#[derive(Debug)]
enum End {
    /// The framework closes the login, or the process stops.
    Stopped,
    /// Nobody needs the connection at the moment.
    Unwanted,
    /// The user asked for another one.
    Again,
    /// The network or the way to it.
    Lost(String),
}

impl Connection {
    /// Begins to connect.
    pub(crate) async fn start(self: &Arc<Self>, sink: RemoteSink) {
        *self.sink.lock() = Some(sink);
        let stop = self.network.cx.shutdown().child_token();
        *self.stop.lock() = stop.clone();
        if !self.is_puppet() {
            self.take_up_channels().await;
        }
        let driver = Arc::clone(self);
        self.network.cx.tasks().spawn(async move { driver.drive(stop).await });
    }

    /// Ends the connection and waits until that is done.
    pub(crate) async fn stop(&self) {
        self.stop.lock().cancel();
        let mut link = self.link.subscribe();
        let _ = tokio::time::timeout(FAREWELL, link.wait_for(Option::is_none)).await;
        self.settle(0).await;
    }

    /// Ends the socket in use; the driver makes another.
    pub(crate) fn reconnect(&self) {
        if let Some(link) = self.link() {
            link.close.cancel();
        }
    }

    /// The bridge's own connection is in all channels that have a room, and in those of the configuration.
    async fn take_up_channels(&self) {
        let network = &self.network;
        for portal in network.cx.portals_of(&self.login).await {
            let Some((server, folded)) = ids::of_portal(&portal.id) else { continue };
            if server != network.server || portal.receiver.is_some() {
                continue;
            }
            network.state.lock().channels.entry(folded, folded).live = true;
            self.want(folded, &network.channel_name(folded));
        }
        for name in network.config.mappings.keys() {
            let folded = network.fold(name);
            network.state.lock().channels.entry(&folded, name);
            self.want(&folded, name);
        }
    }

    async fn drive(self: Arc<Self>, stop: CancellationToken) {
        let limit = Duration::from_millis(self.network.config.irc_clients.reconnect_interval_ms.into());
        let mut backoff = Backoff::new(limit);
        loop {
            while !self.is_wanted() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.wished.notified() => {}
                }
            }
            self.state(LoginState::Connecting);
            let dialled = tokio::select! {
                () = stop.cancelled() => return,
                dialled = self.dial() => dialled,
            };
            let reason = match dialled {
                Ok(session) => match self.serve(session, &stop, &mut backoff).await {
                    End::Stopped => return,
                    End::Unwanted | End::Again => continue,
                    End::Lost(reason) => reason,
                },
                Err(error) => {
                    self.report(&error);
                    error.to_string()
                }
            };
            let pause = backoff.pause(rand::random());
            info!(login = %self.login, network = %self.network.server, "not connected ({reason}); trying again in {pause:?}");
            self.state(LoginState::Disconnected { reason });
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    async fn dial(&self) -> Result<Session, DialError> {
        self.network.gate.admit().await;
        dial::dial(self).await
    }

    fn report(&self, error: &DialError) {
        warn!(login = %self.login, network = %self.network.server, "cannot connect: {error}");
    }

    /// The network let us in, but not into the account.
    fn report_account(&self, reason: &str) {
        warn!(login = %self.login, network = %self.network.server, "the account was refused: {reason}");
        let Some(user) = self.user.clone() else { return };
        let network = self.network.clone();
        let text = format!(
            "{} refused your account ({reason}). You are connected without it; `storepass` stores another password.",
            network.server
        );
        self.network.cx.tasks().spawn(async move { network.cx.tell(&user, &text).await });
    }

    /// Lives on a socket until it ends.
    async fn serve(&self, session: Session, stop: &CancellationToken, backoff: &mut Backoff) -> End {
        let Session { link, mut lines, isupport, sasl_failure } = session;
        if let Some(reason) = sasl_failure {
            self.report_account(&reason);
        }
        let link = Arc::new(link);
        self.arrive(&link, isupport).await;
        backoff.reset();
        let end = loop {
            let until = self.wanted_until(Instant::now());
            let expired = async {
                match until {
                    Some(Some(until)) => sleep_until(until).await,
                    Some(None) => std::future::pending().await,
                    None => {}
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break End::Stopped,
                () = link.close.cancelled() => break End::Again,
                line = lines.next() => match line {
                    Ok(Some(seen)) => {
                        self.line(&seen);
                        self.settle(IN_FLIGHT).await;
                    }
                    Ok(None) => {}
                    Err(reason) => break End::Lost(reason),
                },
                () = self.wished.notified() => {}
                () = expired => break End::Unwanted,
            }
        };
        if !matches!(end, End::Lost(_)) {
            self.say_farewell(&link, &mut lines).await;
        }
        self.depart(&link).await;
        end
    }

    /// The network let us in.
    async fn arrive(&self, link: &Arc<Link>, isupport: crate::irc::isupport::Isupport) {
        let nick = link.nick();
        info!(login = %self.login, network = %self.network.server, %nick, "connected");
        let stored = {
            let mut state = self.network.state.lock();
            let changed = *state.isupport != isupport;
            state.isupport = Arc::new(isupport);
            let folded = state.fold(&nick);
            state.own.claim(&folded, &self.login);
            changed.then(|| state.isupport.to_string())
        };
        if let Some(stored) = stored {
            let key = super::super::isupport_key(&self.network.server);
            if let Err(error) = self.network.cx.put(&key, Some(stored.into())).await {
                warn!("cannot store what the network says of itself: {error}");
            }
        }
        self.joins.lock().clear();
        self.link.send_replace(Some(Arc::clone(link)));
        self.state(LoginState::Connected);
        let config = &self.network.config;
        let modes = if self.is_puppet() { &config.irc_clients.user_modes } else { &config.bot.user_modes };
        if !modes.is_empty() {
            link.send_later(&["MODE", &nick, modes]);
        }
        for (folded, name) in self.wanted_channels() {
            self.ask(&folded, &name);
        }
    }

    /// Leaves in an orderly way: what is confirmed meanwhile counts.
    async fn say_farewell(&self, link: &Link, lines: &mut dial::Lines) {
        link.send_later(&["QUIT", &self.network.config.irc_clients.quit_message]);
        let farewell = async {
            while let Ok(seen) = lines.next().await {
                if let Some(seen) = seen {
                    self.line(&seen);
                }
            }
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            debug!(login = %self.login, "the network does not take our leave");
        }
    }

    /// The socket is gone.
    async fn depart(&self, link: &Link) {
        self.link.send_replace(None);
        self.joins.lock().clear();
        let channels = {
            let mut state = self.network.state.lock();
            let folded = state.fold(&link.nick());
            state.own.close(&folded, &self.login, std::time::Instant::now());
            state.channels.of_login(&self.login)
        };
        for folded in channels {
            let handover = {
                let mut state = self.network.state.lock();
                state.channels.get_mut(&folded).map(|channel| channel.left(&self.login))
            };
            if let Some(handover) = handover {
                self.hand_over(&folded, handover);
            }
        }
        let unconfirmed = self.pending.lock().lost();
        self.give_up(unconfirmed);
        self.settle(0).await;
    }

    /// The network gave this connection another nick.
    pub(crate) fn renamed(&self, nick: &str) {
        if let Some(link) = self.link() {
            link.set_nick(nick);
        }
    }
}
