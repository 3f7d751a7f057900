//! Channels: entering, leaving, topics, invitations (RFC 2812, section 3.2).

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::channel::{Channel, matches};
use super::super::state::{ConnectionId, State};
use super::super::wire::{Reply, Request};

impl State {
    pub(super) fn join(&mut self, id: ConnectionId, request: &Request) {
        if !self.needs(id, request, 1) {
            return;
        }
        let keys = request.text(1).into_owned();
        let mut keys = keys.split(',');
        for name in request.text(0).split(',') {
            self.join_one(id, name, keys.next().unwrap_or_default());
        }
    }

    fn join_one(&mut self, id: ConnectionId, name: &str, key: &str) {
        if !name.starts_with(['#', '&']) || name.len() < 2 || name.len() > 64 {
            self.numeric(id, 476, &[name, "Invalid channel name"]);
            return;
        }
        let folded = self.fold(name);
        let mask = self.client(id).mask();
        if let Some(channel) = self.channels.get(&folded) {
            if channel.members.contains_key(&id) {
                return;
            }
            let invited = channel.invited.contains(&id);
            let refusal = if channel.key.as_deref().is_some_and(|wanted| wanted != key) {
                Some((475, "Cannot join channel (+k)"))
            } else if channel.flags.contains(&'i') && !invited {
                Some((473, "Cannot join channel (+i)"))
            } else if channel.limit.is_some_and(|limit| channel.members.len() >= limit) {
                Some((471, "Cannot join channel (+l)"))
            } else if channel.bans.iter().any(|ban| matches(ban, &mask)) && !invited {
                Some((474, "Cannot join channel (+b)"))
            } else {
                None
            };
            if let Some((code, text)) = refusal {
                self.numeric(id, code, &[name, text]);
                return;
            }
        }
        self.enter(id, name);
    }

    /// Puts a client into a channel, whatever the modes say.
    pub(in super::super) fn enter(&mut self, id: ConnectionId, name: &str) {
        let folded = self.fold(name);
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let channel = self.channels.entry(folded).or_insert_with(|| Channel::new(name, created));
        let ranks = if channel.members.is_empty() { ['o'].into() } else { [].into() };
        channel.members.insert(id, ranks);
        channel.invited.remove(&id);
        let name = channel.name.clone();
        let members: Vec<_> = channel.members.keys().copied().collect();

        let client = self.client(id);
        let plain = Reply::new(client.mask(), "JOIN").param(&name);
        let account = client.account.clone().unwrap_or_else(|| "*".to_owned());
        let extended = plain.clone().param(account).param(&client.realname);
        let (plain, extended) = (self.stamped(plain), self.stamped(extended));
        for member in members {
            let wide = self.client(member).has("extended-join");
            self.send(member, if wide { &extended } else { &plain });
        }
        self.tell_topic(id, &name, false);
        self.names(id, &name);
    }

    pub(super) fn part(&mut self, id: ConnectionId, request: &Request) {
        if !self.needs(id, request, 1) {
            return;
        }
        for name in request.text(0).split(',') {
            if self.must_be_in(id, name).is_some() {
                let reply = Reply::new(self.client(id).mask(), "PART").param(name);
                let reply = if request.params.len() > 1 { reply.param(request.bytes(1)) } else { reply };
                let reply = self.stamped(reply);
                self.send_to_channel(name, &reply, None);
                self.leave(id, name);
            }
        }
    }

    fn leave(&mut self, id: ConnectionId, name: &str) {
        let folded = self.fold(name);
        if let Some(channel) = self.channels.get_mut(&folded) {
            channel.members.remove(&id);
            if channel.members.is_empty() {
                self.channels.remove(&folded);
            }
        }
    }

    pub(super) fn kick(&mut self, id: ConnectionId, request: &Request) {
        if !self.needs(id, request, 2) || self.must_rule(id, &request.text(0)).is_none() {
            return;
        }
        let (name, nick) = (request.text(0).into_owned(), request.text(1).into_owned());
        let folded = self.fold(&name);
        let target = self.find(&nick).filter(|target| self.channels[&folded].members.contains_key(target));
        let Some(target) = target else {
            self.numeric(id, 441, &[&nick, &name, "They aren't on that channel"]);
            return;
        };
        let reason =
            if request.params.len() > 2 { request.bytes(2).to_vec() } else { nick.clone().into_bytes() };
        let kick = Reply::new(self.client(id).mask(), "KICK").param(&name).param(&nick).param(reason);
        let kick = self.stamped(kick);
        self.send_to_channel(&name, &kick, None);
        self.leave(target, &name);
    }

