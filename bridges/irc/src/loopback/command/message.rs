//! Talking (RFC 2812, section 3.3).

use super::super::state::{ConnectionId, State};
use super::super::wire::{Reply, Request};

impl State {
    pub(super) fn message(&mut self, id: ConnectionId, request: &Request) {
        let notice = request.command != "PRIVMSG";
        if request.params.is_empty() {
            self.numeric(id, 411, &[&format!("No recipient given ({})", request.command)]);
            return;
        }
        if request.bytes(1).is_empty() && request.command != "TAGMSG" {
            self.numeric(id, 412, &["No text to send"]);
            return;
        }
        for target in request.text(0).split(',') {
            self.message_to(id, target, request, notice);
        }
    }

    fn message_to(&mut self, id: ConnectionId, target: &str, request: &Request, notice: bool) {
        let name = target.trim_start_matches(['@', '+']);
        if name.starts_with(['#', '&']) {
            match self.channels.get(&self.fold(name)).map(|channel| channel.may_speak(id)) {
                Some(true) => {}
                Some(false) => {
                    self.numeric(id, 404, &[name, "Cannot send to channel"]);
                    return;
                }
                None => {
                    self.numeric(id, 403, &[name, "No such channel"]);
                    return;
                }
            }
        } else if self.find(name).is_none() {
            self.numeric(id, 401, &[name, "No such nick"]);
            return;
        }
        let mut reply = Reply::new(self.client(id).mask(), &request.command).param(target);
        if request.command != "TAGMSG" {
            reply = reply.param(request.bytes(1));
        }
        for (name, value) in &request.client_tags {
            reply = reply.tag("message-tags", name, value);
        }
        if let Some(account) = self.client(id).account.clone() {
            reply = reply.tag("account-tag", "account", account);
        }
        let reply = self.stamped(reply);
        self.deliver(id, name, &reply, request.command == "TAGMSG");
        if !notice {
            let away = self.find(name).and_then(|other| self.client(other).away.clone());
            if let Some(away) = away {
                self.numeric(id, 301, &[name, &away]);
            }
        }
    }

    fn deliver(&mut self, id: ConnectionId, name: &str, reply: &Reply, tags_only: bool) {
        let channel = self.channels.get(&self.fold(name));
        let targets: Vec<ConnectionId> = match channel {
            Some(channel) => channel.members.keys().copied().collect(),
            None => self.find(name).into_iter().collect(),
        };
        for target in targets {
            let sees = target != id && (!tags_only || self.client(target).has("message-tags"));
            if sees || (target == id && channel_less(name)) {
                self.send(target, reply);
            }
        }
        if self.client(id).has("echo-message") && !self.faults.swallow_echo() {
            self.send(id, reply);
        }
    }
}

/// Whether this is a nick: what one says to oneself arrives.
fn channel_less(name: &str) -> bool {
    !name.starts_with(['#', '&'])
}
