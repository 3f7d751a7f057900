//! Whom users do not want to hear of ([ignoring users]).
//!
//! [ignoring users]: https://spec.matrix.org/v1.19/client-server-api/#ignoring-users

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::RwLock;
use ruma::{OwnedUserId, RoomId, UserId};
use serde_json::Value;

use super::{Scope, Users};
use crate::store::{Position, StoreError};

/// The kind of account data that holds the list.
pub(super) const IGNORED_USERS: &str = "m.ignored_user_list";

/// The lists that were asked for.
#[derive(Debug, Default)]
pub(super) struct IgnoredUsers {
    known: RwLock<HashMap<OwnedUserId, Arc<HashSet<OwnedUserId>>>>,
}

impl IgnoredUsers {
    /// The list of a user has changed.
    pub(super) fn forget(&self, user_id: &UserId) {
        self.known.write().remove(user_id);
    }
}

impl Users {
    /// Whom a user does not want to hear of.
    pub(crate) fn ignored(&self, user_id: &UserId) -> Result<Arc<HashSet<OwnedUserId>>, StoreError> {
        if let Some(ignored) = self.ignored.known.read().get(user_id) {
            return Ok(ignored.clone());
        }
        // Read under the lock: a change either finds the entry, or its row was there to be read.
        let mut known = self.ignored.known.write();
        let list = self.account_data(user_id, Scope::Global, IGNORED_USERS)?;
        let list = list.and_then(|content| serde_json::from_str::<Value>(content.get()).ok());
        let users = list.as_ref().and_then(|list| list["ignored_users"].as_object());
        let users = users.into_iter().flatten().filter_map(|(user_id, _)| user_id.as_str().try_into().ok());
        let ignored: Arc<HashSet<OwnedUserId>> = Arc::new(users.collect());
        known.insert(user_id.to_owned(), ignored.clone());
        Ok(ignored)
    }

    /// Who types in a room, if that changed after a position, less those whom the viewer ignores.
    pub(crate) fn typing_seen_by(
        &self,
        viewer: &UserId,
        room_id: &RoomId,
        after: Position,
    ) -> Result<Option<Vec<OwnedUserId>>, StoreError> {
        let Some(mut typing) = self.typing.changed_since(room_id, after) else { return Ok(None) };
        if !typing.is_empty() {
            let ignored = self.ignored(viewer)?;
            typing.retain(|user_id| !ignored.contains(user_id));
        }
        Ok(Some(typing))
    }

    /// The receipts of a room between two positions, less those of whom the viewer ignores. `None` if there are none.
    pub(crate) fn receipts_seen_by(
        &self,
        viewer: &UserId,
        room_id: &RoomId,
        after: Position,
        upto: Position,
    ) -> Result<Option<Value>, StoreError> {
        let content = self.receipts.content_between(room_id, Some(viewer), after, upto)?;
        let Some(mut content) = content else { return Ok(None) };
        let ignored = self.ignored(viewer)?;
        if !ignored.is_empty() {
            super::receipt::without(&mut content, &ignored);
        }
        Ok(Some(content).filter(|content| content.as_object().is_some_and(|events| !events.is_empty())))
    }

    /// Whether a user wants nobody to invite them ([invite permission]).
    ///
    /// [invite permission]: https://spec.matrix.org/v1.19/client-server-api/#invite-permission
    pub(crate) fn blocks_invites(&self, user_id: &UserId) -> Result<bool, StoreError> {
        let config = self.account_data(user_id, Scope::Global, "m.invite_permission_config")?;
        let config = config.and_then(|content| serde_json::from_str::<Value>(content.get()).ok());
        Ok(config.is_some_and(|config| config["default_action"] == "block"))
    }
}
