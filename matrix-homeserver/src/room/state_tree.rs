//! The state of a room as a persistent map.
//!
//! A map from (event type, state key) to an event's number, kept as a tree whose nodes are named by the hash
//! of what they hold. Changing one entry makes a handful of new nodes and shares the rest, so every event can
//! name the state before it by 16 bytes, old states are read as easily as the current one, and two states
//! differ exactly where their hashes do.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::store::{Store, StoreError, Tree, WriteSet};

/// How many bits of the path one level takes.
const BITS: u32 = 4;
/// The children of a node.
const WIDTH: usize = 1 << BITS;
/// How many entries a leaf holds before it is split.
const LEAF: usize = 16;
/// Below this level leaves are not split: the path has no more bits.
const DEPTH: u32 = u64::BITS / BITS;

type Hash = [u8; 16];

/// The name of a whole state. All zeros: nothing at all, before the first event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Root(pub(crate) Hash);

impl Serialize for Root {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", u128::from_be_bytes(self.0)))
    }
}

impl<'de> Deserialize<'de> for Root {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Root({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

/// A state event's place and number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    path: u64,
    pub(crate) event_type: Arc<str>,
    pub(crate) state_key: Arc<str>,
    pub(crate) number: u64,
}

/// A state. Cloning is cheap.
#[derive(Clone, Default)]
pub(crate) struct StateTree {
    root: Option<Link>,
}

type Link = Arc<Slot>;

/// A node, known by its hash and read when it is needed.
struct Slot {
    hash: Hash,
    node: OnceLock<Node>,
}

enum Node {
    /// In the order of path, type and key.
    Leaf(Vec<Entry>),
    Branch([Option<Link>; WIDTH]),
}

impl fmt::Debug for StateTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root().fmt(f)
    }
}

impl PartialEq for StateTree {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl StateTree {
    /// The state of this name. Nodes are read when they are needed.
    pub(crate) fn at(root: Root) -> Self {
        Self { root: (root != Root::default()).then(|| Slot::known(root.0)) }
    }

    /// The name of this state.
    pub(crate) fn root(&self) -> Root {
        Root(self.root.as_ref().map_or_else(Hash::default, |slot| slot.hash))
    }

    /// The event in this place.
    pub(crate) fn get(
        &self,
        store: &Store,
        event_type: &str,
        state_key: &str,
    ) -> Result<Option<u64>, StoreError> {
        let path = path(event_type, state_key);
        let mut level = 0;
        let mut link = self.root.as_ref();
        while let Some(slot) = link {
            match slot.node(store)? {
                Node::Branch(children) => link = children[step(path, level)].as_ref(),
                Node::Leaf(entries) => {
                    let found = entries.iter().find(|entry| entry.is(path, event_type, state_key));
                    return Ok(found.map(|entry| entry.number));
                }
            }
            level += 1;
        }
        Ok(None)
    }

    /// The state with an event in this place. The new nodes are added to the set.
    pub(crate) fn with(
        &self,
        store: &Store,
        event_type: &str,
        state_key: &str,
        number: u64,
        set: &mut WriteSet,
    ) -> Result<Self, StoreError> {
        let entry = Entry {
            path: path(event_type, state_key),
            event_type: event_type.into(),
            state_key: state_key.into(),
            number,
        };
        Ok(Self { root: Some(insert(self.root.as_ref(), store, entry, 0, set)?) })
    }

    /// Every entry.
    pub(crate) fn entries(&self, store: &Store) -> Result<Vec<Entry>, StoreError> {
        self.changed_since(store, &Self::default())
    }

    /// The entries that are not in an older state, in no particular order. An entry that is only in the older
    /// state is not told.
    pub(crate) fn changed_since(&self, store: &Store, older: &Self) -> Result<Vec<Entry>, StoreError> {
        let mut changed = Vec::new();
        if let Some(root) = &self.root {
            compare(root, older.root.as_ref(), store, &mut changed)?;
        }
        Ok(changed)
    }
}

impl Entry {
    fn is(&self, path: u64, event_type: &str, state_key: &str) -> bool {
        self.path == path && &*self.state_key == state_key && &*self.event_type == event_type
    }

    fn order(&self) -> (u64, &str, &str) {
        (self.path, &self.event_type, &self.state_key)
    }
}

impl Slot {
    fn known(hash: Hash) -> Link {
        Arc::new(Self { hash, node: OnceLock::new() })
    }

    /// A new node, which is added to the set.
    fn new(node: Node, set: &mut WriteSet) -> Link {
        let bytes = node.encode();
        let digest = Sha256::digest(&bytes);
        let mut hash = Hash::default();
        hash.copy_from_slice(&digest[..16]);
        set.put(Tree::StateNode, hash, bytes);
        let slot = Self { hash, node: OnceLock::new() };
        let _ = slot.node.set(node);
        Arc::new(slot)
    }

