//! A channel: who is in it, with which rank, under which modes.

use std::collections::{BTreeMap, BTreeSet};

use super::state::ConnectionId;

/// Ranks from high to low, as `PREFIX` announces them: mode letters and signs.
pub(super) const RANKS: [(char, char); 5] = [('q', '~'), ('a', '&'), ('o', '@'), ('h', '%'), ('v', '+')];

/// A channel.
#[derive(Debug)]
pub(super) struct Channel {
    /// The name as its founder wrote it.
    pub(super) name: String,
    pub(super) topic: Option<(String, String, u64)>,
    pub(super) created: u64,
    /// Members with the mode letters of their ranks.
    pub(super) members: BTreeMap<ConnectionId, BTreeSet<char>>,
    /// Modes without argument.
    pub(super) flags: BTreeSet<char>,
    pub(super) key: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) bans: BTreeSet<String>,
    pub(super) invited: BTreeSet<ConnectionId>,
}

impl Channel {
    pub(super) fn new(name: &str, created: u64) -> Self {
        Self {
            name: name.to_owned(),
            topic: None,
            created,
            members: BTreeMap::new(),
            flags: ['n', 't'].into(),
            key: None,
            limit: None,
            bans: BTreeSet::new(),
            invited: BTreeSet::new(),
        }
    }

    /// The signs of a member's ranks, from high to low; only the highest without `multi-prefix`.
    pub(super) fn signs(&self, id: ConnectionId, all: bool) -> String {
        let Some(ranks) = self.members.get(&id) else { return String::new() };
        let signs = RANKS.iter().filter(|(mode, _)| ranks.contains(mode)).map(|(_, sign)| *sign);
        signs.take(if all { RANKS.len() } else { 1 }).collect()
    }

    /// Whether a member may change modes and topic, kick and invite.
    pub(super) fn is_operator(&self, id: ConnectionId) -> bool {
        self.members.get(&id).is_some_and(|ranks| ranks.iter().any(|mode| "qao".contains(*mode)))
    }

    /// Whether a client may speak: members in general; with `m` only those with a rank; without `n` everybody.
    pub(super) fn may_speak(&self, id: ConnectionId) -> bool {
        match self.members.get(&id) {
            Some(ranks) => !self.flags.contains(&'m') || !ranks.is_empty(),
            None => !self.flags.contains(&'n') && !self.flags.contains(&'m'),
        }
    }

    /// The modes as `MODE #channel` answers them.
    pub(super) fn modes(&self) -> Vec<String> {
        let mut letters: String = "+".to_owned();
        letters.extend(&self.flags);
        let mut words = Vec::new();
        if let Some(key) = &self.key {
            letters.push('k');
            words.push(key.clone());
        }
        if let Some(limit) = self.limit {
            letters.push('l');
            words.push(limit.to_string());
        }
        words.insert(0, letters);
        words
    }
}

/// Whether a mask with `*` and `?` matches, without regard to ASCII case.
pub(super) fn matches(mask: &str, text: &str) -> bool {
    fn go(mask: &[u8], text: &[u8]) -> bool {
        match mask.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| go(rest, &text[skip..])),
            Some((b'?', rest)) => !text.is_empty() && go(rest, &text[1..]),
            Some((byte, rest)) => {
                text.first().is_some_and(|c| c.eq_ignore_ascii_case(byte)) && go(rest, &text[1..])
            }
        }
    }
    go(mask.as_bytes(), text.as_bytes())
}
