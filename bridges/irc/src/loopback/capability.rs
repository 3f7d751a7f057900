//! Capability negotiation and SASL ([IRCv3], version 302).
//!
//! [IRCv3]: https://ircv3.net/specs/extensions/capability-negotiation

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::state::{ConnectionId, State};
use super::wire::{Reply, Request};

/// All that the network knows.
pub(super) const ALL: [&str; 13] = [
    "account-tag",
    "away-notify",
    "batch",
    "cap-notify",
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

impl State {
    pub(super) fn cap(&mut self, id: ConnectionId, request: &Request) {
        if self.config.capabilities.is_empty() {
            self.numeric(id, 421, &["CAP", "Unknown command"]);
            return;
        }
        let sub = request.text(0).to_ascii_uppercase();
        let client = self.client_mut(id);
        match sub.as_str() {
            "LS" => {
                client.negotiating |= !client.registered;
                let modern = request.text(1).parse::<u32>().is_ok_and(|version| version >= 302);
                let with_value = |name: &String| match name.as_str() {
                    "sasl" if modern => "sasl=PLAIN".to_owned(),
                    name => name.to_owned(),
                };
                let names: Vec<String> = self.config.capabilities.iter().map(with_value).collect();
                // Old servers answer on several lines; so do we, for clients must cope.
                let (first, rest) = names.split_at(if modern { names.len() / 2 } else { 0 });
                if modern {
                    self.cap_reply(id, &["LS", "*"], &first.join(" "));
                }
                self.cap_reply(id, &["LS"], &rest.join(" "));
            }
            "LIST" => {
                let held: Vec<String> = client.capabilities.iter().cloned().collect();
                self.cap_reply(id, &["LIST"], &held.join(" "));
            }
            "REQ" => self.cap_req(id, &request.text(1)),
            "END" => {
                client.negotiating = false;
                self.try_register(id);
            }
            _ => self.numeric(id, 410, &[&sub, "Invalid CAP command"]),
        }
    }

    /// All or nothing: one unknown name refuses the whole request.
    fn cap_req(&mut self, id: ConnectionId, wanted: &str) {
        let offered = &self.config.capabilities;
        let known = |name: &str| offered.iter().any(|offer| offer == name.trim_start_matches('-'));
        let fine = wanted.split_whitespace().all(known);
        let client = self.client_mut(id);
        client.negotiating |= !client.registered;
        if fine {
            for name in wanted.split_whitespace() {
                match name.strip_prefix('-') {
                    Some(name) => drop(client.capabilities.remove(name)),
                    None => drop(client.capabilities.insert(name.to_owned())),
                }
            }
        }
        self.cap_reply(id, &[if fine { "ACK" } else { "NAK" }], wanted);
    }

    fn cap_reply(&mut self, id: ConnectionId, words: &[&str], list: &str) {
        let nick = self.client(id).shown_nick();
        let reply = Reply::new(&self.config.name, "CAP").param(nick).params(words).param(list);
        self.send(id, &reply);
    }

    /// SASL PLAIN, for accounts from the configuration.
    pub(super) fn authenticate(&mut self, id: ConnectionId, request: &Request) {
        let text = request.text(0).into_owned();
        if !self.client(id).capabilities.contains("sasl") {
            self.numeric(id, 904, &["SASL authentication failed"]);
        } else if text.eq_ignore_ascii_case("PLAIN") {
            self.send(id, &Reply::new("", "AUTHENTICATE").param("+"));
        } else if text == "*" {
            self.numeric(id, 906, &["SASL authentication aborted"]);
        } else if let Some(account) = self.plain(&text) {
            let mask = self.client(id).mask();
            self.client_mut(id).account = Some(account.clone());
            self.numeric(id, 900, &[&mask, &account, &format!("You are now logged in as {account}")]);
            self.numeric(id, 903, &["SASL authentication successful"]);
        } else {
            self.numeric(id, 904, &["SASL authentication failed"]);
        }
    }

    fn plain(&self, response: &str) -> Option<String> {
        let bytes = BASE64_STANDARD.decode(response).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let [_, account, password] = text.split('\0').collect::<Vec<_>>().try_into().ok()?;
        (self.config.accounts.get(account).map(String::as_str) == Some(password)).then(|| account.to_owned())
    }
}
