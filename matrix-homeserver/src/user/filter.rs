//! Stored filters ([filtering](https://spec.matrix.org/v1.19/client-server-api/#filtering)).

use ruma::UserId;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::Users;
use crate::store::{KeyBuf, StoreError, Tree, WriteSet, key};

impl Users {
    /// Keeps a filter and names it. The same filter has the same name, so that clients that upload theirs at every
    /// start leave nothing behind.
    pub(crate) async fn put_filter(&self, user_id: &UserId, filter: &RawValue) -> Result<String, StoreError> {
        let digest = Sha256::digest(filter.get().as_bytes());
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let mut writes = WriteSet::new();
        writes.put(Tree::Account, filter_key(user_id, &name), filter.get());
        self.store.commit(writes).await?;
        Ok(name)
    }

    pub(crate) fn filter(&self, user_id: &UserId, name: &str) -> Result<Option<Box<RawValue>>, StoreError> {
        super::read_json(&self.store, filter_key(user_id, name))
    }
}

fn filter_key(user_id: &UserId, name: &str) -> KeyBuf {
    key(["filter", user_id.as_str(), name])
}
