//! Arriving, changing the nick, leaving (RFC 2812, section 3.1).

use super::super::state::{ConnectionId, State};
use super::super::wire::{Reply, Request};

impl State {
    pub(super) fn pass(&mut self, id: ConnectionId, request: &Request) {
        self.client_mut(id).password = Some(request.text(0).into_owned());
    }

    pub(super) fn user(&mut self, id: ConnectionId, request: &Request) {
        if !self.needs(id, request, 4) {
            return;
        }
        let client = self.client_mut(id);
        client.user = Some(request.text(0).chars().filter(|c| !"@!: ".contains(*c)).take(10).collect());
        client.realname = request.text(3).into_owned();
        self.try_register(id);
    }

    pub(super) fn nick(&mut self, id: ConnectionId, request: &Request) {
        let nick = request.text(0).into_owned();
        if nick.is_empty() {
            self.numeric(id, 431, &["No nickname given"]);
        } else if !self.is_nick(&nick) || self.faults.forbidden_nicks.contains(&nick) {
            self.numeric(id, 432, &[&nick, "Erroneous nickname"]);
        } else if self.find(&nick).is_some_and(|holder| holder != id) {
            self.numeric(id, 433, &[&nick, "Nickname is already in use"]);
        } else {
            self.take_nick(id, &nick);
        }
    }

    /// Gives a client a nick and tells those who see it.
    pub(in super::super) fn take_nick(&mut self, id: ConnectionId, nick: &str) {
        let change = Reply::new(self.client(id).mask(), "NICK").param(nick);
        self.rename(id, nick);
        if self.client(id).registered {
            let change = self.stamped(change);
            self.send_to_acquaintances(id, &change, true);
        } else {
            self.try_register(id);
        }
    }

    /// Letters, digits and the signs of RFC 2812, section 2.3.1, as long as the network allows.
    fn is_nick(&self, nick: &str) -> bool {
        let special = |c: char| "[]\\`_^{|}".contains(c);
        nick.len() <= self.config.nick_length
            && nick.starts_with(|c: char| c.is_ascii_alphabetic() || special(c))
            && nick.chars().all(|c| c.is_ascii_alphanumeric() || special(c) || c == '-')
    }

    /// Welcomes a client as soon as all it must say has been said.
    pub(in super::super) fn try_register(&mut self, id: ConnectionId) {
        let client = self.client(id);
        if client.registered || client.negotiating || client.nick.is_none() || client.user.is_none() {
            return;
        }
        if self.config.password.is_some() && client.password != self.config.password {
            self.numeric(id, 464, &["Password incorrect"]);
            self.close(id, "Access denied: Bad password?");
            return;
        }
        self.client_mut(id).registered = true;
        let mask = self.client(id).mask();
        let server = self.config.name.clone();
        self.numeric(id, 1, &[&format!("Welcome to the network, {mask}")]);
        self.numeric(id, 2, &[&format!("Your host is {server}")]);
        self.numeric(id, 3, &["This server was created for a test"]);
        self.numeric(id, 4, &[&server, "loopback", "iB", "beIklimnpstvhoaq"]);
        let names = format!("CASEMAPPING={}", self.config.casemapping);
        let nicks = format!("NICKLEN={}", self.config.nick_length);
        self.numeric(
            id,
            5,
            &[
                &names,
                "CHANTYPES=#&",
                "PREFIX=(qaohv)~&@%+",
                "CHANMODES=beI,k,l,imnpst",
                &nicks,
                "CHANNELLEN=64",
                "TOPICLEN=390",
                "MODES=4",
                "are supported by this server",
            ],
        );
        self.numeric(id, 5, &["NETWORK=Loopback", "STATUSMSG=@+", "WHOX", "are supported by this server"]);
        self.numeric(id, 422, &["There is no message of the day"]);
    }

    pub(super) fn quit(&mut self, id: ConnectionId, request: &Request) {
        let reason = format!("Quit: {}", request.text(0));
        self.close(id, &reason);
    }

    /// Throws a client off.
    pub(in super::super) fn close(&mut self, id: ConnectionId, reason: &str) {
        let error = Reply::new("", "ERROR").param(format!("Closing link: {reason}"));
        self.client_mut(id).collected = None;
        self.send(id, &error);
        self.disconnected(id, reason);
    }
}
