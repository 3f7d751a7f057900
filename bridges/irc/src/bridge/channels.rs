//! What the bridge knows of the channels of one network: who is in them, and which connection listens.
//!
//! One connection listens to a channel, and only what it sees is told to Matrix. The bridge's own connection is
//! preferred; where it cannot be, the puppet that has been there longest listens. Puppets keep no lists of their own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use matrix_appservice::bridge::LoginId;

use super::scrollback::Scrollback;

/// The channels, by folded name.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    by_name: HashMap<String, Channel>,
}

/// One channel.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    /// The name as the network writes it.
    pub(crate) name: String,
    /// Who is in it, by folded nick, without the bridge's own connections.
    pub(crate) members: BTreeMap<String, Member>,
    /// Whether `members` is complete: the listener has seen the end of `NAMES`.
    pub(crate) complete: bool,
    /// The names that arrived since `NAMES` began.
    collecting: Option<BTreeMap<String, Member>>,
    /// The bridge's connections that are in it, in the order in which they came.
    present: Vec<LoginId>,
    listener: Option<LoginId>,
    /// Whether it has a room: what happens is told to Matrix. Else it is kept as scrollback.
    pub(crate) live: bool,
    pub(crate) topic: Option<String>,
    pub(crate) moderated: bool,
    pub(crate) scrollback: Scrollback,
}

/// Somebody in a channel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Member {
    /// The nick as the network writes it.
    pub(crate) nick: String,
    /// The letters of the modes that rank him.
    pub(crate) ranks: BTreeSet<char>,
}

/// What became of the listener when a connection came or went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// The same connection listens, or still none.
    None,
    /// This connection listens from now on and has to ask for the names.
    To(LoginId),
    /// Nobody is left.
    Deaf,
}

impl Channels {
    pub(crate) fn get(&self, folded: &str) -> Option<&Channel> {
        self.by_name.get(folded)
    }

    pub(crate) fn get_mut(&mut self, folded: &str) -> Option<&mut Channel> {
        self.by_name.get_mut(folded)
    }

    /// The channel, made if it is not known yet.
    pub(crate) fn entry(&mut self, folded: &str, name: &str) -> &mut Channel {
        let channel = self.by_name.entry(folded.to_owned()).or_default();
        if channel.name.is_empty() {
            name.clone_into(&mut channel.name);
        }
        channel
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Channel)> {
        self.by_name.iter()
    }

    /// The channels that somebody is in, as far as this listener hears.
    pub(crate) fn of_member(&self, nick: &str, listener: &LoginId) -> BTreeSet<String> {
        let there = |(_, channel): &(&String, &Channel)| {
            channel.is_listener(listener) && channel.members.contains_key(nick)
        };
        self.by_name.iter().filter(there).map(|(folded, _)| folded.clone()).collect()
    }

    /// The channels that a connection is in.
    pub(crate) fn of_login(&self, login: &LoginId) -> Vec<String> {
        let there = |(_, channel): &(&String, &Channel)| channel.present.contains(login);
        self.by_name.iter().filter(there).map(|(folded, _)| folded.clone()).collect()
    }
}

impl Channel {
    pub(crate) fn is_listener(&self, login: &LoginId) -> bool {
        self.listener.as_ref() == Some(login)
    }

    /// A connection of the bridge is in the channel now. `preferred` is the bridge's own: it takes over.
    pub(crate) fn entered(&mut self, login: &LoginId, preferred: bool) -> Handover {
        if !self.present.contains(login) {
            self.present.push(login.clone());
        }
        if self.listener.is_none() || (preferred && !self.is_listener(login)) {
            self.listener = Some(login.clone());
            self.complete = false;
            return Handover::To(login.clone());
        }
        Handover::None
    }

    /// A connection of the bridge left, or was lost.
    pub(crate) fn left(&mut self, login: &LoginId) -> Handover {
        self.present.retain(|other| other != login);
        if !self.is_listener(login) {
            return Handover::None;
        }
        self.collecting = None;
        self.complete = false;
        self.listener = self.present.first().cloned();
        self.listener.clone().map_or(Handover::Deaf, Handover::To)
    }

