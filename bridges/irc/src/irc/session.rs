//! What one connection knows of itself, from the first line to the last, without a socket: being let in, the own
//! nick and host, what the server supports, capabilities, the account.
//!
//! Lines go in ([`Session::receive`]); out come lines to send, and what happened. Who else is in which channel is no
//! concern of a session: a thousand connections to one network would know it a thousand times.

use std::collections::BTreeSet;
use std::fmt;

use super::cap::Negotiation;
use super::isupport::Isupport;
use super::message::{BadParameter, Line, Message};
use super::numeric::Numeric;
use super::sasl::{Credentials, Sasl};
use crate::mapping::WishedNick;

#[cfg(test)]
mod tests;

/// The capabilities that the bridge makes use of.
const WANTED: [&str; 10] = [
    "account-tag",
    "batch",
    "chghost",
    "echo-message",
    "extended-join",
    "labeled-response",
    "message-tags",
    "multi-prefix",
    "server-time",
    "userhost-in-names",
];

/// How often another nick is tried.
const MOST_NICKS: usize = 20;
/// Lengths to try when a nick is refused and the network did not say how long it may be.
const SHORTER: [usize; 4] = [30, 20, 15, 9];

/// Who wants to be let in. Shows no password in `Debug`.
#[derive(Clone)]
pub struct Identity {
    /// The wanted nick.
    pub nick: WishedNick,
    /// The longest nick, if it is known from an earlier connection.
    pub nick_length: Option<usize>,
    /// The user name.
    pub user: String,
    /// The real name.
    pub realname: String,
    /// The server's password.
    pub password: Option<String>,
    /// The account, and what proves that it is ours.
    pub account: Option<Credentials>,
    /// Whether to stay out rather than be in without the account.
    pub account_required: bool,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("nick", &self.nick)
            .field("user", &self.user)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// What follows from a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reaction {
    /// Lines to send at once.
    pub send: Vec<Line>,
    /// What happened.
    pub event: Option<Event>,
    /// Whether the line was only between the server and the session: `PING`, `CAP`, `AUTHENTICATE`, and whatever
    /// comes before the session is let in.
    pub internal: bool,
}

/// What happened to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The network let it in, and said all it says at the beginning.
    Welcomed,
    /// The network did not let it in.
    Refused(Refusal),
    /// It has another nick. The line itself follows its way.
    Renamed,
    /// The network supports something else than before.
    Features,
    /// It is logged in to this account.
    LoggedIn(String),
    /// It is not logged in, or no more; with what the network says, if it says something.
    LoggedOut(Option<String>),
    /// The network ends the connection.
    Closing(String),
}

/// Why a network does not let a client in. Which it is follows from when it is said and by which numeric, never from
/// the words: they are different on every network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The server's password is wrong, or the client is banned: nothing will change by itself.
    #[error("the network does not let this client in: {0}")]
    Barred(String),
    /// The account was refused, and nobody wants to be in without it.
    #[error("the network refused the account: {0}")]
    Account(String),
    /// Anything else: it may work later.
    #[error("the network closed the connection: {0}")]
    Closed(String),
    /// All nicks that were tried are taken.
    #[error("no nick is free")]
    Nick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before 001.
    Registering,
    /// After it, before the end of the message of the day.
    Greeting,
    /// In.
    In,
    Refused,
}

/// One connection's knowledge of itself.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    phase: Phase,
    cap: Negotiation,
    /// Whether `CAP END` was sent.
    cap_ended: bool,
    sasl: Option<Sasl>,
    login_failure: Option<String>,
    account: Option<String>,
    nick: String,
    userhost: Option<String>,
    isupport: Isupport,
    search: NickSearch,
}

impl Session {
    /// Begins; the lines to send first.
    ///
    /// # Errors
    /// If the user name cannot be one.
    pub fn begin(identity: Identity) -> Result<(Self, Vec<Line>), BadParameter> {
        let mut wanted = WANTED.to_vec();
        wanted.extend(identity.account.is_some().then_some("sasl"));
        let search = NickSearch::new(identity.nick_length);
        let nick = search.candidate(&identity.nick);
        let mut lines = vec![Negotiation::begin()];
        lines.extend(identity.password.as_ref().map(|password| Line::new("PASS").trailing(password)));
        lines.push(nick_line(&nick));
        let user = Line::new("USER").middle(&identity.user)?.middle("0")?.middle("*")?;
        lines.push(user.trailing(&identity.realname));
        let session = Self {
            phase: Phase::Registering,
            cap: Negotiation::new(wanted),
            cap_ended: false,
            sasl: None,
            login_failure: None,
            account: None,
            nick,
            userhost: None,
            isupport: Isupport::default(),
            search,
            identity,
        };
        Ok((session, lines))
    }

    /// The own nick, as the server last said it.
    pub fn nick(&self) -> &str {
        &self.nick
    }

    /// The own `user@host` as others see it, once that is known.
    pub fn userhost(&self) -> Option<&str> {
        self.userhost.as_deref()
    }

