//! The body of an answer.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::sync::DeviceLists;

/// The body of an answer.
#[derive(Debug, Default, Serialize)]
pub(crate) struct SlidingResponse {
    pub(super) pos: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) txn_id: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) lists: BTreeMap<String, List>,
    pub(super) rooms: BTreeMap<OwnedRoomId, RoomBody>,
    pub(super) extensions: ExtensionsBody,
}

/// A list, and which rooms are in the wanted parts of it.
#[derive(Debug, Serialize)]
pub(super) struct List {
    pub(super) count: usize,
    pub(super) ops: Vec<Operation>,
}

#[derive(Debug, Serialize)]
pub(super) struct Operation {
    op: &'static str,
    range: (usize, usize),
    room_ids: Vec<OwnedRoomId>,
}

impl Operation {
    pub(super) fn sync(range: (usize, usize), room_ids: Vec<OwnedRoomId>) -> Self {
        Self { op: "SYNC", range, room_ids }
    }
}

/// What is new in a room; everything, where it is `initial`.
#[derive(Debug, Default, Serialize)]
pub(super) struct RoomBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bump_stamp: Option<u64>,
    pub(super) notification_count: u64,
    pub(super) highlight_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) joined_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) invited_count: Option<usize>,
    /// `null` where it was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Option<String>>,
    /// `null` where it was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) avatar: Option<Option<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) heroes: Vec<Hero>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) initial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_dm: Option<bool>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) unstable_expanded_timeline: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) required_state: Vec<Box<RawValue>>,
    #[serde(flatten)]
    pub(super) timeline: Option<TimelineBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) invite_state: Vec<Box<RawValue>>,
}

/// The last events of a room.
#[derive(Debug, Serialize)]
pub(super) struct TimelineBody {
    #[serde(rename = "timeline", skip_serializing_if = "Vec::is_empty")]
    pub(super) events: Vec<Box<RawValue>>,
    pub(super) limited: bool,
    pub(super) prev_batch: String,
    /// How many of them have happened since the last request.
    pub(super) num_live: usize,
}

/// A member to name the room after.
#[derive(Debug, Serialize)]
pub(super) struct Hero {
    pub(super) user_id: OwnedUserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) displayname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) avatar_url: Option<String>,
}

/// What is told beside rooms: of every extension that was asked for.
#[derive(Debug, Default, Serialize)]
pub(super) struct ExtensionsBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to_device: Option<ToDeviceBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) e2ee: Option<KeysBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account_data: Option<AccountDataBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) receipts: Option<EphemeralBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) typing: Option<EphemeralBody>,
}

#[derive(Debug, Serialize)]
pub(super) struct ToDeviceBody {
    pub(super) next_batch: String,
    pub(super) events: Vec<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
pub(super) struct KeysBody {
    pub(super) device_one_time_keys_count: BTreeMap<String, u64>,
    pub(super) device_unused_fallback_key_types: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_lists: Option<DeviceLists>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct AccountDataBody {
    pub(super) global: Vec<Box<RawValue>>,
    pub(super) rooms: BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>,
}

/// One event of each room.
#[derive(Debug, Default, Serialize)]
pub(super) struct EphemeralBody {
    pub(super) rooms: BTreeMap<OwnedRoomId, Box<RawValue>>,
}

impl ExtensionsBody {
    /// Whether there is nothing to tell.
    pub(super) fn is_empty(&self) -> bool {
        let keys = self.e2ee.as_ref().and_then(|keys| keys.device_lists.as_ref());
        self.to_device.as_ref().is_none_or(|messages| messages.events.is_empty())
            && keys.is_none_or(|lists| lists.changed.is_empty() && lists.left.is_empty())
            && self.account_data.as_ref().is_none_or(|data| data.global.is_empty() && data.rooms.is_empty())
            && self.receipts.as_ref().is_none_or(|receipts| receipts.rooms.is_empty())
            && self.typing.as_ref().is_none_or(|typing| typing.rooms.is_empty())
    }
}
