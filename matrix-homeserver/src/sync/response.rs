//! The body of a response.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

use super::extras::DeviceLists;
use crate::store::Position;

/// The body of a response to `/sync`.
#[derive(Debug, Serialize)]
pub(crate) struct SyncResponse {
    pub(crate) next_batch: String,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub(crate) account_data: Events,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub(crate) presence: Events,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub(crate) to_device: Events,
    #[serde(skip_serializing_if = "DeviceListsBody::is_empty")]
    pub(crate) device_lists: DeviceListsBody,
    /// Always told: a client that finds none takes it for old news.
    pub(crate) device_one_time_keys_count: BTreeMap<String, u64>,
    pub(crate) device_unused_fallback_key_types: Vec<String>,
    #[serde(skip_serializing_if = "RoomsBody::is_empty")]
    pub(crate) rooms: RoomsBody,
}

/// A list of events in an object.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Events {
    pub(crate) events: Vec<Box<RawValue>>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct DeviceListsBody {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) changed: Vec<OwnedUserId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) left: Vec<OwnedUserId>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct RoomsBody {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) join: BTreeMap<OwnedRoomId, JoinedRoom>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) invite: BTreeMap<OwnedRoomId, InvitedRoom>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) knock: BTreeMap<OwnedRoomId, KnockedRoom>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) leave: BTreeMap<OwnedRoomId, LeftRoom>,
}

/// A room that the user is in.
#[derive(Debug, Default, Serialize)]
pub(crate) struct JoinedRoom {
    pub(crate) summary: Summary,
    #[serde(flatten)]
    pub(crate) state: State,
    pub(crate) timeline: Timeline,
    pub(crate) ephemeral: Events,
    pub(crate) account_data: Events,
    pub(crate) unread_notifications: Counts,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) unread_thread_notifications: BTreeMap<String, Counts>,
}

/// A room that the user is invited to.
#[derive(Debug, Default, Serialize)]
pub(crate) struct InvitedRoom {
    pub(crate) invite_state: Events,
}

/// A room that the user has knocked on.
#[derive(Debug, Default, Serialize)]
pub(crate) struct KnockedRoom {
    pub(crate) knock_state: Events,
}

/// A room that the user has left.
#[derive(Debug, Default, Serialize)]
pub(crate) struct LeftRoom {
    #[serde(flatten)]
    pub(crate) state: State,
    pub(crate) timeline: Timeline,
    pub(crate) account_data: Events,
}

/// The state of a room: before the timeline, or after it if the client asked for that.
#[derive(Debug, Serialize)]
pub(crate) enum State {
    #[serde(rename = "state")]
    Before(Events),
    #[serde(rename = "state_after")]
    After(Events),
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Timeline {
    pub(crate) events: Vec<Box<RawValue>>,
    /// There are events between `since` and the first of these.
    pub(crate) limited: bool,
    pub(crate) prev_batch: String,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    #[serde(rename = "m.heroes", skip_serializing_if = "Option::is_none")]
    pub(crate) heroes: Option<Vec<OwnedUserId>>,
    #[serde(rename = "m.joined_member_count", skip_serializing_if = "Option::is_none")]
    pub(crate) joined_member_count: Option<usize>,
    #[serde(rename = "m.invited_member_count", skip_serializing_if = "Option::is_none")]
    pub(crate) invited_member_count: Option<usize>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    pub(crate) highlight_count: u64,
    pub(crate) notification_count: u64,
}

impl Default for State {
    fn default() -> Self {
        Self::Before(Events::default())
    }
}

impl State {
    pub(crate) fn is_empty(&self) -> bool {
        let (Self::Before(events) | Self::After(events)) = self;
        events.is_empty()
    }
}

impl Events {
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

impl From<Vec<Box<RawValue>>> for Events {
    fn from(events: Vec<Box<RawValue>>) -> Self {
        Self { events }
    }
}

impl DeviceListsBody {
    fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }
}

impl From<DeviceLists> for DeviceListsBody {
    fn from(DeviceLists { changed, left }: DeviceLists) -> Self {
        Self { changed, left }
    }
}

impl RoomsBody {
    fn is_empty(&self) -> bool {
        self.join.is_empty() && self.invite.is_empty() && self.knock.is_empty() && self.leave.is_empty()
    }
}

/// How clients see a position.
pub(crate) fn token(position: Position) -> String {
    format!("s{position}")
}

impl SyncResponse {
    pub(super) fn new(upto: Position) -> Self {
        Self {
            next_batch: token(upto),
            account_data: Events::default(),
            presence: Events::default(),
            to_device: Events::default(),
            device_lists: DeviceListsBody::default(),
            device_one_time_keys_count: BTreeMap::new(),
            device_unused_fallback_key_types: Vec::new(),
            rooms: RoomsBody::default(),
        }
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.account_data.is_empty()
            && self.presence.is_empty()
            && self.to_device.is_empty()
            && self.device_lists.is_empty()
            && self.rooms.is_empty()
    }
}
