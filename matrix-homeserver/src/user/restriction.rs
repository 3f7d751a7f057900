//! Accounts that an administrator has [locked] or [suspended].
//!
//! [locked]: https://spec.matrix.org/v1.19/client-server-api/#account-locking
//! [suspended]: https://spec.matrix.org/v1.19/client-server-api/#account-suspension

use std::collections::HashMap;

use parking_lot::RwLock;
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{parse_row, put_json};
use crate::store::{KeyBuf, Store, StoreError, Tree, WriteSet, key};

/// What an account may not do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Restriction {
    /// Nothing but to log out.
    #[serde(default)]
    pub(crate) locked: bool,
    /// Nothing that others see.
    #[serde(default)]
    pub(crate) suspended: bool,
}

/// All accounts with a restriction, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Restrictions {
    store: Store,
    users: RwLock<HashMap<OwnedUserId, Restriction>>,
    changing: tokio::sync::Mutex<()>,
}

impl Restrictions {
    pub(super) fn open(store: Store) -> Result<Self, StoreError> {
        let mut users = HashMap::new();
        for row in store.scan_prefix(Tree::Account, key(["restricted"])) {
            let (row_key, row) = row?;
            let user_id = KeyBuf::read(&row_key).and_then(|[_, user_id]| OwnedUserId::try_from(user_id).ok());
            let user_id = user_id.ok_or_else(|| StoreError::damaged("the restriction of a user"))?;
            users.insert(user_id, parse_row(&row)?);
        }
        Ok(Self { store, users: RwLock::new(users), changing: tokio::sync::Mutex::default() })
    }

    /// What a user may not do.
    pub(crate) fn of(&self, user_id: &UserId) -> Restriction {
        self.users.read().get(user_id).copied().unwrap_or_default()
    }

    /// Changes what a user may not do.
    pub(crate) async fn change(
        &self,
        user_id: &UserId,
        change: impl FnOnce(&mut Restriction),
    ) -> Result<(), StoreError> {
        let _one = self.changing.lock().await;
        let mut restriction = self.of(user_id);
        change(&mut restriction);
        let mut writes = WriteSet::new();
        let row_key = key(["restricted", user_id.as_str()]);
        if restriction == Restriction::default() {
            writes.delete(Tree::Account, row_key);
        } else {
            put_json(&mut writes, row_key, &restriction);
        }
        self.store.commit(writes).await?;
        let mut users = self.users.write();
        if restriction == Restriction::default() {
            users.remove(user_id);
        } else {
            users.insert(user_id.to_owned(), restriction);
        }
        Ok(())
    }
}
