//! How a network lets a client in: capabilities, account, nick, welcome. A state machine without a socket.
//!
//! The client asks for the capabilities that are offered and wanted, logs in with SASL PLAIN if it has a password,
//! and tries other nicks when the wanted one is taken. Networks from before capabilities ignore the first lines.

use std::collections::HashSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::isupport::Isupport;
use super::message::Message;

/// The capabilities that the bridge makes use of.
const WANTED: [&str; 11] = [
    "account-tag",
    "batch",
    "chghost",
    "echo-message",
    "extended-join",
    "labeled-response",
    "message-tags",
    "multi-prefix",
    "sasl",
    "server-time",
    "userhost-in-names",
];

/// How often another nick is tried.
const MOST_NICKS: u32 = 20;

/// Who wants to be let in.
#[derive(Clone)]
pub struct Identity {
    /// The wanted nick.
    pub nick: String,
    /// The user name.
    pub user: String,
    /// The real name.
    pub realname: String,
    /// The server's password.
    pub password: Option<String>,
    /// Account and password for SASL.
    pub account: Option<(String, String)>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("nick", &self.nick).field("user", &self.user).finish_non_exhaustive()
    }
}

/// The conversation until the welcome.
#[derive(Debug)]
pub struct Registration {
    identity: Identity,
    offered: HashSet<String>,
    held: HashSet<String>,
    /// Capabilities to be asked for one by one, after asking for all was refused.
    single: Vec<String>,
    nicks: NickSearch,
    nick: String,
    welcomed: bool,
    isupport: Isupport,
    /// What the network said when the account was refused.
    sasl_failure: Option<String>,
}

/// What to do after a line.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send these lines, none perhaps, and wait for the next.
    Go(Vec<String>),
    /// The network let the client in.
    Done(Box<Welcome>),
    /// It did not, and why.
    Refused(Refusal),
}

/// What is known after the welcome.
#[derive(Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The nick that the network gave.
    pub nick: String,
    /// The capabilities that it granted.
    pub capabilities: HashSet<String>,
    /// What it said of itself.
    pub isupport: Isupport,
    /// Why the account was refused, if it was; the client is in all the same.
    pub sasl_failure: Option<String>,
}

/// Why a network does not let a client in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The server's password is wrong, or the client is banned: trying again is of no use.
    #[error("the network does not let this client in: {0}")]
    Barred(String),
    /// Anything else: it may work later.
    #[error("the network closed the connection: {0}")]
    Closed(String),
}

impl Registration {
    /// Begins; the lines to send first.
    pub fn begin(identity: Identity) -> (Self, Vec<String>) {
        let mut lines = vec!["CAP LS 302".to_owned()];
        lines.extend(identity.password.as_ref().map(|password| format!("PASS :{}", clean(password))));
        lines.push(format!("NICK {}", identity.nick));
        lines.push(format!("USER {} 0 * :{}", identity.user, clean(&identity.realname)));
        let registration = Self {
            offered: HashSet::new(),
            held: HashSet::new(),
            single: Vec::new(),
            nicks: NickSearch::new(&identity.nick),
            nick: identity.nick.clone(),
            welcomed: false,
            isupport: Isupport::default(),
            sasl_failure: None,
            identity,
        };
        (registration, lines)
    }

    /// Takes in a line.
    pub fn line(&mut self, message: &Message) -> Step {
        match &*message.command {
            "PING" => Step::Go(vec![format!("PONG :{}", clean(&message.last()))]),
            "CAP" => Step::Go(self.cap(message)),
            "AUTHENTICATE" => Step::Go(self.authenticate(message)),
            "903" | "907" => Step::Go(vec!["CAP END".to_owned()]),
            "902" | "904" | "905" | "906" | "908" => {
                self.sasl_failure = Some(message.last().into_owned());
                // 908 only lists mechanisms; 904 follows it.
                Step::Go(if &*message.command == "908" { Vec::new() } else { vec!["CAP END".to_owned()] })
            }
            "432" | "433" | "436" | "437" if !self.welcomed => self.other_nick(&message.command),
            "001" => {
                self.welcomed = true;
                self.nick = message.text(0).into_owned();
                Step::Go(Vec::new())
            }
            "005" => {
                self.isupport.receive(message);
                Step::Go(Vec::new())
            }
            "376" | "422" if self.welcomed => Step::Done(Box::new(Welcome {
                nick: self.nick.clone(),
                capabilities: self.held.clone(),
                isupport: self.isupport.clone(),
                sasl_failure: self.sasl_failure.take(),
            })),
            "NICK" if self.welcomed => {
                self.nick = message.text(0).into_owned();
                Step::Go(Vec::new())
            }
            "463" | "464" | "465" => Step::Refused(Refusal::Barred(message.last().into_owned())),
            "ERROR" => Step::Refused(Refusal::Closed(message.last().into_owned())),
            _ => Step::Go(Vec::new()),
        }
    }

