//! Capabilities: what a server offers, what is asked for, what is granted
//! ([capability negotiation](https://ircv3.net/specs/extensions/capability-negotiation), version 302).

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Line, Message};

/// Names in one request; more go into another, so that no request is longer than a line.
const PER_REQUEST: usize = 12;

/// The negotiation on one connection, without a socket. It goes on as long as the connection does: servers offer
/// and withdraw capabilities at any time.
#[derive(Debug, Clone, Default)]
pub struct Negotiation {
    wanted: BTreeSet<String>,
    /// What the server offers, with the value after the `=`.
    offered: BTreeMap<String, String>,
    held: BTreeSet<String>,
    /// Names that were asked for and not answered.
    asked: BTreeSet<String>,
    /// Whether all of the list has come.
    listed: bool,
}

/// What follows from a `CAP` of the server.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Lines to send.
    pub send: Vec<Line>,
    /// Capabilities that are there from now on.
    pub gained: Vec<String>,
    /// Capabilities that are no longer there.
    pub lost: Vec<String>,
}

impl Negotiation {
    /// A negotiation that asks for what is wanted as soon as it is offered.
    pub fn new<'a>(wanted: impl IntoIterator<Item = &'a str>) -> Self {
        Self { wanted: wanted.into_iter().map(str::to_owned).collect(), ..Self::default() }
    }

    /// The line that begins it. Servers from before capabilities answer with an error, or not at all.
    pub fn begin() -> Line {
        Line::new("CAP").middle("LS").map_or_else(|_| Line::new("CAP").end(), |line| line.trailing("302"))
    }

    /// Whether a capability was granted.
    pub fn has(&self, name: &str) -> bool {
        self.held.contains(name)
    }

    /// All that were granted.
    pub fn held(&self) -> &BTreeSet<String> {
        &self.held
    }

    /// What a capability was offered with: `PLAIN,EXTERNAL` for `sasl`. `None` if it is not offered.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.offered.get(name).map(String::as_str)
    }

    /// Whether nothing is open: the list has come and every request was answered.
    pub fn is_settled(&self) -> bool {
        self.listed && self.asked.is_empty()
    }

    /// Takes in a `CAP`.
    pub fn receive(&mut self, message: &Message) -> Progress {
        let list = message.last().into_owned();
        // `CAP * LS * :…`: more follows.
        let more = message.params.len() > 3 && message.text(2) == "*";
        match &*message.text(1).to_ascii_uppercase() {
            "LS" => {
                self.offer(&list);
                self.listed |= !more;
                Progress { send: if more { Vec::new() } else { self.ask() }, ..Progress::default() }
            }
            "NEW" => {
                self.offer(&list);
                Progress { send: self.ask(), ..Progress::default() }
            }
            "DEL" => Progress { lost: self.withdraw(&list), ..Progress::default() },
            "ACK" => self.granted(&list),
            "NAK" => Progress { send: self.refused(&list), ..Progress::default() },
            _ => Progress::default(),
        }
    }

    fn offer(&mut self, list: &str) {
        for word in list.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            self.offered.insert(name.to_owned(), value.to_owned());
        }
    }

    fn withdraw(&mut self, list: &str) -> Vec<String> {
        let mut lost = Vec::new();
        for name in list.split_whitespace() {
            self.offered.remove(name);
            self.asked.remove(name);
            if self.held.remove(name) {
                lost.push(name.to_owned());
            }
        }
        lost
    }

    fn granted(&mut self, list: &str) -> Progress {
        let mut progress = Progress::default();
        for name in list.split_whitespace() {
            let plain = name.trim_start_matches(['-', '~', '=']);
            self.asked.remove(plain);
            if name.starts_with('-') {
                if self.held.remove(plain) {
                    progress.lost.push(plain.to_owned());
                }
            } else if self.held.insert(plain.to_owned()) {
                progress.gained.push(plain.to_owned());
            }
        }
        progress
    }

    /// A request is granted or refused as a whole: what was refused together is asked for one by one.
    fn refused(&mut self, list: &str) -> Vec<Line> {
        let names: Vec<&str> = list.split_whitespace().filter(|name| self.asked.contains(*name)).collect();
        if let [name] = names.as_slice() {
            self.asked.remove(*name);
            // Not asked for again until it is offered anew.
            self.offered.remove(*name);
            return Vec::new();
        }
        names.into_iter().map(|name| request(&[name])).collect()
    }

    /// Requests for what is offered and wanted. Asking for more would have everything refused.
    fn ask(&mut self) -> Vec<Line> {
        let names: Vec<String> = self
            .wanted
            .iter()
            .filter(|name| self.offered.contains_key(*name))
            .filter(|name| !self.held.contains(*name) && !self.asked.contains(*name))
            .cloned()
            .collect();
        self.asked.extend(names.iter().cloned());
        names.chunks(PER_REQUEST).map(request).collect()
    }
}

