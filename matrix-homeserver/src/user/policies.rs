//! What rooms have to know about users.

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
};

use ruma::{OwnedUserId, UserId};
use serde_json::Value;

use super::{Scope, Users};
use crate::{
    room::UserPolicies,
    store::{KeyBuf, StoreError, Tree, WriteSet, key},
};

/// Users know the rooms already, for waking those who wait; so rooms do not keep them alive.
impl UserPolicies for Weak<Users> {
    fn ignored_by(&self, user_id: &UserId) -> Result<Arc<HashSet<OwnedUserId>>, StoreError> {
        let Some(users) = self.upgrade() else { return Ok(Arc::default()) };
        let Some(list) = users.account_data(user_id, Scope::Global, "m.ignored_user_list")? else {
            return Ok(Arc::default());
        };
        let list: Value = serde_json::from_str(list.get()).unwrap_or_default();
        let ignored = list["ignored_users"].as_object().into_iter().flatten();
        Ok(Arc::new(ignored.filter_map(|(user_id, _)| user_id.as_str().try_into().ok()).collect()))
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