    fn node(&self, store: &Store) -> Result<&Node, StoreError> {
        if let Some(node) = self.node.get() {
            return Ok(node);
        }
        let row = store
            .get(Tree::StateNode, self.hash)?
            .ok_or_else(|| StoreError::damaged("a part of a room's state is missing"))?;
        let node = Node::decode(&row).ok_or_else(|| StoreError::damaged("a part of a room's state"))?;
        Ok(self.node.get_or_init(|| node))
    }
}

impl Node {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Branch(children) => {
                bytes.push(1);
                let present = (0..WIDTH).filter(|n| children[*n].is_some());
                let bitmap = present.fold(0_u16, |bitmap, n| bitmap | 1 << n);
                bytes.extend_from_slice(&bitmap.to_be_bytes());
                for child in children.iter().flatten() {
                    bytes.extend_from_slice(&child.hash);
                }
            }
            Self::Leaf(entries) => {
                bytes.push(0);
                for entry in entries {
                    bytes.extend_from_slice(&entry.number.to_be_bytes());
                    for text in [&entry.event_type, &entry.state_key] {
                        // Both are at most 255 bytes long: larger events are refused.
                        let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
                        bytes.extend_from_slice(&len.to_be_bytes());
                        bytes.extend_from_slice(&text.as_bytes()[..usize::from(len)]);
                    }
                }
            }
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, mut bytes) = bytes.split_first()?;
        if *kind == 1 {
            let (bitmap, hashes) = bytes.split_first_chunk::<2>()?;
            let bitmap = u16::from_be_bytes(*bitmap);
            let mut hashes = hashes.as_chunks::<16>().0.iter();
            let mut children = [const { None }; WIDTH];
            for (n, child) in children.iter_mut().enumerate() {
                if bitmap & (1 << n) != 0 {
                    *child = Some(Slot::known(*hashes.next()?));
                }
            }
            return Some(Self::Branch(children));
        }
        let mut entries = Vec::new();
        while !bytes.is_empty() {
            let (number, rest) = bytes.split_first_chunk::<8>()?;
            bytes = rest;
            let mut text = || {
                let (len, rest) = bytes.split_first_chunk::<2>()?;
                let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
                bytes = rest;
                std::str::from_utf8(text).ok().map(Arc::<str>::from)
            };
            let (event_type, state_key) = (text()?, text()?);
            let path = path(&event_type, &state_key);
            entries.push(Entry { path, event_type, state_key, number: u64::from_be_bytes(*number) });
        }
        Some(Self::Leaf(entries))
    }
}

/// Where in the tree a place is. Not to be steered by who chooses the state key.
fn path(event_type: &str, state_key: &str) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(event_type);
    hasher.update([0xff]);
    hasher.update(state_key);
    let digest = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

/// The child to go to.
fn step(path: u64, level: u32) -> usize {
    let shift = u64::BITS.saturating_sub(BITS * (level + 1));
    usize::try_from((path >> shift) & (WIDTH as u64 - 1)).unwrap_or_default()
}

fn insert(
    link: Option<&Link>,
    store: &Store,
    entry: Entry,
    level: u32,
    set: &mut WriteSet,
) -> Result<Link, StoreError> {
    let Some(slot) = link else { return Ok(Slot::new(Node::Leaf(vec![entry]), set)) };
    match slot.node(store)? {
        Node::Branch(children) => {
            let mut children = children.clone();
            let child = &mut children[step(entry.path, level)];
            *child = Some(insert(child.as_ref(), store, entry, level + 1, set)?);
            Ok(Slot::new(Node::Branch(children), set))
        }
        Node::Leaf(entries) => {
            let mut entries = entries.clone();
            match entries.binary_search_by(|other| other.order().cmp(&entry.order())) {
                Ok(at) => entries[at] = entry,
                Err(at) => entries.insert(at, entry),
            }
            Ok(split(entries, level, set))
        }
    }
}

/// The node of these entries: a leaf, or a branch if they are too many.
fn split(entries: Vec<Entry>, level: u32, set: &mut WriteSet) -> Link {
    if entries.len() <= LEAF || level >= DEPTH {
        return Slot::new(Node::Leaf(entries), set);
    }
    let mut parts = [const { Vec::new() }; WIDTH];
    for entry in entries {
        parts[step(entry.path, level)].push(entry);
    }
    let children = parts.map(|part| (!part.is_empty()).then(|| split(part, level + 1, set)));
    Slot::new(Node::Branch(children), set)
}

