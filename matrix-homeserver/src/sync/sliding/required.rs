//! Which state of a room a client wants.

use std::collections::{BTreeMap, BTreeSet};

use ruma::UserId;

use crate::{
    room::StateTree,
    store::{Store, StoreError},
};

const MEMBER: &str = "m.room.member";
const ANY: &str = "*";
const ME: &str = "$ME";
const LAZY: &str = "$LAZY";

/// Places in the state of a room, as one or several rules name them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RequiredState {
    everything: Everything,
    /// Every state key of these types.
    types: BTreeSet<String>,
    /// These state keys of every type.
    keys: BTreeSet<String>,
    /// Types with state keys.
    places: BTreeMap<String, BTreeSet<String>>,
    /// The members who are needed to show the timeline.
    pub(super) lazy_members: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Everything {
    #[default]
    No,
    /// The members are loaded as they are needed.
    ButMembers,
    Yes,
}

impl RequiredState {
    /// What a list of types and state keys names.
    pub(super) fn new(pairs: &[(String, String)], me: &UserId) -> Self {
        let lazy_members = pairs.iter().any(|(kind, key)| kind == MEMBER && key == LAZY);
        let mut required = Self { lazy_members, ..Self::default() };
        for (kind, key) in pairs {
            let key = if key == ME { me.as_str() } else { key };
            match (kind.as_str(), key) {
                (_, LAZY) => {}
                (ANY, ANY) if lazy_members => required.everything = Everything::ButMembers,
                (ANY, ANY) => required.everything = Everything::Yes,
                (ANY, key) => drop(required.keys.insert(key.to_owned())),
                (kind, ANY) => drop(required.types.insert(kind.to_owned())),
                (kind, key) => {
                    required.places.entry(kind.to_owned()).or_default().insert(key.to_owned());
                }
            }
        }
        required
    }

    /// Adds what another rule names.
    pub(super) fn add(&mut self, other: &Self) {
        self.everything = self.everything.max(other.everything);
        self.types.extend(other.types.iter().cloned());
        self.keys.extend(other.keys.iter().cloned());
        for (kind, keys) in &other.places {
            self.places.entry(kind.clone()).or_default().extend(keys.iter().cloned());
        }
        self.lazy_members |= other.lazy_members;
    }

    /// Whether a place is among them; not for the sake of the timeline.
    pub(super) fn names(&self, kind: &str, key: &str) -> bool {
        match self.everything {
            Everything::Yes => return true,
            Everything::ButMembers if kind != MEMBER => return true,
            _ => {}
        }
        self.types.contains(kind)
            || self.keys.contains(key)
            || self.places.get(kind).is_some_and(|keys| keys.contains(key))
    }

    /// Whether everything that another names is named here.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.covers_wildcards(other) && other.pairs().all(|(kind, key)| self.names(kind, key))
    }

    /// The places that are named without a wildcard.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.places.iter().flat_map(|(kind, keys)| keys.iter().map(|key| (kind.as_str(), key.as_str())))
    }

    fn covers_wildcards(&self, other: &Self) -> bool {
        self.everything >= other.everything
            && other.types.iter().all(|kind| {
                self.types.contains(kind)
                    || self.everything == Everything::Yes
                    || (self.everything == Everything::ButMembers && kind != MEMBER)
            })
            && (other.keys.is_subset(&self.keys) || self.everything == Everything::Yes)
    }

    /// The events of a state that are named here and not by another: their numbers.
    pub(super) fn pick(&self, store: &Store, state: &StateTree, but: &Self) -> Result<Vec<u64>, StoreError> {
        let is_new = |kind: &str, key: &str| self.names(kind, key) && !but.names(kind, key);
        if !but.covers_wildcards(self) {
            let entries = state.entries(store)?;
            let new = entries.iter().filter(|entry| is_new(&entry.event_type, &entry.state_key));
            return Ok(new.map(|entry| entry.number).collect());
        }
        let mut numbers = Vec::new();
        for (kind, key) in self.pairs().filter(|(kind, key)| is_new(kind, key)) {
            numbers.extend(state.get(store, kind, key)?);
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn required(pairs: &[(&str, &str)]) -> RequiredState {
        let pairs: Vec<_> = pairs.iter().map(|(kind, key)| ((*kind).to_owned(), (*key).to_owned())).collect();
        RequiredState::new(&pairs, user_id!("@me:hs.test"))
    }

    #[test]
    fn places_are_named_by_type_and_key_with_wildcards() {
        for (pairs, kind, key, named) in [
            (&[("m.room.name", "")][..], "m.room.name", "", true),
            (&[("m.room.name", "")], "m.room.name", "x", false),
            (&[("m.room.name", "")], "m.room.topic", "", false),
            (&[("m.space.child", "*")], "m.space.child", "!a:b", true),
            (&[("m.space.child", "*")], "m.space.parent", "!a:b", false),
            (&[("*", "x")], "m.any", "x", true),
            (&[("*", "x")], "m.any", "y", false),
            (&[("*", "*")], MEMBER, "@a:b", true),
            (&[("*", "*"), (MEMBER, LAZY)], MEMBER, "@a:b", false),
            (&[("*", "*"), (MEMBER, LAZY)], "m.room.name", "", true),
            (&[("*", "*"), (MEMBER, LAZY), (MEMBER, ME)], MEMBER, "@me:hs.test", true),
            (&[(MEMBER, ME)], MEMBER, "@me:hs.test", true),
            (&[(MEMBER, ME)], MEMBER, "@a:b", false),
            (&[(MEMBER, LAZY)], MEMBER, "@a:b", false),
            (&[], "m.room.name", "", false),
        ] {
            assert_eq!(required(pairs).names(kind, key), named, "{pairs:?} {kind} {key}");
        }
    }

    #[test]
    fn what_is_covered_needs_not_be_told_again() {
        for (has, wants, covered) in [
            (&[("m.room.name", "")][..], &[("m.room.name", "")][..], true),
            (&[], &[("m.room.name", "")], false),
            (&[("*", "*")], &[("m.room.name", ""), ("m.space.child", "*"), ("*", "x")], true),
            (&[("m.space.child", "*")], &[("m.space.child", "!a:b")], true),
            (&[("m.space.child", "!a:b")], &[("m.space.child", "*")], false),
            (&[("*", "*"), (MEMBER, LAZY)], &[("*", "*")], false),
            (&[("*", "*"), (MEMBER, LAZY)], &[(MEMBER, "*")], false),
            (&[("*", "*"), (MEMBER, LAZY)], &[("m.space.child", "*")], true),
            (&[("*", "x")], &[("m.any", "x")], true),
        ] {
            assert_eq!(required(has).covers(&required(wants)), covered, "{has:?} {wants:?}");
        }
    }

    #[test]
    fn rules_that_match_together_name_what_each_of_them_does() {
        let mut both = required(&[("*", "*"), (MEMBER, LAZY)]);
        both.add(&required(&[("*", "*")]));
        assert!(both.names(MEMBER, "@a:b") && both.lazy_members);
        let mut both = required(&[("m.room.name", "")]);
        both.add(&required(&[(MEMBER, LAZY), ("m.room.topic", "")]));
        assert!(both.names("m.room.name", "") && both.names("m.room.topic", "") && both.lazy_members);
    }
}