    /// What the server supports.
    pub fn isupport(&self) -> &Isupport {
        &self.isupport
    }

    /// Whether a capability is there.
    pub fn has(&self, capability: &str) -> bool {
        self.cap.has(capability)
    }

    /// The capabilities that are there.
    pub fn capabilities(&self) -> &BTreeSet<String> {
        self.cap.held()
    }

    /// The account that the session is logged in to.
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// Why the account was refused, if it was.
    pub fn login_failure(&self) -> Option<&str> {
        self.login_failure.as_deref()
    }

    /// Takes in a line.
    pub fn receive(&mut self, message: &Message) -> Reaction {
        let registering = matches!(self.phase, Phase::Registering | Phase::Refused);
        let mut reaction = match &*message.command {
            "PING" => Reaction { internal: true, ..send([Line::new("PONG").trailing(message.bytes_last())]) },
            "CAP" => Reaction { internal: true, ..self.negotiate(message) },
            "AUTHENTICATE" => {
                let answer = self.sasl.as_mut().map(|sasl| sasl.receive(&message.text(0)));
                Reaction { internal: true, ..send(answer.unwrap_or_default()) }
            }
            "ERROR" => self.closing(message),
            "NICK" if self.is_own(message) => {
                self.nick = message.text(0).into_owned();
                event(Event::Renamed)
            }
            "JOIN" if self.is_own(message) => {
                self.learn_userhost(message.source.as_ref().and_then(super::message::Source::userhost));
                Reaction::default()
            }
            "CHGHOST" if self.is_own(message) => {
                self.learn_userhost(Some(format!("{}@{}", message.text(0), message.text(1))));
                Reaction::default()
            }
            _ => message.numeric().map_or_else(Reaction::default, |numeric| self.numeric(numeric, message)),
        };
        reaction.internal |= registering;
        reaction
    }

    fn numeric(&mut self, numeric: Numeric, message: &Message) -> Reaction {
        match numeric {
            Numeric::RPL_WELCOME if self.phase == Phase::Registering => {
                // The first word is the nick that the server gave, whatever was asked for.
                self.nick = message.text(0).into_owned();
                self.phase = Phase::Greeting;
                Reaction::default()
            }
            Numeric::RPL_ISUPPORT => {
                self.isupport.receive(message);
                if self.phase == Phase::In { event(Event::Features) } else { Reaction::default() }
            }
            Numeric::RPL_ENDOFMOTD | Numeric::ERR_NOMOTD if self.phase == Phase::Greeting => {
                self.phase = Phase::In;
                event(Event::Welcomed)
            }
            Numeric::RPL_HOSTHIDDEN => {
                self.hidden(&message.text(1));
                Reaction::default()
            }
            Numeric::RPL_LOGGEDIN => {
                let account = message.text(2).into_owned();
                self.account = Some(account.clone());
                event(Event::LoggedIn(account))
            }
            Numeric::RPL_LOGGEDOUT => {
                self.account = None;
                event(Event::LoggedOut(None))
            }
            Numeric::RPL_SASLSUCCESS | Numeric::ERR_SASLALREADY => {
                self.sasl = None;
                self.login_failure = None;
                self.end_negotiation()
            }
            Numeric::RPL_SASLMECHS => {
                if let Some(sasl) = &mut self.sasl {
                    sasl.restrict(&message.text(1));
                }
                Reaction::default()
            }
            Numeric::ERR_NICKLOCKED
            | Numeric::ERR_SASLFAIL
            | Numeric::ERR_SASLTOOLONG
            | Numeric::ERR_SASLABORTED => self.login_failed(numeric, &message.last()),
            _ if self.phase == Phase::Registering => self.before_welcome(numeric, message),
            _ => Reaction::default(),
        }
    }

    fn before_welcome(&mut self, numeric: Numeric, message: &Message) -> Reaction {
        match numeric {
            Numeric::ERR_ERRONEUSNICKNAME
            | Numeric::ERR_NICKNAMEINUSE
            | Numeric::ERR_NICKCOLLISION
            | Numeric::ERR_UNAVAILRESOURCE => {
                if !self.search.next(numeric, &self.nick) {
                    return self.refuse(Refusal::Nick);
                }
                self.nick = self.search.candidate(&self.identity.nick);
                send([nick_line(&self.nick)])
            }
            Numeric::ERR_NOPERMFORHOST
            | Numeric::ERR_PASSWDMISMATCH
            | Numeric::ERR_YOUREBANNEDCREEP
            | Numeric::ERR_YOUWILLBEBANNED => self.refuse(Refusal::Barred(message.last().into_owned())),
            _ => Reaction::default(),
        }
    }

