//! What rooms have to know about users.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
};

use ruma::{OwnedUserId, UserId};

use super::Users;
use crate::{
    room::UserPolicies,
    store::{KeyBuf, StoreError, Tree, WriteSet, key},
};

/// Users know the rooms already, for waking those who wait; so rooms do not keep them alive.
impl UserPolicies for Weak<Users> {
    fn ignored_by(&self, user_id: &UserId) -> Result<Arc<HashSet<OwnedUserId>>, StoreError> {
        self.upgrade().map_or_else(|| Ok(Arc::default()), |users| users.ignored(user_id))
    }

    fn is_erased(&self, user_id: &UserId) -> Result<bool, StoreError> {
        self.upgrade().map_or(Ok(false), |users| users.store.contains(Tree::Account, erased_key(user_id)))
    }
}

impl Users {
    /// Whether who comes later is not to read what a user said.
    pub(crate) fn has_erased(&self, user_id: &UserId) -> Result<bool, StoreError> {
        self.store.contains(Tree::Account, erased_key(user_id))
    }

    /// Keeps what a user said from those who were not there to hear it, from now on.
    pub(crate) async fn erase(&self, user_id: &UserId) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        writes.put(Tree::Account, erased_key(user_id), "");
        self.store.commit(writes).await.map(drop)
    }
}

fn erased_key(user_id: &UserId) -> KeyBuf {
    key(["erased", user_id.as_str()])
}
