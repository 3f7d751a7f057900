//! Application services that registered themselves, by the drafts' `POST /register`: kept until they unregister.
//!
//! What an application service shows to this server is kept as a hash only. What this server shows to it has to be sent,
//! and is kept as it is.

use matrix_appservice::{Registration, Secret};
use serde::{Deserialize, Serialize};

use super::Queues;
use crate::{
    store::{KeyBuf, StoreError, Tree, WriteSet, key},
    user::TokenHash,
};

/// A registration as it is stored, without its `as_token`.
#[derive(Serialize, Deserialize)]
struct Row {
    as_token_hash: String,
    registration: Registration,
}

impl Queues {
    /// Keeps a registration, in the place of the one before with its ID.
    pub(crate) async fn keep_drafted(
        &self,
        registration: &Registration,
        token: TokenHash,
    ) -> Result<(), StoreError> {
        let mut registration = registration.clone();
        registration.as_token = Secret::new("");
        let row_key = row_key(&registration.id);
        let row = Row { as_token_hash: token.to_hex(), registration };
        let row = serde_json::to_vec(&row).expect("a registration is plain JSON");
        let mut writes = WriteSet::new();
        writes.put(Tree::Appservice, row_key, row);
        self.store.commit(writes).await.map(drop)
    }

    /// The registrations that are kept. Their `as_token` is a placeholder that nobody knows.
    pub(crate) fn drafted(&self) -> Result<Vec<(Registration, TokenHash)>, StoreError> {
        let damaged = || StoreError::damaged("a drafted registration");
        let mut found = Vec::new();
        for row in self.store.scan_prefix(Tree::Appservice, key(["drafted"])) {
            let Row { as_token_hash, mut registration } =
                serde_json::from_slice(&row?.1).map_err(|_| damaged())?;
            registration.as_token = Secret::generate();
            found.push((registration, TokenHash::from_hex(&as_token_hash).ok_or_else(damaged)?));
        }
        Ok(found)
    }

    /// Whether an application service with this ID registered itself.
    pub(crate) fn is_drafted(&self, appservice: &str) -> Result<bool, StoreError> {
        self.store.contains(Tree::Appservice, row_key(appservice))
    }

    /// Forgets a registration.
    pub(crate) async fn forget_drafted(&self, appservice: &str) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        writes.delete(Tree::Appservice, row_key(appservice));
        self.store.commit(writes).await.map(drop)
    }
}

fn row_key(appservice: &str) -> KeyBuf {
    key(["drafted", appservice])
}