    fn cap(&mut self, message: &Message) -> Vec<String> {
        let list = message.last().into_owned();
        match &*message.text(1) {
            "LS" => {
                let names =
                    list.split_whitespace().map(|cap| cap.split('=').next().unwrap_or(cap).to_owned());
                self.offered.extend(names);
                // `*` before the list: more lines follow.
                if message.params.len() > 3 && message.text(2) == "*" { Vec::new() } else { self.ask() }
            }
            "ACK" => {
                for name in list.split_whitespace() {
                    self.held.insert(name.trim_start_matches(['-', '~', '=']).to_owned());
                }
                self.after_answer()
            }
            "NAK" => {
                if self.single.is_empty() && list.split_whitespace().count() > 1 {
                    self.single = list.split_whitespace().map(str::to_owned).collect();
                }
                self.after_answer()
            }
            "NEW" if self.welcomed => Vec::new(),
            "DEL" => {
                for name in list.split_whitespace() {
                    self.held.remove(name);
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Asks for all that is offered and wanted: for less is no reason, and for more would refuse everything.
    fn ask(&self) -> Vec<String> {
        let sasl = self.identity.account.is_some();
        let wanted = WANTED.iter().filter(|name| self.offered.contains(**name) && (sasl || **name != "sasl"));
        let wanted: Vec<&str> = wanted.copied().collect();
        if wanted.is_empty() {
            vec!["CAP END".to_owned()]
        } else {
            vec![format!("CAP REQ :{}", wanted.join(" "))]
        }
    }

    fn after_answer(&mut self) -> Vec<String> {
        if let Some(next) = self.single.pop() {
            return vec![format!("CAP REQ :{next}")];
        }
        if self.welcomed {
            return Vec::new();
        }
        if self.identity.account.is_some() && self.held.contains("sasl") {
            return vec!["AUTHENTICATE PLAIN".to_owned()];
        }
        vec!["CAP END".to_owned()]
    }

    /// SASL PLAIN (RFC 4616), in pieces of 400 bytes.
    fn authenticate(&self, message: &Message) -> Vec<String> {
        let Some((account, password)) = self.identity.account.as_ref().filter(|_| message.text(0) == "+")
        else {
            return Vec::new();
        };
        let response = BASE64_STANDARD.encode(format!("{account}\0{account}\0{password}"));
        let mut pieces: Vec<String> = Vec::new();
        let mut rest = response.as_str();
        while rest.len() >= 400 {
            let (piece, after) = rest.split_at(400);
            pieces.push(format!("AUTHENTICATE {piece}"));
            rest = after;
        }
        pieces.push(format!("AUTHENTICATE {}", if rest.is_empty() { "+" } else { rest }));
        pieces
    }

    fn other_nick(&mut self, numeric: &str) -> Step {
        match self.nicks.next(numeric == "432") {
            Some(nick) => {
                self.nick.clone_from(&nick);
                Step::Go(vec![format!("NICK {nick}")])
            }
            None => Step::Refused(Refusal::Closed("no nick is free".to_owned())),
        }
    }
}

/// Nicks to try, when the wanted one cannot be had.
#[derive(Debug)]
struct NickSearch {
    wanted: String,
    /// The longest that may be allowed, once something was refused as no nick.
    longest: Option<usize>,
    /// How many were taken.
    taken: u32,
    tries: u32,
}

impl NickSearch {
    fn new(wanted: &str) -> Self {
        Self { wanted: wanted.to_owned(), longest: None, taken: 0, tries: 0 }
    }

    /// The next nick. One that is refused as no nick is too long as a rule: its successor is shorter.
    fn next(&mut self, refused: bool) -> Option<String> {
        self.tries += 1;
        if self.tries > MOST_NICKS {
            return None;
        }
        if refused {
            let length = self.longest.unwrap_or(self.wanted.len());
            match [30, 20, 15, 9].into_iter().find(|shorter| *shorter < length) {
                Some(shorter) => self.longest = Some(shorter),
                // It is not the length: nothing of the wish can be kept.
                None => "guest".clone_into(&mut self.wanted),
            }
        } else {
            self.taken += 1;
        }
        let suffix = match self.taken {
            0 => String::new(),
            1 => "_".to_owned(),
            n => n.to_string(),
        };
        let room = self.longest.map_or(self.wanted.len(), |longest| longest.saturating_sub(suffix.len()));
        // Nicks are ASCII, see `mapping::sanitize_nick`.
        let kept = self.wanted.get(..room.max(1)).unwrap_or(&self.wanted);
        Some(format!("{kept}{suffix}"))
    }
}

/// Text without what would end the line.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            nick: "alice".to_owned(),
            user: "alice".to_owned(),
            realname: "Alice".to_owned(),
            password: None,
            account: None,
        }
    }

    fn go(registration: &mut Registration, line: &str) -> Vec<String> {
        match registration.line(&Message::parse(line.as_bytes()).expect("a line")) {
            Step::Go(lines) => lines,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn only_what_is_offered_is_asked_for_even_if_the_offer_takes_two_lines() {
        let (mut registration, first) = Registration::begin(identity());
        assert_eq!(first, ["CAP LS 302", "NICK alice", "USER alice 0 * :Alice"]);
        assert!(go(&mut registration, ":s CAP * LS * :batch sasl=PLAIN foo").is_empty());
        assert_eq!(go(&mut registration, ":s CAP * LS :server-time"), ["CAP REQ :batch server-time"]);
        assert_eq!(go(&mut registration, ":s CAP * ACK :batch server-time"), ["CAP END"]);
        go(&mut registration, ":s 001 alice :Welcome");
        go(&mut registration, ":s 005 alice CASEMAPPING=ascii NICKLEN=9 :are supported");
        let done = registration.line(&Message::parse(b":s 422 alice :no motd").expect("a line"));
        let Step::Done(welcome) = done else { panic!("{done:?}") };
        assert_eq!(welcome.capabilities, ["batch", "server-time"].map(str::to_owned).into());
        assert_eq!(welcome.isupport.nick_length(), Some(9));
    }

    #[test]
    fn a_refused_request_is_repeated_one_by_one() {
        let (mut registration, _) = Registration::begin(identity());
        assert_eq!(go(&mut registration, ":s CAP * LS :batch server-time"), ["CAP REQ :batch server-time"]);
        assert_eq!(go(&mut registration, ":s CAP * NAK :batch server-time"), ["CAP REQ :server-time"]);
        assert_eq!(go(&mut registration, ":s CAP * ACK :server-time"), ["CAP REQ :batch"]);
        assert_eq!(go(&mut registration, ":s CAP * NAK :batch"), ["CAP END"]);
    }

    #[test]
    fn an_account_is_used_where_the_network_offers_it_and_its_refusal_keeps_nobody_out() {
        let mut who = identity();
        who.account = Some(("a".to_owned(), "secret".to_owned()));
        assert!(!format!("{who:?}").contains("secret"));
        let (mut registration, _) = Registration::begin(who);
        go(&mut registration, ":s CAP * LS :sasl");
        assert_eq!(go(&mut registration, ":s CAP * ACK :sasl"), ["AUTHENTICATE PLAIN"]);
        assert_eq!(go(&mut registration, "AUTHENTICATE :+"), ["AUTHENTICATE YQBhAHNlY3JldA=="]);
        assert_eq!(go(&mut registration, ":s 904 * :SASL authentication failed"), ["CAP END"]);
        go(&mut registration, ":s 001 alice :Welcome");
        let done = registration.line(&Message::parse(b":s 376 alice :end").expect("a line"));
        let Step::Done(welcome) = done else { panic!("{done:?}") };
        assert_eq!(welcome.sasl_failure.as_deref(), Some("SASL authentication failed"));
    }

    #[test]
    fn taken_nicks_get_a_suffix_and_long_ones_become_shorter() {
        let (mut registration, _) = Registration::begin(identity());
        assert_eq!(go(&mut registration, ":s 433 * alice :taken"), ["NICK alice_"]);
        assert_eq!(go(&mut registration, ":s 433 * alice_ :taken"), ["NICK alice2"]);
        let mut who = identity();
        who.nick = "a".repeat(40);
        let (mut registration, _) = Registration::begin(who);
        let next = |registration: &mut Registration, numeric: u16| {
            go(registration, &format!(":s {numeric} * x :x"))[0].len() - 5
        };
        assert_eq!([next(&mut registration, 432), next(&mut registration, 432)], [30, 20]);
        assert_eq!(next(&mut registration, 433), 20, "the suffix fits into the length that works");
    }

    #[test]
    fn the_search_for_a_nick_ends() {
        let (mut registration, _) = Registration::begin(identity());
        let taken = Message::parse(b":s 433 * x :taken").expect("a line");
        let refused = (0..100).find(|_| matches!(registration.line(&taken), Step::Refused(_)));
        assert_eq!(refused, Some(20));
    }

    #[test]
    fn a_network_that_closes_the_door_is_quoted() {
        let (mut registration, _) = Registration::begin(identity());
        let line = Message::parse(b"ERROR :Closing link: too many").expect("a line");
        assert_eq!(
            registration.line(&line),
            Step::Refused(Refusal::Closed("Closing link: too many".to_owned()))
        );
        let line = Message::parse(b":s 465 * :You are banned").expect("a line");
        assert_eq!(registration.line(&line), Step::Refused(Refusal::Barred("You are banned".to_owned())));
    }
}