fn request(names: &[impl AsRef<str>]) -> Line {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    Line::new("CAP")
        .middle("REQ")
        .map_or_else(|_| Line::new("CAP").end(), |line| line.trailing(names.join(" ")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Negotiation, Progress};
    use crate::irc::message::Message;

    fn receive(negotiation: &mut Negotiation, line: &str) -> Progress {
        negotiation.receive(&Message::parse(line.as_bytes()).expect("a command"))
    }

    fn sent(progress: &Progress) -> Vec<String> {
        progress.send.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_what_is_offered_is_asked_for_even_if_the_offer_takes_two_lines() {
        let mut cap = Negotiation::new(["batch", "sasl", "server-time", "never"]);
        assert_eq!(Negotiation::begin().as_bytes(), b"CAP LS :302");
        assert!(receive(&mut cap, ":s CAP * LS * :batch sasl=PLAIN,EXTERNAL other").send.is_empty());
        assert!(!cap.is_settled());
        let asked = receive(&mut cap, ":s CAP * LS :server-time");
        assert_eq!(sent(&asked), ["CAP REQ :batch sasl server-time"]);
        assert!(!cap.is_settled());
        let granted = receive(&mut cap, ":s CAP * ACK :batch sasl server-time ");
        assert_eq!(granted.gained, ["batch", "sasl", "server-time"]);
        assert!(cap.is_settled() && cap.has("batch"));
        assert_eq!(cap.value("sasl"), Some("PLAIN,EXTERNAL"));
    }

    #[test]
    fn what_is_refused_together_is_asked_for_one_by_one() {
        let mut cap = Negotiation::new(["a", "b"]);
        receive(&mut cap, "CAP * LS :a b");
        assert_eq!(sent(&receive(&mut cap, "CAP * NAK :a b")), ["CAP REQ :a", "CAP REQ :b"]);
        assert!(receive(&mut cap, "CAP * NAK :a").send.is_empty());
        assert!(!cap.is_settled());
        receive(&mut cap, "CAP * ACK :b");
        assert!(cap.is_settled() && cap.has("b") && !cap.has("a"));
        assert!(receive(&mut cap, "CAP * NAK :x y").send.is_empty(), "nobody asked for these");
    }

    #[test]
    fn capabilities_come_and_go_while_services_do() {
        let mut cap = Negotiation::new(["sasl"]);
        receive(&mut cap, "CAP * LS :");
        assert!(cap.is_settled());
        assert_eq!(sent(&receive(&mut cap, "CAP nick NEW :sasl=PLAIN other")), ["CAP REQ :sasl"]);
        assert_eq!(receive(&mut cap, "CAP nick ACK :sasl").gained, ["sasl"]);
        assert_eq!(receive(&mut cap, "CAP nick DEL :sasl other").lost, ["sasl"]);
        assert!(!cap.has("sasl") && cap.value("sasl").is_none());
        assert_eq!(sent(&receive(&mut cap, "CAP nick NEW :sasl")), ["CAP REQ :sasl"]);
    }

    #[test]
    fn a_server_without_wanted_capabilities_is_asked_for_nothing() {
        let mut cap = Negotiation::new(["a"]);
        assert!(receive(&mut cap, "CAP * LS :b c").send.is_empty());
        assert!(cap.is_settled());
        assert_eq!(receive(&mut cap, "CAP * ACK :-b"), Progress::default());
        assert_eq!(receive(&mut cap, "CAP"), Progress::default());
    }

    #[test]
    fn many_names_are_asked_for_in_several_requests() {
        let names: Vec<String> = (0..30).map(|n| format!("c{n:02}")).collect();
        let mut cap = Negotiation::new(names.iter().map(String::as_str));
        let asked = receive(&mut cap, &format!("CAP * LS :{}", names.join(" ")));
        assert_eq!(asked.send.len(), 3);
        for request in &asked.send {
            let list = request.to_string().replace("CAP REQ :", "");
            receive(&mut cap, &format!("CAP * ACK :{list}"));
        }
        assert!(cap.is_settled() && cap.held().len() == 30);
    }

    proptest! {
        #[test]
        fn every_answer_leads_to_an_end(answers in proptest::collection::vec(any::<bool>(), 40)) {
            let mut cap = Negotiation::new(["a", "b", "c", "d"]);
            let mut open = receive(&mut cap, "CAP * LS :a b c d").send;
            let mut answers = answers.into_iter();
            while let Some(request) = open.pop() {
                let list = request.to_string().replace("CAP REQ :", "");
                let verb = if answers.next().expect("few requests") { "ACK" } else { "NAK" };
                open.extend(receive(&mut cap, &format!("CAP * {verb} :{list}")).send);
            }
            prop_assert!(cap.is_settled());
        }
    }
}
