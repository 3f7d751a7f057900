//! Connecting: from the configuration to a socket on which the network let us in.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ruma::{MilliSecondsSinceUnixEpoch, UInt};
use tokio::time::{Instant, timeout, timeout_at};

use super::super::seen::Seen;
use super::{Connection, Link};
use crate::config::ServerConfig;
use crate::irc::connection::{self, ConnectError, Pace, Target};
use crate::irc::isupport::Isupport;
use crate::irc::message::{Message, Source};
use crate::irc::registration::{Identity, Refusal, Registration, Step, Welcome};
use crate::mapping::{self, NickTemplate};

pub(super) use crate::irc::connection::Writer;

/// How long the network may take to let us in.
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
    /// It refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It closed the connection without a word, or said nothing for too long.
    #[error("the network {0}")]
    Silent(&'static str),
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
        let target = Target { host: host.to_owned(), port: config.port(), tls: tls.clone(), pace };
        match connection::connect(&target).await {
            Ok((lines, writer)) => return be_let_in(connection, lines, writer).await,
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or(DialError::Silent("has no host"), DialError::Connect))
}

async fn be_let_in(
    connection: &Connection,
    mut lines: connection::Lines,
    writer: Writer,
) -> Result<Session, DialError> {
    let welcome = converse(identity(connection), &mut lines, &writer).await?;
    let Welcome { nick, capabilities, isupport, sasl_failure } = welcome;
    let clients = &connection.network.config.irc_clients;
    let lines = Lines {
        lines,
        writer: writer.clone(),
        ping_rate: Duration::from_millis(clients.ping_rate_ms.max(1000).into()),
        ping_timeout: Duration::from_millis(clients.ping_timeout_ms.max(1000).into()),
        heard: Instant::now(),
        asked: false,
    };
    let link = Link::new(nick, capabilities, isupport.line_length(), writer);
    Ok(Session { link, lines, isupport, sasl_failure })
}

/// The conversation until the welcome.
async fn converse(
    identity: Identity,
    lines: &mut connection::Lines,
    writer: &Writer,
) -> Result<Welcome, DialError> {
    let (mut registration, first) = Registration::begin(identity);
    for line in first {
        writer.urgent(line.into_bytes());
    }
    let conversation = async {
        loop {
            let Ok(Some(line)) = lines.next().await else {
                return Err(DialError::Silent("closed the connection without a word"));
            };
            let Some(message) = Message::parse(&line) else { continue };
            match registration.line(&message) {
                Step::Go(answers) => answers.into_iter().for_each(|line| writer.urgent(line.into_bytes())),
                Step::Done(welcome) => return Ok(*welcome),
                Step::Refused(refusal) => return Err(refusal.into()),
            }
        }
    };
    timeout(PATIENCE, conversation)
        .await
        .unwrap_or(Err(DialError::Silent("does not let us in, and does not say why")))
}

/// Connects to a network as the bridge does, and leaves again. Gives what it says of itself.
///
/// # Errors
///
/// Why it does not work, in words for the operator.
pub(crate) async fn probe(domain: &str, config: &ServerConfig) -> Result<String, String> {
    let said = |error: DialError| error.to_string();
    let ca = config.ca.as_deref().map(Path::new);
    let tls = match config.ssl {
        true => {
            Some(connection::client_config(ca, config.ssl_self_signed).map_err(|error| error.to_string())?)
        }
        false => None,
    };
    let mut last = String::from("there is no host");
    for host in config.hosts(domain) {
        let target =
            Target { host: host.to_owned(), port: config.port(), tls: tls.clone(), pace: Pace::default() };
        match connection::connect(&target).await {
            Ok((mut lines, writer)) => {
                let welcome = converse(bot_identity(config), &mut lines, &writer).await.map_err(said)?;
                writer.queue(b"QUIT :checked".to_vec());
                let account = match welcome.sasl_failure {
                    Some(reason) => return Err(format!("the account of botConfig was refused ({reason})")),
                    None if config.bot.password.is_some() => ", with its account",
                    None => "",
                };
                return Ok(format!("lets the bridge in as {}{account}", welcome.nick));
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
        nick: bot.nick.clone(),
        user: bot.username.clone(),
        realname: bot.realname.clone(),
        password: config.password.as_ref().map(|password| password.expose().to_owned()),
        account: bot.password.as_ref().map(|password| (account, password.expose().to_owned())),
    }
}

/// Who wants to be let in.
fn identity(connection: &Connection) -> Identity {
    let config = &connection.network.config;
    let password = config.password.as_ref().map(|password| password.expose().to_owned());
    let Some(user) = &connection.user else { return bot_identity(config) };
    let settings = connection.settings.lock().clone();
    let nick = settings.nick.unwrap_or_else(|| {
        let template = NickTemplate::new(&config.irc_clients.nick_template);
        template.wish(user.as_str(), Some(&connection.display_name())).candidate(0, None)
    });
    let account = settings.password.filter(|_| config.sasl).map(|password| {
        let name = settings.username.unwrap_or_else(|| nick.clone());
        (name, password.0)
    });
    let realname = match config.irc_clients.realname_format.as_str() {
        "reverse-mxid" => format!("{}:{}", user.server_name(), user.localpart()),
        _ => user.to_string(),
    };
    Identity { nick, user: mapping::user_name(user.localpart()), realname, password, account }
}

/// The lines of a session. Answers `PING`, and asks whether the network is still there when it is silent.
#[derive(Debug)]
pub(super) struct Lines {
    lines: connection::Lines,
    writer: Writer,
    ping_rate: Duration,
    ping_timeout: Duration,
    heard: Instant,
    asked: bool,
}

impl Lines {
    /// The next line; `None` if there was none to be told of. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the connection is lost, and why.
    pub(super) async fn next(&mut self) -> Result<Option<Seen>, String> {
        let patience = if self.asked { self.ping_timeout } else { self.ping_rate };
        let Ok(read) = timeout_at(self.heard + patience, self.lines.next()).await else {
            if self.asked {
                return Err("the network does not answer any more".to_owned());
            }
            self.writer.urgent(b"PING :keepalive".to_vec());
            self.asked = true;
            return Ok(None);
        };
        self.heard = Instant::now();
        self.asked = false;
        let line = match read {
            Ok(Some(line)) => line,
            Ok(None) => return Err("the network closed the connection".to_owned()),
            Err(error) => return Err(format!("the connection broke: {error}")),
        };
        let Some(message) = Message::parse(&line) else { return Ok(None) };
        match &*message.command {
            "PING" => {
                let token = message.params.last().map_or(&b""[..], |token| token);
                self.writer.urgent([b"PONG :", token].concat());
                Ok(None)
            }
            "ERROR" => Err(message.last().into_owned()),
            _ => Ok(Some(seen(message))),
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
