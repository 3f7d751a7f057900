//! Power levels, for what the authorisation rules leave to the server.

use std::collections::HashSet;

use ruma::{
    Int, OwnedUserId, UserId,
    events::{TimelineEventType, room::power_levels::UserPowerLevel},
    room_version_rules::AuthorizationRules,
    state_res::events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField},
};

use super::Denied;
use crate::event::Pdu;

/// Who may do what in a room.
pub(crate) struct PowerLevels<'a> {
    rules: &'a AuthorizationRules,
    creators: HashSet<OwnedUserId>,
    levels: Option<RoomPowerLevelsEvent<&'a Pdu>>,
}

impl<'a> PowerLevels<'a> {
    pub(crate) fn new(
        rules: &'a AuthorizationRules,
        create: &Pdu,
        levels: Option<&'a Pdu>,
    ) -> Result<Self, Denied> {
        let creators = RoomCreateEvent::new(create).creators(rules).map_err(Denied)?;
        Ok(Self { rules, creators, levels: levels.map(RoomPowerLevelsEvent::new) })
    }

    /// A user's power.
    pub(crate) fn of(&self, user_id: &UserId) -> Result<UserPowerLevel, Denied> {
        let is_creator = self.creators.contains(user_id);
        match &self.levels {
            _ if is_creator && self.rules.explicitly_privilege_room_creators => Ok(UserPowerLevel::Infinite),
            Some(levels) => levels.user_power_level(user_id, self.rules).map(Into::into).map_err(Denied),
            None if is_creator => Ok(Int::from(100).into()),
            None => Ok(Int::from(0).into()),
        }
    }

    /// The power that an action takes.
    pub(crate) fn required(&self, action: RoomPowerLevelsIntField) -> Result<Int, Denied> {
        match &self.levels {
            Some(levels) => levels.get_as_int_or_default(action, self.rules).map_err(Denied),
            None => Ok(action.default_value()),
        }
    }

    /// The power that sending an event takes.
    pub(crate) fn required_to_send(
        &self,
        event_type: &TimelineEventType,
        state_key: Option<&str>,
    ) -> Result<Int, Denied> {
        match &self.levels {
            Some(levels) => levels.event_power_level(event_type, state_key, self.rules).map_err(Denied),
            None => Ok(Int::from(0)),
        }
    }

    /// Whether a user has the power for an action.
    pub(crate) fn may(&self, user_id: &UserId, action: RoomPowerLevelsIntField) -> Result<bool, Denied> {
        Ok(self.of(user_id)? >= self.required(action)?)
    }
}
