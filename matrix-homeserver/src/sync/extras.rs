//! What `/sync` tells beside rooms.

use std::collections::{BTreeMap, HashSet};

use ruma::{DeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::store::Position;

/// What changed in `(since, upto]`; everything up to `upto` where `since` is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) since: Option<Position>,
    pub(crate) upto: Position,
}

impl Window {
    #[allow(dead_code, reason = "for whoever keeps what happened with its position")]
    /// Whether something that happened at a position is to be told.
    pub(crate) fn contains(self, position: Position) -> bool {
        position <= self.upto && self.since.is_none_or(|since| position > since)
    }
}

/// Whose encryption keys have changed, or matter no more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct DeviceLists {
    pub(crate) changed: Vec<OwnedUserId>,
    pub(crate) left: Vec<OwnedUserId>,
}

/// What is left of a device's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyCounts {
    pub(crate) one_time: BTreeMap<String, u64>,
    pub(crate) unused_fallback: Vec<String>,
}

/// How much of a room is unread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Outside of threads.
    pub(crate) notifications: u64,
    /// Outside of threads.
    pub(crate) highlights: u64,
    /// Thread root → notifications, highlights in the thread. Added up with the rest for clients that do not
    /// ask for threads apart.
    pub(crate) threads: BTreeMap<String, (u64, u64)>,
}

/// What `/sync` tells beside rooms.
///
/// Every method is called for one response, from the task of the request; it must answer from memory or from
/// few rows. Events are whole, in the form in which the client gets them.
pub(crate) trait SyncExtras: Send + Sync + 'static {
    /// Global account data that changed.
    fn account_data(&self, user_id: &UserId, window: Window) -> Vec<Box<RawValue>>;

    /// Account data of a room that changed, tags and the fully-read marker among them.
    fn room_account_data(&self, user_id: &UserId, room_id: &RoomId, window: Window) -> Vec<Box<RawValue>>;

    /// The content of `m.receipt` with the receipts that changed and that the viewer may see.
    fn receipts(&self, room_id: &RoomId, viewer: &UserId, window: Window) -> Option<Box<RawValue>>;

    /// Who is typing that the viewer wants to hear of, when that changed.
    fn typing(&self, room_id: &RoomId, viewer: &UserId, window: Window) -> Option<Vec<OwnedUserId>>;

    /// `m.presence` events of the users whose presence changed and whom the viewer may see.
    fn presence(&self, viewer: &UserId, window: Window) -> Vec<Box<RawValue>>;

    /// Messages for the device, where they are and the oldest first. What is at or before `since` was received and can
    /// be deleted.
    fn to_device(
        &self,
        user_id: &UserId,
        device_id: Option<&DeviceId>,
        window: Window,
    ) -> Vec<(Position, Box<RawValue>)>;

    /// Users whose keys changed, among those who share an encrypted room with the user.
    fn device_lists(&self, user_id: &UserId, window: Window) -> DeviceLists;

    /// What is left of the device's keys.
    fn key_counts(&self, user_id: &UserId, device_id: Option<&DeviceId>) -> KeyCounts;

    /// How much of the room is unread.
    fn unread(&self, user_id: &UserId, room_id: &RoomId) -> Unread;

    /// The rooms in which the user talks to somebody in private.
    fn direct_rooms(&self, user_id: &UserId) -> HashSet<OwnedRoomId>;

    /// The user's tags of a room.
    fn tags(&self, user_id: &UserId, room_id: &RoomId) -> Vec<String>;

    /// Whose events and invitations the user does not want to see.
    fn ignored_users(&self, user_id: &UserId) -> Vec<OwnedUserId>;
}
