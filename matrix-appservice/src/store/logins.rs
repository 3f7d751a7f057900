//! Logins, ghosts, and what a network stores for itself.

use serde::{Deserialize, Serialize};

use super::{Batch, Store, StoreError, Tree};
use crate::{
    bridge::{LoginRecord, UserInfo},
    network_id::{LoginId, RemoteUserId},
};

/// What is known of a ghost that exists on the homeserver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GhostRow {
    /// What its profile was last set to.
    pub(crate) info: UserInfo,
}

impl Store {
    pub(crate) fn login(&self, id: &LoginId) -> Result<Option<LoginRecord>, StoreError> {
        self.get_json(Tree::Logins, id.as_str().as_bytes())
    }

    pub(crate) fn logins(&self) -> Result<Vec<LoginRecord>, StoreError> {
        self.scan_json(Tree::Logins, &[])
    }

    pub(crate) fn ghost(&self, user: &RemoteUserId) -> Result<Option<GhostRow>, StoreError> {
        self.get_json(Tree::Ghosts, user.as_str().as_bytes())
    }

    pub(crate) fn network_value(&self, key: &str) -> Result<Option<serde_json::Value>, StoreError> {
        self.get_json(Tree::Network, key.as_bytes())
    }
}

impl Batch {
    pub(crate) fn put_login(&mut self, record: &LoginRecord) {
        self.put_json(Tree::Logins, record.id.as_str().as_bytes(), record);
    }

    pub(crate) fn delete_login(&mut self, id: &LoginId) {
        self.delete(Tree::Logins, id.as_str().as_bytes());
    }

    pub(crate) fn put_ghost(&mut self, user: &RemoteUserId, row: &GhostRow) {
        self.put_json(Tree::Ghosts, user.as_str().as_bytes(), row);
    }

    pub(crate) fn put_network_value(&mut self, key: &str, value: Option<&serde_json::Value>) {
        match value {
            Some(value) => self.put_json(Tree::Network, key.as_bytes(), value),
            None => self.delete(Tree::Network, key.as_bytes()),
        }
    }
}
