//! Sets of capabilities, known by their hash: the unpadded base64 of the SHA-256 of the set in canonical JSON.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use ruma::CanonicalJsonValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::store::{KeyBuf, Store, StoreError, Tree, WriteSet, key};

/// Names of capabilities, and what more there is to say of each.
pub(crate) type CapabilitySet = Map<String, Value>;

/// The hash of a set. `None` if canonical JSON cannot express it.
pub(crate) fn hash_of(set: &CapabilitySet) -> Option<String> {
    let canonical = CanonicalJsonValue::try_from(Value::Object(set.clone())).ok()?;
    Some(STANDARD_NO_PAD.encode(Sha256::digest(canonical.to_string())))
}

/// What all sets together are capable of. Where two say different things of a capability, the later one stands.
pub(crate) fn union(sets: impl IntoIterator<Item = CapabilitySet>) -> CapabilitySet {
    sets.into_iter().flatten().collect()
}

/// The sets that this server has seen, by hash.
pub(crate) struct CapabilitySets {
    store: Store,
}

impl CapabilitySets {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// A set that somebody has told this server of.
    pub(crate) fn get(&self, hash: &str) -> Result<Option<CapabilitySet>, StoreError> {
        let Some(row) = self.store.get(Tree::Account, row_key(hash))? else { return Ok(None) };
        serde_json::from_slice(&row).map(Some).map_err(|_| StoreError::damaged("a set of capabilities"))
    }

    /// Keeps a set under its hash.
    pub(crate) async fn put(&self, hash: &str, set: &CapabilitySet) -> Result<(), StoreError> {
        if self.store.contains(Tree::Account, row_key(hash))? {
            return Ok(());
        }
        let mut writes = WriteSet::new();
        writes.put(Tree::Account, row_key(hash), serde_json::to_vec(set).expect("a set is plain JSON"));
        self.store.commit(writes).await.map(drop)
    }
}

impl fmt::Debug for CapabilitySets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapabilitySets").finish_non_exhaustive()
    }
}

fn row_key(hash: &str) -> KeyBuf {
    key(["capabilities", hash])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(value: &Value) -> CapabilitySet {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_order_in_which_capabilities_are_named_does_not_matter() {
        let one = set(&serde_json::from_str(r#"{"a.v1": {}, "b.v1": {"x": 1}}"#).unwrap());
        let other = set(&serde_json::from_str(r#"{"b.v1": {"x": 1}, "a.v1": {}}"#).unwrap());
        assert_eq!(hash_of(&one), hash_of(&other));
        assert_ne!(hash_of(&one), hash_of(&set(&json!({"a.v1": {}}))));
        assert_eq!(hash_of(&set(&json!({"a": 1.5}))), None);
    }

    #[test]
    fn a_union_is_capable_of_what_one_of_them_is() {
        let all = union([set(&json!({"a": {}, "b": 1})), set(&json!({"b": 2, "c": {}}))]);
        assert_eq!(Value::Object(all), json!({"a": {}, "b": 2, "c": {}}));
    }
}