/// Collects what is under `newer` and not the same under `older`, which is in the same place of its tree.
fn compare(
    newer: &Link,
    older: Option<&Link>,
    store: &Store,
    changed: &mut Vec<Entry>,
) -> Result<(), StoreError> {
    if older.is_some_and(|older| older.hash == newer.hash) {
        return Ok(());
    }
    let before = older.map(|older| older.node(store)).transpose()?;
    match (newer.node(store)?, before) {
        (Node::Branch(children), Some(Node::Branch(others))) => {
            for (child, other) in children.iter().zip(others) {
                if let Some(child) = child {
                    compare(child, other.as_ref(), store, changed)?;
                }
            }
        }
        (newer, older) => {
            let mut known = Vec::new();
            if let Some(older) = older {
                collect(older, store, &mut known)?;
            }
            let mut all = Vec::new();
            collect(newer, store, &mut all)?;
            changed.extend(all.into_iter().filter(|entry| !known.contains(entry)));
        }
    }
    Ok(())
}

fn collect(node: &Node, store: &Store, entries: &mut Vec<Entry>) -> Result<(), StoreError> {
    match node {
        Node::Leaf(leaf) => entries.extend(leaf.iter().cloned()),
        Node::Branch(children) => {
            for child in children.iter().flatten() {
                collect(child.node(store)?, store, entries)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn build(store: &Store, entries: &[(u8, u8, u64)]) -> (StateTree, WriteSet) {
        let mut set = WriteSet::new();
        let mut tree = StateTree::default();
        for (event_type, key, number) in entries {
            tree =
                tree.with(store, &format!("t{event_type}"), &format!("k{key}"), *number, &mut set).unwrap();
        }
        (tree, set)
    }

    fn as_map(entries: Vec<Entry>) -> BTreeMap<(String, String), u64> {
        entries
            .into_iter()
            .map(|entry| ((entry.event_type.to_string(), entry.state_key.to_string()), entry.number))
            .collect()
    }

    fn model(entries: &[(u8, u8, u64)]) -> BTreeMap<(String, String), u64> {
        entries.iter().map(|(t, k, n)| ((format!("t{t}"), format!("k{k}")), *n)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn a_state_is_a_map_whose_name_does_not_depend_on_how_it_came_about(
            entries in proptest::collection::vec((0_u8..4, any::<u8>(), 1_u64..100), 0..300),
        ) {
            let store = Store::temporary().unwrap();
            let (tree, _) = build(&store, &entries);
            let expected = model(&entries);
            prop_assert_eq!(&as_map(tree.entries(&store).unwrap()), &expected);
            let mut set = WriteSet::new();
            let mut again = StateTree::default();
            for ((event_type, key), number) in expected.iter().rev() {
                again = again.with(&store, event_type, key, *number, &mut set).unwrap();
                prop_assert_eq!(again.get(&store, event_type, key).unwrap(), Some(*number));
            }
            prop_assert_eq!(again.root(), tree.root());
            prop_assert_eq!(tree.get(&store, "t9", "k").unwrap(), None);
        }

        #[test]
        fn the_difference_of_two_states_is_what_changed(
            first in proptest::collection::vec((0_u8..4, any::<u8>(), 1_u64..100), 0..200),
            second in proptest::collection::vec((0_u8..4, any::<u8>(), 1_u64..100), 0..60),
        ) {
            let store = Store::temporary().unwrap();
            let (older, _) = build(&store, &first);
            let all: Vec<_> = first.iter().chain(&second).copied().collect();
            let (newer, _) = build(&store, &all);
            let before = model(&first);
            let expected: BTreeMap<_, _> =
                model(&all).into_iter().filter(|(key, number)| before.get(key) != Some(number)).collect();
            prop_assert_eq!(as_map(newer.changed_since(&store, &older).unwrap()), expected);
        }
    }

    #[tokio::test]
    async fn a_state_is_read_back_by_its_name() {
        let store = Store::temporary().unwrap();
        let entries: Vec<_> = (0..=255).map(|key| (0, key, u64::from(key) + 1)).collect();
        let (tree, set) = build(&store, &entries);
        store.commit(set).await.unwrap();
        let read = StateTree::at(tree.root());
        assert_eq!(as_map(read.entries(&store).unwrap()), model(&entries));
        assert_eq!(read.get(&store, "t0", "k255").unwrap(), Some(256));
    }

    #[test]
    fn no_bytes_panic() {
        for bytes in [&[][..], &[0, 1], &[1, 0xff, 0xff, 0], &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 1]] {
            assert!(Node::decode(bytes).is_none());
        }
    }
}