    pub(super) fn topic(&mut self, id: ConnectionId, request: &Request) {
        if !self.needs(id, request, 1) {
            return;
        }
        let name = request.text(0).into_owned();
        if request.params.len() < 2 {
            self.tell_topic(id, &name, true);
            return;
        }
        let Some(folded) = self.must_be_in(id, &name) else { return };
        let channel = &self.channels[&folded];
        if channel.flags.contains(&'t') && self.must_rule(id, &name).is_none() {
            return;
        }
        let text = request.text(1).into_owned();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mask = self.client(id).mask();
        if let Some(channel) = self.channels.get_mut(&folded) {
            channel.topic = (!text.is_empty()).then(|| (text.clone(), mask.clone(), seconds));
        }
        let reply = self.stamped(Reply::new(mask, "TOPIC").param(&name).param(&text));
        self.send_to_channel(&name, &reply, None);
    }

    fn tell_topic(&mut self, id: ConnectionId, name: &str, asked: bool) {
        let Some(channel) = self.channels.get(&self.fold(name)) else {
            self.numeric(id, 403, &[name, "No such channel"]);
            return;
        };
        match channel.topic.clone() {
            Some((text, who, when)) => {
                self.numeric(id, 332, &[name, &text]);
                self.numeric(id, 333, &[name, &who, &when.to_string()]);
            }
            None if asked => self.numeric(id, 331, &[name, "No topic is set"]),
            None => {}
        }
    }

    pub(super) fn invite(&mut self, id: ConnectionId, request: &Request) {
        if !self.needs(id, request, 2) {
            return;
        }
        let (nick, name) = (request.text(0).into_owned(), request.text(1).into_owned());
        let Some(folded) = self.must_be_in(id, &name) else { return };
        let Some(target) = self.find(&nick) else {
            self.numeric(id, 401, &[&nick, "No such nick"]);
            return;
        };
        if self.channels[&folded].flags.contains(&'i') && self.must_rule(id, &name).is_none() {
            return;
        }
        if let Some(channel) = self.channels.get_mut(&folded) {
            channel.invited.insert(target);
        }
        self.numeric(id, 341, &[&nick, &name]);
        let reply = Reply::new(self.client(id).mask(), "INVITE").param(&nick).param(&name);
        let reply = self.stamped(reply);
        self.send(target, &reply);
    }

    pub(super) fn names_of(&mut self, id: ConnectionId, request: &Request) {
        if self.needs(id, request, 1) {
            for name in request.text(0).split(',') {
                self.names(id, name);
            }
        }
    }

    /// 353 in lines of a few names each, then 366.
    fn names(&mut self, id: ConnectionId, name: &str) {
        if let Some(channel) = self.channels.get(&self.fold(name)) {
            let client = self.client(id);
            let (all, hosts) = (client.has("multi-prefix"), client.has("userhost-in-names"));
            let shown = |member: &ConnectionId| {
                let other = self.client(*member);
                let who = if hosts { other.mask() } else { other.shown_nick() };
                format!("{}{who}", channel.signs(*member, all))
            };
            let names: Vec<String> = channel.members.keys().map(shown).collect();
            for line in names.chunks(5) {
                self.numeric(id, 353, &["=", name, &line.join(" ")]);
            }
        }
        self.numeric(id, 366, &[name, "End of /NAMES list"]);
    }

    /// The key of a channel that the client is in; answers 403 or 442 if it is not.
    pub(super) fn must_be_in(&mut self, id: ConnectionId, name: &str) -> Option<String> {
        let folded = self.fold(name);
        match self.channels.get(&folded).map(|channel| channel.members.contains_key(&id)) {
            Some(true) => return Some(folded),
            Some(false) => self.numeric(id, 442, &[name, "You're not on that channel"]),
            None => self.numeric(id, 403, &[name, "No such channel"]),
        }
        None
    }

    /// The same for a channel that the client must be an operator of; answers 482 if it is not.
    pub(super) fn must_rule(&mut self, id: ConnectionId, name: &str) -> Option<String> {
        let folded = self.must_be_in(id, name)?;
        if self.channels[&folded].is_operator(id) {
            return Some(folded);
        }
        self.numeric(id, 482, &[name, "You're not channel operator"]);
        None
    }
}
