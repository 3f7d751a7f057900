//! Which room belongs to which chat, and who is in it.

use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::{Deserialize, Serialize};

use super::{
    Batch, Store, StoreError, Tree,
    key::{Key, parts},
};
use crate::{
    bridge::ChatInfo,
    network_id::{LoginId, PortalKey},
};

/// What is known of a portal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PortalRow {
    pub(crate) key: PortalKey,
    pub(crate) room_id: OwnedRoomId,
    /// The login that the portal was made for or by.
    pub(crate) login: Option<LoginId>,
    /// Who made the room and speaks for the bridge in it: the bot, or the ghost of a private chat.
    pub(crate) speaker: OwnedUserId,
    /// What the room was last set to; without members.
    #[serde(default)]
    pub(crate) info: ChatInfo,
}

impl Store {
    pub(crate) fn portal(&self, key: &PortalKey) -> Result<Option<PortalRow>, StoreError> {
        self.get_json(Tree::Portals, &Key::portal(key).bytes())
    }

    pub(crate) fn portal_by_room(&self, room_id: &RoomId) -> Result<Option<PortalRow>, StoreError> {
        match self.get_json::<PortalKey>(Tree::PortalRooms, room_id.as_bytes())? {
            None => Ok(None),
            Some(key) => self.portal(&key),
        }
    }

    pub(crate) fn portals(&self) -> Result<Vec<PortalRow>, StoreError> {
        self.scan_json(Tree::Portals, &[])
    }
}

impl Batch {
    /// Stores a portal. `before` is what was stored, so that a room it had is let go.
    pub(crate) fn put_portal(&mut self, row: &PortalRow, before: Option<&PortalRow>) {
        if let Some(before) = before.filter(|before| before.room_id != row.room_id) {
            self.delete(Tree::PortalRooms, before.room_id.as_bytes());
        }
        self.put_json(Tree::Portals, &Key::portal(&row.key).bytes(), row);
        self.put_json(Tree::PortalRooms, row.room_id.as_bytes(), &row.key);
    }

    pub(crate) fn delete_portal(&mut self, row: &PortalRow) {
        self.delete(Tree::Portals, &Key::portal(&row.key).bytes());
        self.delete(Tree::PortalRooms, row.room_id.as_bytes());
    }
}

/// Who is in the rooms of portals, as the homeserver said last.
impl Store {
    pub(crate) fn room_members(&self, room_id: &RoomId) -> Result<Vec<OwnedUserId>, StoreError> {
        let keys = self.scan_keys(Tree::RoomMembers, &Key::of(room_id.as_str()).bytes())?;
        Ok(keys
            .iter()
            .filter_map(|key| match parts(key)?.as_slice() {
                [_, user] => UserId::parse(*user).ok(),
                _ => None,
            })
            .collect())
    }

    /// The name that a member shows in a room, if he is in it and shows one.
    pub(crate) fn member_name(&self, room_id: &RoomId, user: &UserId) -> Result<Option<String>, StoreError> {
        let key = Key::of(room_id.as_str()).and(user.as_str()).bytes();
        let name = self.get(Tree::RoomMembers, &key)?;
        Ok(name.and_then(|name| String::from_utf8(name).ok()).filter(|name| !name.is_empty()))
    }

    pub(crate) fn is_room_member(&self, room_id: &RoomId, user: &UserId) -> Result<bool, StoreError> {
        let key = Key::of(room_id.as_str()).and(user.as_str()).bytes();
        Ok(self.get(Tree::RoomMembers, &key)?.is_some())
    }
}

impl Batch {
    /// `joined` is the name that the user shows in the room; `None` if he is not in it.
    pub(crate) fn put_room_member(&mut self, room_id: &RoomId, user: &UserId, joined: Option<&str>) {
        let key = Key::of(room_id.as_str()).and(user.as_str()).bytes();
        match joined {
            Some(name) => self.put(Tree::RoomMembers, &key, name.as_bytes()),
            None => self.delete(Tree::RoomMembers, &key),
        }
    }
}

/// Rooms in which a user talks to the bot.
impl Store {
    pub(crate) fn management_room(&self, user: &UserId) -> Result<Option<OwnedRoomId>, StoreError> {
        self.get_json(Tree::Management, user.as_bytes())
    }

    pub(crate) fn management_user(&self, room_id: &RoomId) -> Result<Option<OwnedUserId>, StoreError> {
        self.get_json(Tree::Management, room_id.as_bytes())
    }
}

impl Batch {
    pub(crate) fn put_management_room(&mut self, user: &UserId, room_id: &RoomId) {
        // User IDs begin with `@` and room IDs with `!`, so both fit into one tree.
        self.put_json(Tree::Management, user.as_bytes(), &room_id);
        self.put_json(Tree::Management, room_id.as_bytes(), &user);
    }

    pub(crate) fn delete_management_room(&mut self, user: &UserId, room_id: &RoomId) {
        self.delete(Tree::Management, user.as_bytes());
        self.delete(Tree::Management, room_id.as_bytes());
    }
}