    /// A line of `NAMES` names somebody.
    pub(crate) fn named(&mut self, folded: &str, member: Member) {
        self.collecting.get_or_insert_default().insert(folded.to_owned(), member);
    }

    /// `NAMES` ended: the list is replaced by what it named.
    pub(crate) fn names_end(&mut self) {
        self.members = self.collecting.take().unwrap_or_default();
        self.complete = true;
    }

    /// Somebody came in.
    pub(crate) fn joined(&mut self, folded: &str, nick: &str) {
        let member = Member { nick: nick.to_owned(), ranks: BTreeSet::new() };
        self.members.insert(folded.to_owned(), member.clone());
        if let Some(collecting) = &mut self.collecting {
            collecting.entry(folded.to_owned()).or_insert(member);
        }
    }

    /// Somebody is gone.
    pub(crate) fn parted(&mut self, folded: &str) -> Option<Member> {
        if let Some(collecting) = &mut self.collecting {
            collecting.remove(folded);
        }
        self.members.remove(folded)
    }

    /// Somebody has another nick. What he was, if he was here.
    pub(crate) fn renamed(&mut self, old: &str, new: &str, nick: &str) -> Option<Member> {
        let rename = |list: &mut BTreeMap<String, Member>| {
            let before = list.remove(old)?;
            list.insert(new.to_owned(), Member { nick: nick.to_owned(), ranks: before.ranks.clone() });
            Some(before)
        };
        if let Some(collecting) = &mut self.collecting {
            rename(collecting);
        }
        rename(&mut self.members)
    }

    /// A rank was given or taken. The ranks that remain, if the member is here.
    pub(crate) fn ranked(&mut self, folded: &str, mode: char, add: bool) -> Option<&Member> {
        let apply =
            |member: &mut Member| if add { member.ranks.insert(mode) } else { member.ranks.remove(&mode) };
        if let Some(member) = self.collecting.as_mut().and_then(|list| list.get_mut(folded)) {
            apply(member);
        }
        let member = self.members.get_mut(folded)?;
        apply(member);
        Some(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(name: &str) -> LoginId {
        LoginId::new(name)
    }

    fn member(nick: &str) -> Member {
        Member { nick: nick.to_owned(), ranks: BTreeSet::new() }
    }

    #[test]
    fn the_bridges_own_connection_takes_over_and_a_puppet_steps_in_when_it_is_gone() {
        let (mut channel, bot, alice) = (Channel::default(), login("n/listener"), login("n/@a:b"));
        assert_eq!(channel.entered(&alice, false), Handover::To(alice.clone()));
        assert_eq!(channel.entered(&bot, true), Handover::To(bot.clone()));
        assert_eq!(channel.entered(&login("n/@c:d"), false), Handover::None);
        assert_eq!(channel.left(&bot), Handover::To(alice.clone()));
        assert_eq!(channel.left(&login("n/@c:d")), Handover::None);
        assert_eq!(channel.left(&alice), Handover::Deaf);
    }

    #[test]
    fn who_comes_and_goes_while_names_are_listed_is_counted_right() {
        let mut channel = Channel::default();
        channel.joined("old", "old");
        channel.named("alice", member("Alice"));
        channel.named("bob", member("bob"));
        channel.parted("bob");
        channel.joined("carol", "Carol");
        channel.renamed("alice", "alicia", "Alicia");
        channel.names_end();
        assert_eq!(channel.members.keys().collect::<Vec<_>>(), ["alicia", "carol"]);
        assert!(channel.complete);
    }

    #[test]
    fn losing_one_rank_leaves_the_others() {
        let mut channel = Channel::default();
        channel.joined("bob", "bob");
        channel.ranked("bob", 'v', true);
        channel.ranked("bob", 'o', true);
        let left = channel.ranked("bob", 'o', false).expect("bob is here");
        assert_eq!(left.ranks, ['v'].into());
        assert_eq!(channel.ranked("nobody", 'o', true), None);
    }
}
