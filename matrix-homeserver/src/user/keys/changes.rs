//! Whose keys changed when.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, OnceLock},
};

use parking_lot::RwLock;
use ruma::{OwnedUserId, UserId};

use crate::{
    store::{KeyBuf, Position, Store, StoreError, Tree, WriteSet, key},
    sync::Window,
};

type Listener = Box<dyn Fn(&UserId) + Send + Sync>;

/// The last change of every user's keys: rows in the store, and in memory by position.
pub(crate) struct Changes {
    store: Store,
    index: Arc<RwLock<Index>>,
    /// Told of every user whose keys have changed, when that can be seen.
    listener: Arc<OnceLock<Listener>>,
}

#[derive(Debug, Default)]
struct Index {
    by_position: BTreeMap<Position, OwnedUserId>,
    of_user: HashMap<OwnedUserId, Position>,
}

impl Index {
    fn set(&mut self, user_id: OwnedUserId, position: Position) {
        if let Some(before) = self.of_user.insert(user_id.clone(), position) {
            self.by_position.remove(&before);
        }
        self.by_position.insert(position, user_id);
    }
}

impl Changes {
    pub(super) fn open(store: &Store) -> Result<Self, StoreError> {
        let mut index = Index::default();
        for row in store.scan_prefix(Tree::Edge, key(["keys_changed"])) {
            let (key, row) = row?;
            let user_id = KeyBuf::read(&key).and_then(|[_, user_id]| OwnedUserId::try_from(user_id).ok());
            if let (Some(user_id), Some(position)) = (user_id, Position::from_suffix(&row)) {
                index.set(user_id, position);
            }
        }
        Ok(Self { store: store.clone(), index: Arc::new(RwLock::new(index)), listener: Arc::default() })
    }

    /// Calls back whenever somebody's keys have changed. Once.
    pub(crate) fn listen(&self, listener: impl Fn(&UserId) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    /// Notes that a user's keys change with what is being written.
    pub(super) fn stage(&self, user_id: &UserId, writes: &mut WriteSet) {
        let row = key(["keys_changed", user_id.as_str()]);
        writes.positioned(move |position, rows| rows.put(Tree::Edge, row, position.to_bytes()));
        let (index, whose) = (self.index.clone(), user_id.to_owned());
        // Several changes in one batch end at one position, or near it; the batch is seen as a whole.
        writes.on_commit(move |position| index.write().set(whose, position));
        let (listener, whose) = (self.listener.clone(), user_id.to_owned());
        writes.on_visible(move |_| {
            if let Some(listener) = listener.get() {
                listener(&whose);
            }
        });
    }

    /// Notes that a user has vouched for another, which is nobody else's business.
    pub(super) fn stage_vouching(&self, user_id: &UserId, other: &UserId, writes: &mut WriteSet) {
        let row = key(["vouched", user_id.as_str(), other.as_str()]);
        writes.positioned(move |position, rows| rows.put(Tree::Edge, row, position.to_bytes()));
        let (listener, whose) = (self.listener.clone(), user_id.to_owned());
        writes.on_visible(move |_| {
            if let Some(listener) = listener.get() {
                listener(&whose);
            }
        });
    }

    /// Whose keys changed.
    pub(crate) fn between(&self, window: Window) -> Vec<OwnedUserId> {
        let since = window.since.unwrap_or(Position::ZERO).next();
        if since > window.upto {
            return Vec::new();
        }
        self.index.read().by_position.range(since..=window.upto).map(|(_, user_id)| user_id.clone()).collect()
    }

    /// For whom a user has vouched.
    pub(crate) fn vouched_between(
        &self,
        user_id: &UserId,
        window: Window,
    ) -> Result<Vec<OwnedUserId>, StoreError> {
        let mut found = Vec::new();
        for row in self.store.scan_prefix(Tree::Edge, key(["vouched", user_id.as_str()])) {
            let (key, row) = row?;
            let other = KeyBuf::read(&key).and_then(|[_, _, other]| OwnedUserId::try_from(other).ok());
            if Position::from_suffix(&row).is_some_and(|position| window.contains(position)) {
                found.extend(other);
            }
        }
        Ok(found)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("users", &self.index.read().of_user.len()).finish_non_exhaustive()
    }
}
