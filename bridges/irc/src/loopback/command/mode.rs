//! Modes of channels and users (RFC 2812, sections 3.1.5 and 3.2.3).

use std::collections::VecDeque;

use super::super::channel::RANKS;
use super::super::state::{ConnectionId, State};
use super::super::wire::{Reply, Request};

impl State {
    pub(super) fn mode(&mut self, id: ConnectionId, request: &Request) {
        if !self.needs(id, request, 1) {
            return;
        }
        let target = request.text(0).into_owned();
        if target.starts_with(['#', '&']) {
            self.channel_mode(id, &target, request);
        } else if self.find(&target) == Some(id) {
            self.user_mode(id, request);
        } else {
            self.numeric(id, 502, &["Can't change mode for other users"]);
        }
    }

    fn user_mode(&mut self, id: ConnectionId, request: &Request) {
        let change = request.text(1).into_owned();
        if change.is_empty() {
            let modes = format!("+{}", self.client(id).modes);
            self.numeric(id, 221, &[modes]);
            return;
        }
        let client = self.client_mut(id);
        let mut add = true;
        for mode in change.chars() {
            match mode {
                '+' => add = true,
                '-' => add = false,
                mode => {
                    client.modes.retain(|other| other != mode);
                    if add {
                        client.modes.push(mode);
                    }
                }
            }
        }
        let reply = Reply::new(client.mask(), "MODE").param(client.shown_nick()).param(change);
        self.send(id, &reply);
    }

    fn channel_mode(&mut self, id: ConnectionId, name: &str, request: &Request) {
        let folded = self.fold(name);
        if request.params.len() < 2 {
            let Some(channel) = self.channels.get(&folded) else {
                self.numeric(id, 403, &[name, "No such channel"]);
                return;
            };
            let (modes, created) = (channel.modes(), channel.created.to_string());
            self.numeric(id, 324, &[&[name.to_owned()][..], &modes].concat());
            self.numeric(id, 329, &[name, &created]);
            return;
        }
        let change = request.text(1).into_owned();
        if matches!(change.as_str(), "b" | "+b") && request.params.len() == 2 {
            let bans: Vec<String> = self
                .channels
                .get(&folded)
                .map(|channel| channel.bans.iter().cloned().collect())
                .unwrap_or_default();
            for ban in bans {
                self.numeric(id, 367, &[name, &ban]);
            }
            self.numeric(id, 368, &[name, "End of channel ban list"]);
            return;
        }
        if self.must_rule(id, name).is_some() {
            let words = (2..request.params.len()).map(|index| request.text(index).into_owned()).collect();
            self.change_modes(id, name, &change, words);
        }
    }

    fn change_modes(&mut self, id: ConnectionId, name: &str, change: &str, mut words: VecDeque<String>) {
        let mut add = true;
        let mut done = String::new();
        let mut used = Vec::new();
        for mode in change.chars() {
            match mode {
                '+' | '-' => {
                    add = mode == '+';
                }
                mode => {
                    let takes_word = RANKS.iter().any(|(rank, _)| *rank == mode)
                        || mode == 'b'
                        || mode == 'k'
                        || (mode == 'l' && add);
                    let word = if takes_word { words.pop_front() } else { None };
                    if takes_word && word.is_none() {
                        continue;
                    }
                    if self.change_mode(id, name, mode, add, word.as_deref()) {
                        done.push(if add { '+' } else { '-' });
                        done.push(mode);
                        used.extend(word);
                    }
                }
            }
        }
        if !done.is_empty() {
            let reply = Reply::new(self.client(id).mask(), "MODE").param(name).param(done).params(used);
            let reply = self.stamped(reply);
            self.send_to_channel(name, &reply, None);
        }
    }

    fn change_mode(
        &mut self,
        id: ConnectionId,
        name: &str,
        mode: char,
        add: bool,
        word: Option<&str>,
    ) -> bool {
        let folded = self.fold(name);
        let target = word.and_then(|word| self.find(word));
        let Some(channel) = self.channels.get_mut(&folded) else { return false };
        match (mode, word) {
            ('b', Some(mask)) if add => channel.bans.insert(mask.to_owned()),
            ('b', Some(mask)) => channel.bans.remove(mask),
            ('k', Some(key)) => {
                channel.key = add.then(|| key.to_owned());
                true
            }
            ('l', word) => {
                channel.limit = word.filter(|_| add).and_then(|word| word.parse().ok());
                true
            }
            ('i' | 'm' | 'n' | 'p' | 's' | 't', _) if add => channel.flags.insert(mode),
            ('i' | 'm' | 'n' | 'p' | 's' | 't', _) => channel.flags.remove(&mode),
            (_, Some(word)) if RANKS.iter().any(|(rank, _)| *rank == mode) => {
                match target.and_then(|target| channel.members.get_mut(&target)) {
                    Some(ranks) if add => ranks.insert(mode),
                    Some(ranks) => ranks.remove(&mode),
                    None => {
                        self.numeric(id, 441, &[word, name, "They aren't on that channel"]);
                        false
                    }
                }
            }
            _ => {
                self.numeric(id, 472, &[&mode.to_string(), "is unknown mode char to me"]);
                false
            }
        }
    }
}
