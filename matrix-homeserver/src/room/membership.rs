//! Joining, inviting, leaving and the rest ([room membership]).
//!
//! [room membership]: https://spec.matrix.org/v1.19/client-server-api/#room-membership

use ruma::{
    OwnedEventId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    room::JoinRuleKind,
    state_res::events::RoomPowerLevelsIntField,
};
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    JsonObject, MembershipAction, MembershipChange, RoomError, Rooms,
    live::{Head, Room, RoomState},
    stored::SentBy,
    user_rooms::{self, UserRoom},
    write::{ATTEMPTS, Proposal},
};
use crate::{
    rules::PowerLevels,
    store::{Pending, StoreError, Tree, WriteSet},
};

/// The field of a member event that names who let the user into a restricted room.
const AUTHORISED_VIA: &str = "join_authorised_via_users_server";

/// The parts of `m.room.join_rules` that a server acts on.
#[derive(Deserialize)]
struct JoinRules {
    join_rule: JoinRuleKind,
    #[serde(default)]
    allow: Vec<Allow>,
}

#[derive(Deserialize)]
struct Allow {
    #[serde(rename = "type")]
    kind: String,
    room_id: Option<ruma::OwnedRoomId>,
}

impl Rooms {
    /// Changes somebody's membership. What is already so stays so, and answers with the event that made it so.
    ///
    /// # Errors
    /// If the sender may not do it, or the target's membership does not allow it.
    pub(crate) async fn membership(&self, change: MembershipChange) -> Result<OwnedEventId, RoomError> {
        let room = self.get(&change.room_id)?.ok_or_else(|| match change.action {
            MembershipAction::Join | MembershipAction::Knock => RoomError::NotFound("there is no such room"),
            _ => RoomError::not_in_room(),
        })?;
        if matches!(
            change.action,
            MembershipAction::Join | MembershipAction::Knock | MembershipAction::Invite
        ) {
            self.closed().check_entry(&change.room_id)?;
        }
        let (change, of) = (&change, &room);
        self.write(&room, change.txn.as_ref(), |rooms, head| rooms.propose_membership(of, change, head)).await
    }

    fn propose_membership(
        &self,
        room: &Room,
        change: &MembershipChange,
        head: &mut Head,
    ) -> Result<Proposal, RoomError> {
        check_action(change, &head.state)?;
        let mut content = change.content.clone();
        // Who lets somebody into a restricted room is not for clients to say.
        content.remove(AUTHORISED_VIA);
        content.insert("membership".to_owned(), change.action.membership().as_str().into());
        if change.action == MembershipAction::Join
            && let Some(authority) = self.restricted_join(room, head, &change.target)?
        {
            content.insert(AUTHORISED_VIA.to_owned(), authority.as_str().into());
        }
        Ok(Proposal {
            sender: change.sender.clone(),
            event_type: TimelineEventType::RoomMember,
            state_key: Some(change.target.to_string()),
            content: as_raw(&content)?,
            origin_server_ts: change.origin_server_ts,
            redacts: None,
            sent_by: change
                .txn
                .as_ref()
                .map(|txn| SentBy { device_id: txn.device_id.clone(), txn_id: txn.txn_id.clone() }),
        })
    }

    /// Who lets a user into a restricted room, if the user is not in it and not invited ([restricted rooms]).
    ///
    /// [restricted rooms]: https://spec.matrix.org/v1.19/client-server-api/#restricted-rooms
    fn restricted_join(
        &self,
        room: &Room,
        head: &Head,
        user_id: &UserId,
    ) -> Result<Option<OwnedUserId>, RoomError> {
        let state = &head.state;
        let membership = state.members.get(user_id).map(|member| &member.membership);
        if matches!(membership, Some(MembershipState::Join | MembershipState::Invite))
            || !room.rules.authorization.restricted_join_rule
        {
            return Ok(None);
        }
        let event = self.state_event_in(&state.state, &StateEventType::RoomJoinRules, "")?;
        let rules = event.and_then(|event| serde_json::from_str::<JoinRules>(event.pdu.content.get()).ok());
        let Some(JoinRules { join_rule: JoinRuleKind::Restricted | JoinRuleKind::KnockRestricted, allow }) =
            rules
        else {
            return Ok(None);
        };
        let rooms = self.of_user(user_id)?;
        let is_in = |room_id: &RoomId| {
            rooms.get(room_id).is_some_and(|room| room.membership == MembershipState::Join)
        };
        let allowed = allow
            .iter()
            .filter(|allow| allow.kind == "m.room_membership")
            .any(|allow| allow.room_id.as_deref().is_some_and(is_in));
        if !allowed {
            return Err(RoomError::forbidden(
                "you are in none of the rooms whose members may join this room",
            ));
        }
        self.who_may_invite(room, state)
    }

