//! What a client asks of a connection.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::store::Position;

/// How many lists one request may have.
const MAX_LISTS: usize = 100;
/// How long the name of a list may be.
const MAX_LIST_NAME: usize = 64;
/// How long the name of a connection may be.
const MAX_CONNECTION_NAME: usize = 255;
/// How many events of one room are told at most.
const MAX_TIMELINE: usize = 1000;
/// How many places in the state of a room one configuration may name.
const MAX_REQUIRED_STATE: usize = 512;
/// How many messages to devices are told unless the client says how many, and at most.
const MESSAGES: usize = 100;
const MAX_MESSAGES: usize = 1000;

/// The body of a request.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct SlidingBody {
    pub(super) conn_id: Option<String>,
    pub(super) txn_id: Option<String>,
    pub(super) lists: Option<BTreeMap<String, ListConfig>>,
    pub(super) room_subscriptions: Option<BTreeMap<String, RoomConfig>>,
    pub(super) extensions: Option<Extensions>,
}

/// What is wanted of every room that a rule matches.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RoomConfig {
    pub(super) timeline_limit: usize,
    /// Types and state keys.
    pub(super) required_state: Vec<(String, String)>,
}

/// A list of rooms, and the part of it that is wanted.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ListConfig {
    /// First and last index. The whole list, where absent or empty.
    #[serde(default)]
    ranges: Option<Vec<(usize, usize)>>,
    #[serde(default)]
    slow_get_all_rooms: Option<bool>,
    #[serde(default)]
    pub(super) filters: Option<ListFilters>,
    #[serde(flatten)]
    pub(super) room: RoomConfig,
}

/// Which rooms are in a list: those that are all of this.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ListFilters {
    pub(super) is_dm: Option<bool>,
    pub(super) spaces: Option<Vec<String>>,
    pub(super) is_encrypted: Option<bool>,
    pub(super) is_invite: Option<bool>,
    /// `None` among them stands for rooms without a type.
    pub(super) room_types: Option<Vec<Option<String>>>,
    pub(super) not_room_types: Option<Vec<Option<String>>>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) not_tags: Option<Vec<String>>,
}

/// What is wanted beside rooms. What is not known is ignored.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Extensions {
    pub(super) to_device: Option<ToDeviceConfig>,
    pub(super) e2ee: Option<Switch>,
    pub(super) account_data: Option<PerRoomConfig>,
    pub(super) receipts: Option<PerRoomConfig>,
    pub(super) typing: Option<PerRoomConfig>,
}

/// An extension that is on or off.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Switch {
    enabled: Option<bool>,
}

/// Messages to the device.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ToDeviceConfig {
    enabled: Option<bool>,
    limit: Option<usize>,
    since: Option<String>,
}

/// An extension that tells something of rooms.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct PerRoomConfig {
    enabled: Option<bool>,
    lists: Option<Vec<String>>,
    rooms: Option<Vec<String>>,
}

/// Why a body is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Something is too long or too many.
    #[error("{0}")]
    TooMuch(&'static str),
    /// The position of messages to the device is not one.
    #[error("extensions.to_device.since is not a next_batch of that extension")]
    Since,
}

impl SlidingBody {
    /// # Errors
    /// If it is of the right shape, but asks for too much.
    pub(crate) fn check(&self) -> Result<(), BodyError> {
        let limits = |room: &RoomConfig| {
            if room.timeline_limit > MAX_TIMELINE {
                return Err(BodyError::TooMuch("a timeline_limit is larger than 1000"));
            }
            if room.required_state.len() > MAX_REQUIRED_STATE {
                return Err(BodyError::TooMuch("a required_state has more than 512 entries"));
            }
            Ok(())
        };
        if self.conn_id.as_ref().is_some_and(|name| name.len() > MAX_CONNECTION_NAME) {
            return Err(BodyError::TooMuch("conn_id is longer than 255 bytes"));
        }
        if self.lists.as_ref().is_some_and(|lists| lists.len() > MAX_LISTS) {
            return Err(BodyError::TooMuch("there are more than 100 lists"));
        }
        for (name, list) in self.lists.iter().flatten() {
            if name.len() > MAX_LIST_NAME {
                return Err(BodyError::TooMuch("the name of a list is longer than 64 bytes"));
            }
            limits(&list.room)?;
        }
        self.room_subscriptions.iter().flatten().try_for_each(|(_, room)| limits(room))?;
        let to_device = self.extensions.as_ref().and_then(|extensions| extensions.to_device.as_ref());
        to_device.map_or(Ok(()), |config| config.since().map(drop))
    }
}

impl ListConfig {
    /// The wanted parts of the list: first and last index. All of it, where nothing is said.
    pub(super) fn ranges(&self) -> Option<&[(usize, usize)]> {
        let all = self.slow_get_all_rooms == Some(true);
        self.ranges.as_deref().filter(|ranges| !all && !ranges.is_empty())
    }
}

impl Switch {
    pub(super) fn is_on(&self) -> bool {
        self.enabled == Some(true)
    }
}

impl ToDeviceConfig {
    pub(super) fn is_on(&self) -> bool {
        self.enabled == Some(true)
    }

    pub(super) fn limit(&self) -> usize {
        self.limit.unwrap_or(MESSAGES).clamp(1, MAX_MESSAGES)
    }

    /// Up to where the messages have arrived.
    pub(super) fn since(&self) -> Result<Option<Position>, BodyError> {
        let parse = |since: &String| since.parse().map(Position).map_err(|_| BodyError::Since);
        self.since.as_ref().map(parse).transpose()
    }
}

impl PerRoomConfig {
    pub(super) fn is_on(&self) -> bool {
        self.enabled == Some(true)
    }

    /// Whether it tells of a room: by a list that the room is in, or because the client has subscribed to it. Of all
    /// where nothing is said.
    pub(super) fn covers(&self, room_id: &str, lists: &[&str], subscribed: bool) -> bool {
        let names = |wanted: &Option<Vec<String>>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| wanted == "*" || wanted == name))
        };
        self.is_on()
            && (lists.iter().any(|list| names(&self.lists, list))
                || (subscribed && names(&self.rooms, room_id)))
    }
}