    fn negotiate(&mut self, message: &Message) -> Reaction {
        let progress = self.cap.receive(message);
        let mut reaction = send(progress.send);
        if progress.lost.iter().any(|name| name == "sasl") {
            // The services are gone, and the account with them as a rule; `CAP NEW` tells when they are back.
            self.sasl = None;
        }
        let offered = progress.gained.iter().any(|name| name == "sasl");
        if offered && let Some(line) = self.log_in() {
            reaction.send.push(line);
        }
        if self.cap.is_settled() && self.sasl.is_none() {
            let ended = self.end_negotiation();
            reaction.send.extend(ended.send);
            reaction.event = reaction.event.or(ended.event);
        }
        reaction
    }

    fn log_in(&mut self) -> Option<Line> {
        if self.sasl.is_some() || self.account.is_some() {
            return None;
        }
        let credentials = self.identity.account.clone()?;
        let mut sasl = Sasl::new(credentials, self.cap.value("sasl").unwrap_or_default());
        let first = sasl.begin();
        match first {
            Some(_) => self.sasl = Some(sasl),
            None => self.login_failure = Some("it offers no way to log in that the bridge knows".to_owned()),
        }
        first
    }

    fn login_failed(&mut self, numeric: Numeric, text: &str) -> Reaction {
        // A mechanism that the server does not have after all is no verdict on the password, and one that was
        // given up by us is none either.
        if let Some(next) =
            self.sasl.as_mut().and_then(Sasl::begin).filter(|_| numeric != Numeric::ERR_NICKLOCKED)
        {
            return send([next]);
        }
        self.sasl = None;
        self.login_failure = Some(text.to_owned());
        let ended = self.end_negotiation();
        if ended.event.is_some() {
            ended
        } else {
            Reaction { event: Some(Event::LoggedOut(Some(text.to_owned()))), ..ended }
        }
    }

    /// Nothing holds up being let in any more.
    fn end_negotiation(&mut self) -> Reaction {
        if self.cap_ended || self.phase != Phase::Registering {
            return Reaction::default();
        }
        if self.identity.account_required && self.identity.account.is_some() && self.account.is_none() {
            let reason = self.login_failure.clone().unwrap_or_else(|| "it offers no accounts now".to_owned());
            return self.refuse(Refusal::Account(reason));
        }
        self.cap_ended = true;
        match Line::new("CAP").middle("END") {
            Ok(line) => send([line.end()]),
            Err(_) => Reaction::default(),
        }
    }

    fn closing(&mut self, message: &Message) -> Reaction {
        let text = message.last().into_owned();
        match self.phase {
            Phase::Registering => self.refuse(Refusal::Closed(text)),
            _ => event(Event::Closing(text)),
        }
    }

    fn refuse(&mut self, refusal: Refusal) -> Reaction {
        self.phase = Phase::Refused;
        event(Event::Refused(refusal))
    }

    fn is_own(&self, message: &Message) -> bool {
        self.isupport.casemapping().same(message.nick(), &self.nick)
    }

    fn learn_userhost(&mut self, userhost: Option<String>) {
        self.userhost = userhost.or_else(|| self.userhost.take());
    }

    /// 396 has the host, or `user@host`.
    fn hidden(&mut self, host: &str) {
        let user = self.userhost.as_deref().and_then(|known| known.split_once('@')).map(|(user, _)| user);
        self.userhost = match (host.contains('@'), user) {
            (true, _) => Some(host.to_owned()),
            (false, Some(user)) => Some(format!("{user}@{host}")),
            (false, None) => None,
        };
    }
}

fn send(lines: impl IntoIterator<Item = Line>) -> Reaction {
    Reaction { send: lines.into_iter().collect(), ..Reaction::default() }
}

fn event(event: Event) -> Reaction {
    Reaction { event: Some(event), ..Reaction::default() }
}

fn nick_line(nick: &str) -> Line {
    // Always with a colon: nothing that a nick could be makes another line of it.
    Line::new("NICK").trailing(nick)
}

/// The search for a nick that is free and allowed.
#[derive(Debug)]
struct NickSearch {
    length: Option<usize>,
    /// How many candidates were taken.
    taken: usize,
    tries: usize,
    /// Nothing of the wish is allowed.
    hopeless: bool,
}

impl NickSearch {
    fn new(length: Option<usize>) -> Self {
        Self { length, taken: 0, tries: 0, hopeless: false }
    }

    fn candidate(&self, wish: &WishedNick) -> String {
        if self.hopeless {
            return WishedNick::exactly("guest").candidate(self.taken, self.length);
        }
        wish.candidate(self.taken, self.length)
    }

    /// The last candidate was refused. `false` if it is time to give up.
    fn next(&mut self, numeric: Numeric, last: &str) -> bool {
        self.tries += 1;
        if numeric != Numeric::ERR_ERRONEUSNICKNAME {
            self.taken += 1;
        } else if let Some(shorter) = SHORTER.into_iter().find(|shorter| *shorter < last.len()) {
            self.length = Some(shorter);
        } else if self.hopeless {
            return false;
        } else {
            self.hopeless = true;
        }
        self.tries < MOST_NICKS
    }
}
