//! What somebody showed to be theirs outside of this server, and can log in by: addresses, and accounts elsewhere.

use ruma::{OwnedUserId, UserId};

use super::{Users, put_json, read_json};
use crate::store::{KeyBuf, StoreError, Tree, WriteSet, key};

impl Users {
    /// Takes note that an address, in lower case, is a user's.
    pub(crate) async fn link_email(&self, user_id: &UserId, email: &str) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        put_json(&mut writes, email_key(user_id, email), &true);
        self.store.commit(writes).await.map(drop)
    }

    /// Whether an address is a user's.
    pub(crate) fn owns_email(&self, user_id: &UserId, email: &str) -> Result<bool, StoreError> {
        self.store.contains(Tree::Account, email_key(user_id, email))
    }

    /// Takes note that an account elsewhere is a user's. It is nobody else's from then on.
    pub(crate) async fn link_identity(
        &self,
        user_id: &UserId,
        (provider, subject): (&str, &str),
    ) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        put_json(&mut writes, identity_key(provider, subject), &user_id);
        self.store.commit(writes).await.map(drop)
    }

    /// Whose an account elsewhere is.
    pub(crate) fn by_identity(
        &self,
        (provider, subject): (&str, &str),
    ) -> Result<Option<OwnedUserId>, StoreError> {
        read_json(&self.store, identity_key(provider, subject))
    }
}

pub(super) fn email_key(user_id: &UserId, email: &str) -> KeyBuf {
    key(["login_email", user_id.as_str(), email])
}

fn identity_key(provider: &str, subject: &str) -> KeyBuf {
    key(["login_identity", provider, subject])
}