    /// A member of this server with the power to invite.
    fn who_may_invite(&self, room: &Room, state: &RoomState) -> Result<Option<OwnedUserId>, RoomError> {
        let create = self.state_event_in(&state.state, &StateEventType::RoomCreate, "")?;
        let levels = self.state_event_in(&state.state, &StateEventType::RoomPowerLevels, "")?;
        let create = create.ok_or_else(|| RoomError::Internal("a room has no create event".to_owned()))?;
        let denied = |denied: crate::rules::Denied| RoomError::Forbidden(denied.0);
        let levels = PowerLevels::new(
            &room.rules.authorization,
            &create.pdu,
            levels.as_ref().map(|event| &*event.pdu),
        )
        .map_err(denied)?;
        for user_id in state.joined_members().filter(|user_id| user_id.server_name() == self.server_name()) {
            if levels.may(user_id, RoomPowerLevelsIntField::Invite).map_err(denied)? {
                return Ok(Some(user_id.to_owned()));
            }
        }
        Ok(None)
    }

    /// Lets a user not know any more of a room that he has left.
    ///
    /// # Errors
    /// If the user is in the room, or never was.
    pub(crate) async fn forget(&self, room_id: &RoomId, user_id: &UserId) -> Result<(), RoomError> {
        let never = || RoomError::NotFound("you were never in this room");
        let room = self.get(room_id)?.ok_or_else(never)?;
        for _ in 0..ATTEMPTS {
            let (pending, is_last) = {
                // Whoever holds the room knows of every change that is on its way.
                let mut head = room.writer.lock().await;
                self.refresh(&room, &mut head)?;
                let member = head.state.members.get(user_id).ok_or_else(never)?;
                if !matches!(member.membership, MembershipState::Leave | MembershipState::Ban) {
                    let text = "you are still in this room; leave it first";
                    return Err(RoomError::InvalidParam(text.to_owned()));
                }
                match self.inner.users.get(user_id, room_id)? {
                    Some(left) if left.number == member.number => {
                        (self.stage_forgotten(room_id, user_id, left, head.generation), true)
                    }
                    _ => (self.inner.store.stage_barrier(head.generation), false),
                }
            };
            match pending.await {
                Ok(_) if is_last => return Ok(()),
                Ok(_) | Err(StoreError::Superseded) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Superseded.into())
    }

    fn stage_forgotten(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        left: UserRoom,
        generation: u64,
    ) -> Pending {
        let forgotten = UserRoom { forgotten: true, ..left };
        let mut set = WriteSet::new();
        set.put(Tree::Member, user_rooms::row_key(user_id, room_id), user_rooms::encode(&forgotten));
        let (users, user_id, room_id) = (self.inner.users.clone(), user_id.to_owned(), room_id.to_owned());
        set.on_commit(move |_| users.update(&user_id, &room_id, forgotten));
        set.built_on(generation);
        self.inner.store.stage(set)
    }
}

/// Refuses what the authorisation rules would allow under another name, with a better text.
fn check_action(change: &MembershipChange, state: &RoomState) -> Result<(), RoomError> {
    use MembershipState as M;
    let before = state.members.get(&change.target).map(|member| &member.membership);
    let refuse = |reason: &str| Err(RoomError::forbidden(reason));
    match (change.action, before) {
        // Bridges tell by this error that they have to lift a ban before anything else.
        (
            MembershipAction::Join
            | MembershipAction::Invite
            | MembershipAction::Knock
            | MembershipAction::Kick,
            Some(M::Ban),
        ) => Err(RoomError::BadState("the user is banned from this room".to_owned())),
        (MembershipAction::Kick, None | Some(M::Leave)) => refuse("the user is not in this room"),
        (MembershipAction::Unban, before) if before != Some(&M::Ban) => {
            Err(RoomError::BadState("the user is not banned".to_owned()))
        }
        (MembershipAction::Kick, Some(_)) if change.sender == change.target => {
            refuse("nobody kicks himself; leave instead")
        }
        (MembershipAction::Leave, None) => refuse("you are not in this room"),
        (MembershipAction::Profile, before) if before != Some(&M::Join) => refuse("you are not in this room"),
        (MembershipAction::Invite, Some(M::Join)) => refuse("the user is already in this room"),
        _ => Ok(()),
    }
}

/// The JSON of an object.
pub(super) fn as_raw(content: &JsonObject) -> Result<Box<RawValue>, RoomError> {
    to_raw_value(content).map_err(|error| RoomError::BadJson(error.to_string()))
}
