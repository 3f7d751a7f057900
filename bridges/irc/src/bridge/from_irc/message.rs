//! What people say.

use std::time::Instant;

use matrix_appservice::bridge::{
    BackfillMessage, Part, PortalKey, RemoteEvent, RemoteEventKind, RemoteMessageId,
};
use tracing::debug;

use super::super::connection::Connection;
use super::super::scrollback;
use super::super::seen::Seen;
use super::super::{ctcp, ids};
use crate::format;

impl Connection {
    pub(super) fn saw_message(&self, seen: &Seen) {
        if seen.userhost.is_none() && !seen.nick.contains('!') && seen.nick.contains('.') {
            // A server talks, not a person.
            return;
        }
        let target = seen.text(0).into_owned();
        let (from, to, own) = {
            let state = self.network.state.lock();
            let from = state.fold(&seen.nick);
            let own = state.own.owner(&from, Instant::now()).cloned();
            (from, state.fold(&target), own)
        };
        if let Some(owner) = own {
            if owner == self.login {
                self.saw_echo(seen, &to);
            }
            return;
        }
        if self.is_channel(&target) {
            self.saw_channel_message(seen, &from, &to);
        } else if self.is_me(&to) {
            self.saw_private_message(seen, &from);
        } else if let Some(channel) = self.status_target(&target) {
            // For those of a rank only: not for everybody in the room.
            debug!(network = %self.network.server, %channel, "a message to operators is not bridged");
        }
    }

    /// What this connection said came back: the network has it.
    fn saw_echo(&self, seen: &Seen, to: &str) {
        let id = self.message_id(seen);
        let confirmed = self.pending.lock().echo(seen.label.as_deref(), to, seen.bytes(1), id);
        if let Some(Some((key, ids))) = confirmed {
            self.confirm(&key, ids);
        }
    }

    fn saw_channel_message(&self, seen: &Seen, from: &str, channel: &str) {
        let Some(part) = part(seen) else { return };
        let id = self.message_id(seen);
        let portal = self.network.channel(channel);
        let kept = {
            let mut state = self.network.state.lock();
            let Some(known) = state.channels.get_mut(channel).filter(|known| known.is_listener(&self.login))
            else {
                return;
            };
            if known.live {
                None
            } else {
                let message = BackfillMessage {
                    id: id.clone(),
                    sender: self.network.user(from),
                    timestamp: seen.at(),
                    parts: vec![part.clone()],
                };
                match known.scrollback.keep(message, &self.network.config.scrollback) {
                    Some(kept) => Some(kept),
                    None => return,
                }
            }
        };
        match kept {
            Some(kept) => {
                let network = self.network.clone();
                self.network.cx.tasks().spawn(async move {
                    scrollback::store(&network.cx, &portal, &kept, &network.config.scrollback).await;
                });
            }
            None => self.push_message(seen, portal, from, id, part),
        }
    }

    fn saw_private_message(&self, seen: &Seen, from: &str) {
        if let Some(answer) = ctcp::answer(seen.bytes(1)).filter(|_| seen.command == "PRIVMSG") {
            self.send_ctcp_answer(&seen.nick, &answer);
            return;
        }
        let config = &self.network.config.private_messages;
        let excluded = config.exclude.iter().any(|nick| self.network.fold(nick) == from);
        if !self.is_puppet() || !config.enabled || excluded {
            debug!(network = %self.network.server, "a private message is not bridged");
            return;
        }
        let Some(part) = part(seen) else { return };
        self.network.state.lock().spelled.insert(from.to_owned(), seen.nick.clone());
        let portal = ids::private(&self.network.server, from, &self.login);
        self.push_message(seen, portal, from, self.message_id(seen), part);
    }

    fn push_message(&self, seen: &Seen, portal: PortalKey, from: &str, id: RemoteMessageId, part: Part) {
        self.push(RemoteEvent::message(portal, self.network.user(from), id, part).at(seen.at()));
    }

    /// `+typing` ([specification](https://ircv3.net/specs/client-tags/typing)).
    pub(super) fn saw_tags(&self, seen: &Seen) {
        let Some(typing) = seen.typing.as_deref() else { return };
        let typing = typing == "active";
        let target = seen.text(0).into_owned();
        let from = self.network.fold(&seen.nick);
        let portal = {
            let state = self.network.state.lock();
            if state.is_own(&from) {
                return;
            }
            let to = state.fold(&target);
            match state.channels.get(&to) {
                Some(channel) if channel.live && channel.is_listener(&self.login) => {
                    self.network.channel(&to)
                }
                Some(_) => return,
                None if self.is_me(&to) => ids::private(&self.network.server, &from, &self.login),
                None => return,
            }
        };
        let kind = RemoteEventKind::Typing { typing };
        self.push(RemoteEvent::new(portal, kind).by(self.network.user(&from)));
    }

    /// What a message is recognised by: the network's name for it, else the connection and the number of the line.
    pub(super) fn message_id(&self, seen: &Seen) -> RemoteMessageId {
        match &seen.msgid {
            Some(msgid) => RemoteMessageId::new(format!("m:{msgid}")),
            None => RemoteMessageId::new(self.next_line_id()),
        }
    }
}

/// A line as the content of a Matrix event. `None` for what is no speech.
fn part(seen: &Seen) -> Option<Part> {
    let text = seen.bytes(1);
    let notice = seen.command == "NOTICE";
    let (text, action) = match ctcp::parse(text) {
        Some((b"ACTION", words)) => (words, true),
        Some(_) => return None,
        None => (text, false),
    };
    let (plain, html) = format::from_irc(text);
    if plain.trim().is_empty() {
        return None;
    }
    let part = match html {
        Some(html) => Part::html(plain, html),
        None => Part::text(plain),
    };
    Some(match (action, notice) {
        (true, _) => part.msgtype("m.emote"),
        (false, true) => part.msgtype("m.notice"),
        (false, false) => part,
    })
}
