//! Where guests may be ([guest access](https://spec.matrix.org/v1.19/client-server-api/#guest-access)).

use ruma::{
    RoomId,
    events::{
        StateEventType,
        room::{guest_access::GuestAccess, member::MembershipState},
    },
};
use serde::Deserialize;

use super::Services;
use crate::{
    api::{ApiError, ApiResult, Requester},
    room::{JsonObject, MembershipAction},
};

#[derive(Deserialize)]
struct Content {
    guest_access: GuestAccess,
}

impl Services {
    /// Refuses guests where the room does not let them join, invited or not.
    pub(crate) fn may_join_as_guest(&self, requester: &Requester, room_id: &RoomId) -> ApiResult<()> {
        if !requester.is_guest || self.lets_guests_in(room_id)? {
            return Ok(());
        }
        Err(ApiError::guest_access_forbidden("guests may not join this room"))
    }

    fn lets_guests_in(&self, room_id: &RoomId) -> ApiResult<bool> {
        let content = self.state_content(room_id, &StateEventType::RoomGuestAccess, "")?;
        let content = content.and_then(|content| serde_json::from_str::<Content>(content.get()).ok());
        Ok(content.is_some_and(|content| content.guest_access == GuestAccess::CanJoin))
    }

    /// Takes guests out of a room that does not let them in any more.
    pub(crate) async fn send_guests_away(&self, room_id: &RoomId) -> ApiResult<()> {
        if self.lets_guests_in(room_id)? {
            return Ok(());
        }
        let Some(room) = self.rooms.get(room_id)? else { return Ok(()) };
        let present = [MembershipState::Join, MembershipState::Invite];
        for (user_id, member) in &room.view().members {
            if !present.contains(&member.membership) || !self.is_local(user_id) {
                continue;
            }
            if !self.users.account(user_id)?.is_some_and(|account| account.guest) {
                continue;
            }
            let leave =
                super::actions::own_membership(user_id, room_id, MembershipAction::Leave, JsonObject::new());
            if let Err(error) = self.rooms.membership(leave).await {
                tracing::debug!(%room_id, %user_id, %error, "a room does not let its guest go");
            }
        }
        Ok(())
    }
}
