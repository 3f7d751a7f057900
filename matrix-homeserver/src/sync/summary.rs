//! What a client needs to name a room without knowing all members ([room summary]).
//!
//! [room summary]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync

use ruma::{
    OwnedUserId, UserId,
    events::{StateEventType, room::member::MembershipState},
};

use super::response::Summary;
use crate::{
    room::{RoomState, Rooms, StateTree},
    store::StoreError,
};

/// How many members name a room.
const HEROES: usize = 5;

/// The counts of a room, and the members to name it after if it has no name.
pub(super) fn summary(
    rooms: &Rooms,
    view: &RoomState,
    state: &StateTree,
    user_id: &UserId,
) -> Result<Summary, StoreError> {
    let named = says(rooms, state, &StateEventType::RoomName, "name")?
        || says(rooms, state, &StateEventType::RoomCanonicalAlias, "alias")?;
    Ok(Summary {
        heroes: (!named).then(|| heroes(view, user_id)),
        joined_member_count: Some(view.joined),
        invited_member_count: Some(view.invited),
    })
}

fn says(
    rooms: &Rooms,
    state: &StateTree,
    event_type: &StateEventType,
    field: &str,
) -> Result<bool, StoreError> {
    let event = rooms.state_event_in(state, event_type, "")?;
    Ok(event.and_then(|event| event.pdu.content_text(field)).is_some_and(|text| !text.is_empty()))
}

/// The first who are here or invited; if nobody is, the first who were.
pub(super) fn heroes(view: &RoomState, user_id: &UserId) -> Vec<OwnedUserId> {
    let first = |here: bool| {
        let mut members: Vec<(u64, &OwnedUserId)> = view
            .members
            .iter()
            .filter(|(member, info)| {
                let is_here = matches!(info.membership, MembershipState::Join | MembershipState::Invite);
                *member != user_id && is_here == here
            })
            .map(|(member, info)| (info.number, member))
            .collect();
        members.sort_unstable();
        members.into_iter().take(HEROES).map(|(_, member)| member.clone()).collect::<Vec<_>>()
    };
    let here = first(true);
    if here.is_empty() { first(false) } else { here }
}
