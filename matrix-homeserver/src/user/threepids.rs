//! Addresses elsewhere that belong to accounts ([contact information]).
//!
//! [contact information]: https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{Users, now_ms, parse_row, put_json, read_json};
use crate::store::{KeyBuf, StoreError, Tree, WriteSet, key};

/// An address of a user. Unique within the server: an address belongs to one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Threepid {
    pub(crate) medium: String,
    pub(crate) address: String,
    /// Milliseconds since 1970.
    pub(crate) validated_at: u64,
    /// Milliseconds since 1970.
    pub(crate) added_at: u64,
}

impl Users {
    /// The addresses of a user.
    pub(crate) fn threepids(&self, user_id: &UserId) -> Result<Vec<Threepid>, StoreError> {
        let mut found = Vec::new();
        for row in self.store.scan_prefix(Tree::Account, key(["threepid", user_id.as_str()])) {
            found.push(parse_row(&row?.1)?);
        }
        Ok(found)
    }

    /// Whose an address is.
    pub(crate) fn threepid_owner(
        &self,
        medium: &str,
        address: &str,
    ) -> Result<Option<OwnedUserId>, StoreError> {
        read_json(&self.store, owner_key(medium, address))
    }

    /// Makes an address a user's. False if it is another's.
    pub(crate) async fn add_threepid(
        &self,
        user_id: &UserId,
        (medium, address): (&str, &str),
        validated_at: u64,
    ) -> Result<bool, StoreError> {
        let _one = self.profiles.lock().await;
        if self.threepid_owner(medium, address)?.is_some_and(|owner| owner != user_id) {
            return Ok(false);
        }
        let row = Threepid {
            medium: medium.to_owned(),
            address: address.to_owned(),
            validated_at,
            added_at: now_ms(),
        };
        let mut writes = WriteSet::new();
        put_json(&mut writes, threepid_key(user_id, medium, address), &row);
        put_json(&mut writes, owner_key(medium, address), &user_id);
        if medium == "email" {
            // It is also an address to log in by.
            put_json(&mut writes, super::identity::email_key(user_id, address), &true);
        }
        self.store.commit(writes).await?;
        Ok(true)
    }

    /// An address does not belong to a user any more.
    pub(crate) async fn remove_threepid(
        &self,
        user_id: &UserId,
        (medium, address): (&str, &str),
    ) -> Result<(), StoreError> {
        let _one = self.profiles.lock().await;
        let mut writes = WriteSet::new();
        writes.delete(Tree::Account, threepid_key(user_id, medium, address));
        if self.threepid_owner(medium, address)?.is_some_and(|owner| owner == user_id) {
            writes.delete(Tree::Account, owner_key(medium, address));
        }
        if medium == "email" {
            writes.delete(Tree::Account, super::identity::email_key(user_id, address));
        }
        self.store.commit(writes).await.map(drop)
    }

    /// The identity servers by which an address leads to a user.
    pub(crate) fn bound_at(
        &self,
        user_id: &UserId,
        (medium, address): (&str, &str),
    ) -> Result<Vec<String>, StoreError> {
        Ok(read_json(&self.store, bound_key(user_id, medium, address))?.unwrap_or_default())
    }

    /// Notes by which identity servers an address leads to a user.
    pub(crate) async fn set_bound_at(
        &self,
        user_id: &UserId,
        (medium, address): (&str, &str),
        servers: &[String],
    ) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        let row_key = bound_key(user_id, medium, address);
        if servers.is_empty() {
            writes.delete(Tree::Account, row_key);
        } else {
            put_json(&mut writes, row_key, &servers);
        }
        self.store.commit(writes).await.map(drop)
    }
}

fn threepid_key(user_id: &UserId, medium: &str, address: &str) -> KeyBuf {
    key(["threepid", user_id.as_str(), medium, address])
}

fn owner_key(medium: &str, address: &str) -> KeyBuf {
    key(["threepid_owner", medium, address])
}

fn bound_key(user_id: &UserId, medium: &str, address: &str) -> KeyBuf {
    key(["threepid_bound", user_id.as_str(), medium, address])
}
