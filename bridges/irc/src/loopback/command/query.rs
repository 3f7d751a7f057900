//! Asking about users and channels (RFC 2812, sections 3.2.6 and 3.6).

use super::super::state::{ConnectionId, State};
use super::super::wire::{Reply, Request};

impl State {
    pub(super) fn who(&mut self, id: ConnectionId, request: &Request) {
        let name = request.text(0).into_owned();
        let fields = request.text(1).into_owned();
        let channel = self.channels.get(&self.fold(&name));
        let found: Vec<(ConnectionId, String)> = match channel {
            Some(channel) => {
                channel.members.keys().map(|member| (*member, channel.signs(*member, true))).collect()
            }
            None => self.find(&name).map(|other| (other, String::new())).into_iter().collect(),
        };
        for (member, signs) in found {
            let other = self.client(member);
            let here = if other.away.is_some() { "G" } else { "H" };
            let flags = format!("{here}{signs}");
            let user = other.user.clone().unwrap_or_default();
            let words = [user, other.host.clone(), other.shown_nick(), flags, other.realname.clone()];
            let account = other.account.clone().unwrap_or_else(|| "0".to_owned());
            let [user, host, nick, flags, real] = words;
            if let Some(wanted) = fields.strip_prefix('%') {
                let (wanted, token) = wanted.split_once(',').unwrap_or((wanted, "0"));
                let all = [
                    ('t', token),
                    ('c', &name),
                    ('u', &user),
                    ('h', &host),
                    ('n', &nick),
                    ('f', &flags),
                    ('a', &account),
                    ('r', &real),
                ];
                let picked: Vec<&str> = all
                    .iter()
                    .filter(|(field, _)| wanted.contains(*field))
                    .map(|(_, value)| *value)
                    .collect();
                self.numeric(id, 354, &picked);
            } else {
                let server = self.config.name.clone();
                let real = format!("0 {real}");
                self.numeric(id, 352, &[&name, &user, &host, &server, &nick, &flags, &real]);
            }
        }
        self.numeric(id, 315, &[&name, "End of WHO list"]);
    }

    pub(super) fn whois(&mut self, id: ConnectionId, request: &Request) {
        let nick = request.text(request.params.len().saturating_sub(1)).into_owned();
        let Some(other) = self.find(&nick).filter(|other| self.client(*other).registered) else {
            self.numeric(id, 401, &[&nick, "No such nick"]);
            self.numeric(id, 318, &[&nick, "End of /WHOIS list"]);
            return;
        };
        let client = self.client(other);
        let user = client.user.clone().unwrap_or_default();
        let (nick, host, real) = (client.shown_nick(), client.host.clone(), client.realname.clone());
        let account = client.account.clone();
        let joined = self.channels.values().filter(|channel| channel.members.contains_key(&other));
        let channels: Vec<_> =
            joined.map(|channel| format!("{}{}", channel.signs(other, false), channel.name)).collect();
        self.numeric(id, 311, &[&nick, &user, &host, "*", &real]);
        if !channels.is_empty() {
            self.numeric(id, 319, &[&nick, &channels.join(" ")]);
        }
        let server = self.config.name.clone();
        self.numeric(id, 312, &[&nick, &server, "loopback"]);
        if let Some(account) = account {
            self.numeric(id, 330, &[&nick, &account, "is logged in as"]);
        }
        self.numeric(id, 318, &[&nick, "End of /WHOIS list"]);
    }

    pub(super) fn userhost(&mut self, id: ConnectionId, request: &Request) {
        let known = (0..request.params.len()).filter_map(|index| {
            let client = self.client(self.find(&request.text(index))?);
            Some(format!(
                "{}=+{}@{}",
                client.shown_nick(),
                client.user.as_deref().unwrap_or_default(),
                client.host
            ))
        });
        let line = known.collect::<Vec<_>>().join(" ");
        self.numeric(id, 302, &[line]);
    }

    pub(super) fn ison(&mut self, id: ConnectionId, request: &Request) {
        let all: Vec<String> = (0..request.params.len())
            .flat_map(|index| request.text(index).split(' ').map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let here: Vec<String> = all.into_iter().filter(|nick| self.find(nick).is_some()).collect();
        self.numeric(id, 303, &[here.join(" ")]);
    }

    pub(super) fn list(&mut self, id: ConnectionId, _request: &Request) {
        let open = self.channels.values().filter(|channel| !channel.flags.contains(&'s'));
        let rows: Vec<_> = open
            .map(|channel| {
                let topic = channel.topic.as_ref().map_or(String::new(), |(text, ..)| text.clone());
                (channel.name.clone(), channel.members.len().to_string(), topic)
            })
            .collect();
        for (name, count, topic) in rows {
            self.numeric(id, 322, &[name, count, topic]);
        }
        self.numeric(id, 323, &["End of /LIST"]);
    }

    pub(super) fn away(&mut self, id: ConnectionId, request: &Request) {
        let text = request.text(0).into_owned();
        let gone = !text.is_empty();
        let client = self.client_mut(id);
        client.away = gone.then(|| text.clone());
        let mut reply = Reply::new(client.mask(), "AWAY");
        if gone {
            reply = reply.param(text);
        }
        if gone {
            self.numeric(id, 306, &["You have been marked as being away"]);
        } else {
            self.numeric(id, 305, &["You are no longer marked as being away"]);
        }
        let aware: Vec<_> = self
            .ids()
            .into_iter()
            .filter(|other| *other != id && self.client(*other).has("away-notify"))
            .collect();
        for other in aware {
            let shared = self
                .channels
                .values()
                .any(|channel| channel.members.contains_key(&id) && channel.members.contains_key(&other));
            if shared {
                self.send(other, &reply);
            }
        }
    }
}
