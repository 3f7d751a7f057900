//! Who is in a channel, as `NAMES` lists it (RFC 2812, section 3.2.5).

use std::collections::BTreeSet;

use matrix_appservice::bridge::{MemberChange, RemoteEvent};

use super::super::channels::Member;
use super::super::connection::Connection;
use super::super::seen::Seen;

impl Connection {
    pub(super) fn saw_names(&self, seen: &Seen) {
        let folded = self.network.fold(&seen.text(2));
        let mut state = self.network.state.lock();
        let isupport = state.isupport.clone();
        let names = seen.last().into_owned();
        let listed: Vec<(String, Member)> = names
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(|word| {
                let (ranks, nick) = member(word, |sign| isupport.mode_of_sign(sign));
                (state.fold(nick), Member { nick: nick.to_owned(), ranks })
            })
            .collect();
        let Some(channel) = state.channels.get_mut(&folded).filter(|known| known.is_listener(&self.login))
        else {
            return;
        };
        for (folded, member) in listed {
            channel.named(&folded, member);
        }
    }

    pub(super) fn saw_names_end(&self, seen: &Seen) {
        let folded = self.network.fold(&seen.text(1));
        let live = {
            let mut state = self.network.state.lock();
            let Some(channel) =
                state.channels.get_mut(&folded).filter(|known| known.is_listener(&self.login))
            else {
                return;
            };
            channel.names_end();
            channel.live
        };
        self.names_done(&folded);
        if live && self.network.config.membership_lists.irc_to_matrix.initial {
            self.push(RemoteEvent::all_members(self.network.channel(&folded), self.members(&folded)));
        }
    }

    /// Everybody in a channel, for Matrix: those whose leave is held back count, the bridge's connections do not.
    pub(crate) fn members(&self, folded: &str) -> Vec<MemberChange> {
        let state = self.network.state.lock();
        let Some(channel) = state.channels.get(folded) else { return Vec::new() };
        let mut members: Vec<MemberChange> = channel
            .members
            .iter()
            .filter(|(nick, _)| !state.is_own(nick))
            .map(|(nick, member)| self.join_of(nick, &member.nick).with_power(self.power(&member.ranks)))
            .collect();
        let held = state.splits.held_in(folded).filter(|nick| !channel.members.contains_key(*nick));
        members.extend(held.map(|nick| MemberChange::join(self.network.user(nick))));
        members
    }
}

/// The ranks and the nick of a word such as `@+bob!user@host`.
fn member(word: &str, mode_of_sign: impl Fn(char) -> Option<char>) -> (BTreeSet<char>, &str) {
    let mut ranks = BTreeSet::new();
    let mut rest = word;
    while let Some(sign) = rest.chars().next()
        && let Some(mode) = mode_of_sign(sign)
    {
        ranks.insert(mode);
        rest = &rest[sign.len_utf8()..];
    }
    (ranks, rest.split('!').next().unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_hosts_are_taken_off_a_name() {
        let mode = |sign| match sign {
            '@' => Some('o'),
            '+' => Some('v'),
            _ => None,
        };
        for (word, ranks, nick) in [
            ("bob", "", "bob"),
            ("@bob", "o", "bob"),
            ("@+bob!u@h", "ov", "bob"),
            ("+", "v", ""),
            ("~bob", "", "~bob"),
        ] {
            assert_eq!(member(word, mode), (ranks.chars().collect(), nick), "{word}");
        }
    }
}
