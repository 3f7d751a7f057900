//! What is asked of rooms.

use ruma::{
    DeviceId, MilliSecondsSinceUnixEpoch, OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId,
    RoomVersionId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde_json::value::RawValue;

use crate::event::ClientFormat;

/// An object of JSON.
pub(crate) type JsonObject = serde_json::Map<String, serde_json::Value>;

/// What makes a repeated request the same request ([transaction identifiers]).
///
/// [transaction identifiers]: https://spec.matrix.org/v1.19/client-server-api/#transaction-identifiers
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TxnKey {
    pub(crate) user_id: OwnedUserId,
    /// Absent for an application service that acts without a device.
    pub(crate) device_id: Option<OwnedDeviceId>,
    /// The method and path before the transaction ID, with the IDs in it.
    pub(crate) endpoint: String,
    /// Unique within user, device and endpoint.
    pub(crate) txn_id: String,
}

/// An event to send.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) sender: OwnedUserId,
    pub(crate) event_type: TimelineEventType,
    /// Present exactly on state events.
    pub(crate) state_key: Option<String>,
    pub(crate) content: Box<RawValue>,
    /// When it happened, where an application service says so. Else now.
    pub(crate) origin_server_ts: Option<MilliSecondsSinceUnixEpoch>,
    /// The event to redact, for `m.room.redaction`.
    pub(crate) redacts: Option<OwnedEventId>,
    pub(crate) txn: Option<TxnKey>,
}

/// A change of somebody's membership.
#[derive(Debug)]
pub(crate) struct MembershipChange {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) sender: OwnedUserId,
    pub(crate) target: OwnedUserId,
    pub(crate) action: MembershipAction,
    /// More for the content: `displayname`, `avatar_url`, `reason`, `is_direct`, `third_party_invite`, whatever
    /// a client adds.
    pub(crate) content: JsonObject,
    pub(crate) origin_server_ts: Option<MilliSecondsSinceUnixEpoch>,
    pub(crate) txn: Option<TxnKey>,
}

/// What happens to a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MembershipAction {
    Join,
    /// Somebody who is joined shows another name or picture. Unlike a join it lets nobody in who has left meanwhile.
    Profile,
    Invite,
    Knock,
    /// The target leaves, rejects an invitation or withdraws a knock.
    Leave,
    Kick,
    Ban,
    Unban,
}

impl MembershipAction {
    /// The membership that it leads to.
    pub(crate) fn membership(self) -> MembershipState {
        match self {
            Self::Join | Self::Profile => MembershipState::Join,
            Self::Invite => MembershipState::Invite,
            Self::Knock => MembershipState::Knock,
            Self::Leave | Self::Kick | Self::Unban => MembershipState::Leave,
            Self::Ban => MembershipState::Ban,
        }
    }
}

/// What a new room starts from ([presets]).
///
/// [presets]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "the specification's words")]
pub(crate) enum Preset {
    PrivateChat,
    TrustedPrivateChat,
    PublicChat,
}

/// A room to make.
#[derive(Debug)]
pub(crate) struct CreateRoom {
    pub(crate) creator: OwnedUserId,
    /// More for the content of the creator's member event: `displayname`, `avatar_url`.
    pub(crate) creator_profile: JsonObject,
    /// The server's default where absent.
    pub(crate) version: Option<RoomVersionId>,
    pub(crate) preset: Preset,
    /// More for the content of the create event.
    pub(crate) creation_content: JsonObject,
    pub(crate) power_level_content_override: JsonObject,
    pub(crate) initial_state: Vec<InitialState>,
    pub(crate) name: Option<String>,
    pub(crate) topic: Option<String>,
    /// Becomes the canonical alias. Reserving it is the caller's.
    pub(crate) alias: Option<ruma::OwnedRoomAliasId>,
    /// Whom to invite, with their profiles for the content of the member events.
    pub(crate) invite: Vec<(OwnedUserId, JsonObject)>,
    pub(crate) is_direct: bool,
    /// Instead of a random ID, in room versions that allow it.
    pub(crate) room_id: Option<OwnedRoomId>,
    pub(crate) origin_server_ts: Option<MilliSecondsSinceUnixEpoch>,
    /// What [`Rooms::created_before`](super::Rooms::created_before) knows the room by.
    pub(crate) txn: Option<TxnKey>,
}

/// State that a new room starts with.
#[derive(Debug, Clone)]
pub(crate) struct InitialState {
    pub(crate) event_type: TimelineEventType,
    pub(crate) state_key: String,
    pub(crate) content: Box<RawValue>,
}

/// Who looks at a room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewer<'a> {
    pub(crate) user_id: &'a UserId,
    /// Sees the transaction IDs of what it sent.
    pub(crate) device_id: Option<&'a DeviceId>,
    pub(crate) format: ClientFormat,
}

/// Which way to go through a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From old to new.
    Forward,
    /// From new to old.
    Backward,
}
