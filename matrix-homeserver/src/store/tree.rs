//! The kinds of rows.

use std::ops::Bound;

/// A kind of rows. All kinds share one key space of the engine, told apart by the first byte of the key, so
/// that one batch over many kinds is one plain batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tree {
    /// Name → counters, schema version, signing key.
    Meta = 1,
    /// Event number → header and canonical JSON.
    Event = 2,
    /// Event ID → event number, position.
    EventId = 3,
    /// Room number, position → event number.
    Timeline = 4,
    /// Hash → a node of the map that holds the state of a room.
    StateNode = 5,
    /// Room ID → room number; room number → head.
    Room = 6,
    /// User, room → membership; and the other way round.
    Member = 7,
    /// Users, devices, tokens, filters, account data, profiles, push rules.
    Account = 8,
    /// Alias → room; room, alias.
    Alias = 9,
    /// User, device, endpoint and path, transaction ID → what was answered.
    Txn = 10,
    /// Application service, position → what is to be delivered; and how far it has been.
    Appservice = 11,
    /// Event, kind of relation, event → what is related.
    Relation = 12,
    /// Receipts, read markers, to-device messages, keys.
    Edge = 13,
    /// Uploaded content.
    Media = 14,
}

/// Every kind, with its name in exports.
const ALL: [(Tree, &str); 14] = [
    (Tree::Meta, "meta"),
    (Tree::Event, "event"),
    (Tree::EventId, "event_id"),
    (Tree::Timeline, "timeline"),
    (Tree::StateNode, "state_node"),
    (Tree::Room, "room"),
    (Tree::Member, "member"),
    (Tree::Account, "account"),
    (Tree::Alias, "alias"),
    (Tree::Txn, "txn"),
    (Tree::Appservice, "appservice"),
    (Tree::Relation, "relation"),
    (Tree::Edge, "edge"),
    (Tree::Media, "media"),
];

impl Tree {
    /// The name of the kind in exports.
    pub(crate) fn name(self) -> &'static str {
        ALL.iter().find(|(tree, _)| *tree == self).map_or("", |(_, name)| name)
    }

    /// The kind with this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, known)| *known == name).map(|(tree, _)| *tree)
    }

    /// The kind of the rows whose keys begin with this byte.
    pub(super) fn from_tag(tag: u8) -> Option<Self> {
        ALL.iter().map(|(tree, _)| *tree).find(|tree| *tree as u8 == tag)
    }

    /// The engine's key.
    pub(super) fn key(self, key: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(key.len() + 1);
        bytes.push(self as u8);
        bytes.extend_from_slice(key);
        bytes
    }

    /// Bounds within this kind, where a bound is missing.
    pub(super) fn within(
        self,
        start: Bound<Vec<u8>>,
        end: Bound<Vec<u8>>,
    ) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
        let start = match start {
            Bound::Unbounded => Bound::Included(vec![self as u8]),
            bound => bound,
        };
        let end = match end {
            Bound::Unbounded => Bound::Excluded(vec![self as u8 + 1]),
            bound => bound,
        };
        (start, end)
    }
}
