//! Connecting: from the configuration to a socket on which the network let us in.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ruma::{MilliSecondsSinceUnixEpoch, UInt};

use super::super::seen::Seen;
use super::{Connection, Link};
use crate::config::ServerConfig;
use crate::irc::connection::{self, ConnectError, Keepalive, OpenError, Pace, Stream, Target};
use crate::irc::isupport::Isupport;
use crate::irc::message::{Line, Message, Source};
use crate::irc::sasl::Credentials;
use crate::irc::session::Identity;
use crate::mapping::{self, NickTemplate, WishedNick};

pub(super) use crate::irc::connection::Writer;

/// How long a network that is only looked at may be silent.
const PATIENCE: Duration = Duration::from_secs(60);

/// A socket on which the network let us in.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) link: Link,
    pub(super) lines: Lines,
    pub(super) isupport: Isupport,
    /// Why the account was refused, if it was.
    pub(super) sasl_failure: Option<String>,
}

/// Why the network did not let us in.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// It cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// TLS cannot be spoken at all.
    #[error(transparent)]
    Tls(#[from] connection::TlsError),
    /// It did not let us in.
    #[error(transparent)]
    Refused(#[from] OpenError),
    /// There is nowhere to connect to.
    #[error("the network has no host")]
    Nowhere,
}

/// Connects to the first of the network's hosts that answers, and is let in.
pub(super) async fn dial(connection: &Connection) -> Result<Session, DialError> {
    let network = &connection.network;
    let config = &network.config;
    let tls = if config.ssl { Some(network.tls()?) } else { None };
    // The bridge's own connection speaks for all: it enters many channels, and answers for many people.
    let (times, delay) =
        if connection.is_puppet() { (1, config.irc_clients.flood_delay_ms) } else { (4, 250) };
    let burst = config.irc_clients.flood_burst.saturating_mul(times);
    let pace = Pace { burst, delay: Duration::from_millis(delay.into()) };
    let mut last = None;
    for host in config.hosts(&network.server) {
        let target =
            Target { host: host.to_owned(), port: config.port(), tls: tls.clone(), pace, source: None };
        match connection::connect(&target).await {
            Ok((lines, writer)) => return be_let_in(connection, lines, writer).await,
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or(DialError::Nowhere, DialError::Connect))
}

async fn be_let_in(
    connection: &Connection,
    lines: connection::Lines,
    writer: Writer,
) -> Result<Session, DialError> {
    let clients = &connection.network.config.irc_clients;
    let keepalive = Keepalive {
        ask_after: Duration::from_millis(clients.ping_rate_ms.max(1000).into()),
        patience: Duration::from_millis(clients.ping_timeout_ms.max(1000).into()),
    };
    let stream = Stream::open(identity(connection), lines, writer.clone(), keepalive).await?;
    let session = stream.session();
    let link = Link::new(session.nick().to_owned(), stream.known(), writer);
    let isupport = session.isupport().clone();
    let sasl_failure = session.login_failure().map(str::to_owned);
    Ok(Session { link, lines: Lines { stream }, isupport, sasl_failure })
}

/// Connects to a network as the bridge does, and leaves again. Gives what it says of itself.
///
/// # Errors
///
/// Why it does not work, in words for the operator.
pub(crate) async fn probe(domain: &str, config: &ServerConfig) -> Result<String, String> {
    let ca = config.ca.as_deref().map(Path::new);
    let tls = if config.ssl {
        Some(connection::client_config(ca, config.ssl_self_signed).map_err(|error| error.to_string())?)
    } else {
        None
    };
    let mut last = String::from("there is no host");
    for host in config.hosts(domain) {
        let target = Target {
            host: host.to_owned(),
            port: config.port(),
            tls: tls.clone(),
            pace: Pace::default(),
            source: None,
        };
        match connection::connect(&target).await {
            Ok((lines, writer)) => {
                let keepalive = Keepalive { ask_after: PATIENCE, patience: PATIENCE };
                let opened = Stream::open(bot_identity(config), lines, writer.clone(), keepalive).await;
                let stream = opened.map_err(|error| error.to_string())?;
                writer.queue(Line::new("QUIT").trailing("checked"));
                let session = stream.session();
                let account = match session.login_failure() {
                    Some(reason) => return Err(format!("the account of botConfig was refused ({reason})")),
                    None if config.bot.password.is_some() => ", with its account",
                    None => "",
                };
                return Ok(format!("lets the bridge in as {}{account}", session.nick()));
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

fn bot_identity(config: &ServerConfig) -> Identity {
    let bot = &config.bot;
    let account = bot.account.clone().unwrap_or_else(|| bot.nick.clone());
    Identity {
        nick: WishedNick::exactly(&bot.nick),
        nick_length: None,
        user: bot.username.clone(),
        realname: bot.realname.clone(),
        password: config.password.as_ref().map(|password| password.expose().to_owned()),
        account: bot
            .password
            .as_ref()
            .map(|password| Credentials::Password { account, password: password.expose().to_owned() }),
        account_required: false,
    }
}

/// Who wants to be let in.
fn identity(connection: &Connection) -> Identity {
    let config = &connection.network.config;
    let password = config.password.as_ref().map(|password| password.expose().to_owned());
    let Some(user) = &connection.user else { return bot_identity(config) };
    let settings = connection.settings.lock().clone();
    let nick = match &settings.nick {
        Some(nick) => WishedNick::exactly(nick),
        None => NickTemplate::new(&config.irc_clients.nick_template)
            .wish(user.as_str(), Some(&connection.display_name())),
    };
    let nick_length = connection.network.state.lock().isupport.nick_length();
    let account = settings.password.filter(|_| config.sasl).map(|password| {
        let account = settings.username.unwrap_or_else(|| nick.candidate(0, nick_length));
        Credentials::Password { account, password: password.0 }
    });
    let realname = match config.irc_clients.realname_format.as_str() {
        "reverse-mxid" => format!("{}:{}", user.server_name(), user.localpart()),
        _ => user.to_string(),
    };
    let user = mapping::user_name(user.localpart());
    Identity { nick, nick_length, user, realname, password, account, account_required: false }
}

/// The lines of a session.
#[derive(Debug)]
pub(super) struct Lines {
    stream: Stream,
}

impl Lines {
    /// The next line; `None` if there was none to be told of. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the connection is lost, and why.
    pub(super) async fn next(&mut self) -> Result<Option<Seen>, String> {
        match self.stream.next().await {
            Ok(message) => Ok(message.map(seen)),
            Err(lost) => Err(lost.to_string()),
        }
    }
}

fn seen(message: Message) -> Seen {
    let text = |name: &str| message.tags.get(name).map(str::to_owned);
    let (label, msgid, typing) = (text("label"), text("msgid"), text("+typing"));
    let time = message.tags.time().and_then(UInt::new).map(MilliSecondsSinceUnixEpoch);
    Seen {
        nick: message.nick().to_owned(),
        userhost: message.source.as_ref().and_then(Source::userhost),
        command: message.command.into(),
        params: message.params,
        label,
        msgid,
        typing,
        time,
    }
}

impl super::super::network::IrcNetwork {
    /// How to speak TLS here; made once.
    fn tls(&self) -> Result<Arc<rustls::ClientConfig>, connection::TlsError> {
        let mut made = self.tls.lock();
        if let Some(config) = &*made {
            return Ok(Arc::clone(config));
        }
        let config =
            connection::client_config(self.config.ca.as_deref().map(Path::new), self.config.ssl_self_signed)?;
        *made = Some(Arc::clone(&config));
        Ok(config)
    }
}
