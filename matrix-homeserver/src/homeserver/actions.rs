//! What takes several services to do.

use std::sync::Arc;

use ruma::{
    OwnedRoomId, RoomAliasId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde_json::{Value, json, value::RawValue};

use super::Services;
use crate::{
    api::{ApiError, ApiResult, Requester},
    appservice::NamedRoom,
    room::{JsonObject, MembershipAction, MembershipChange, Room, RoomError},
    rules::{Denied, PowerLevels},
    store::StoreError,
    user::{PresenceState, Receipt, Scope},
};

/// The longest alias ([room aliases](https://spec.matrix.org/v1.19/appendices/#room-aliases)).
const MAX_ALIAS_BYTES: usize = 255;

impl Services {
    /// What a member event tells of a local user's profile.
    pub(crate) fn member_content(&self, user_id: &UserId) -> ApiResult<JsonObject> {
        let mut content = JsonObject::new();
        if self.is_local(user_id) {
            let mut profile = self.users.profile(user_id)?;
            for field in ["displayname", "avatar_url"] {
                if let Some(value) = profile.remove(field) {
                    content.insert(field.to_owned(), value);
                }
            }
        }
        Ok(content)
    }

    /// The room that an alias leads to, after asking the application services that could make it. No lock is held
    /// while they answer.
    pub(crate) async fn resolve_alias(&self, alias: &RoomAliasId) -> ApiResult<OwnedRoomId> {
        if let Some(target) = self.directory.resolve(alias) {
            return Ok(target.room_id);
        }
        if alias.server_name() == self.config.server_name {
            let found = self.appservices.query_alias(alias).await?;
            if let (Some(found), true) = (found, self.config.draft_provisioning)
                && self.directory.resolve(alias).is_none()
            {
                self.provision_room(alias, &found).await?;
            }
        }
        match self.directory.resolve(alias) {
            Some(target) => Ok(target.room_id),
            None => Err(ApiError::not_found("there is no such room alias")),
        }
    }

    /// Refuses aliases that belong to somebody else's namespace, and, to application services, those outside of their
    /// own.
    pub(crate) fn may_claim_alias(&self, requester: &Requester, alias: &RoomAliasId) -> ApiResult<()> {
        let appservice = requester.appservice.as_deref();
        if alias.as_str().len() > MAX_ALIAS_BYTES {
            return Err(ApiError::invalid_param("a room alias has at most 255 bytes"));
        }
        if self.appservices.alias_is_taken(alias, appservice) {
            return Err(ApiError::exclusive("the room alias belongs to an application service"));
        }
        match appservice {
            Some(appservice) if !appservice.may_own_alias(alias) => {
                Err(ApiError::exclusive("the room alias is not in a namespace of this application service"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a user may set the aliases of a room, which is also who may list it.
    pub(crate) fn may_manage_aliases(&self, room_id: &RoomId, user_id: &UserId) -> ApiResult<bool> {
        self.may_send(room_id, user_id, &TimelineEventType::RoomCanonicalAlias)
    }

    /// Whether a user has the power to set a kind of state.
    pub(crate) fn may_send(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        event_type: &TimelineEventType,
    ) -> ApiResult<bool> {
        self.has_power(room_id, user_id, |levels| {
            Ok(levels.of(user_id)? >= levels.required_to_send(event_type, Some(""))?)
        })
    }

    /// Whether a user is in a room, and its power levels allow something.
    pub(crate) fn has_power(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        allowed: impl FnOnce(&PowerLevels<'_>) -> Result<bool, Denied>,
    ) -> ApiResult<bool> {
        let Some(room) = self.rooms.get(room_id)? else { return Ok(false) };
        if !room.view().is_joined(user_id) {
            return Ok(false);
        }
        let state = |kind| self.rooms.current_state_event(room_id, &kind, "");
        let Some(create) = state(StateEventType::RoomCreate)? else { return Ok(false) };
        let levels = state(StateEventType::RoomPowerLevels)?;
        let levels = PowerLevels::new(
            &room.rules.authorization,
            &create.pdu,
            levels.as_ref().map(|event| &*event.pdu),
        );
        Ok(levels.and_then(|levels| allowed(&levels)).unwrap_or(false))
    }

    /// The content of a state event as it is now, whoever asks.
    pub(crate) fn state_content(
        &self,
        room_id: &RoomId,
        kind: &StateEventType,
        state_key: &str,
    ) -> ApiResult<Option<Box<RawValue>>> {
        let event = self.rooms.current_state_event(room_id, kind, state_key)?;
        Ok(event.map(|event| event.pdu.content.clone()))
    }

    /// A room that the user is joined to.
    pub(crate) fn joined_room(&self, room_id: &RoomId, user_id: &UserId) -> ApiResult<Arc<Room>> {
        match self.rooms.get(room_id)? {
            Some(room) if room.membership(user_id) == Some(MembershipState::Join) => Ok(room),
            _ => Err(RoomError::not_in_room().into()),
        }
    }

    /// Tells the rooms that a user is in of the new name and avatar. Rooms that do not let it be are passed over.
    pub(crate) async fn show_profile_in_rooms(&self, user_id: &UserId) -> ApiResult<()> {
        let content = self.member_content(user_id)?;
        for room_id in self.rooms.joined_rooms(user_id)? {
            let change = own_membership(user_id, &room_id, MembershipAction::Profile, content.clone());
            if let Err(error) = self.rooms.membership(change).await {
                tracing::debug!(%room_id, %user_id, %error, "a room does not show the new profile");
            }
        }
        Ok(())
    }

    /// Takes a user out of every room and rejects every invitation.
    pub(crate) async fn leave_all_rooms(&self, user_id: &UserId) -> ApiResult<()> {
        for (room_id, room) in &self.rooms.of_user(user_id)? {
            if matches!(
                room.membership,
                MembershipState::Join | MembershipState::Invite | MembershipState::Knock
            ) {
                let change = own_membership(user_id, room_id, MembershipAction::Leave, JsonObject::new());
                if let Err(error) = self.rooms.membership(change).await {
                    tracing::debug!(%room_id, %user_id, %error, "a room does not let its member go");
                }
            }
        }
        Ok(())
    }

    /// Lets a user of an application service into a room that it is about to speak in, as the draft's example takes for
    /// granted: by joining, or by an invitation of the application service itself. What is not possible is left to the
    /// request to find out.
    pub(crate) async fn join_by_the_way(&self, requester: &Requester, room_id: &RoomId) -> ApiResult<()> {
        let user_id = &requester.user_id;
        let Some(appservice) = &requester.appservice else { return Ok(()) };
        if self.rooms.is_joined(room_id, user_id)? {
            return Ok(());
        }
        let content = self.member_content(user_id)?;
        let join = || own_membership(user_id, room_id, MembershipAction::Join, content.clone());
        if self.rooms.membership(join()).await.is_ok() {
            return Ok(());
        }
        let invite = MembershipChange {
            sender: appservice.sender().to_owned(),
            action: MembershipAction::Invite,
            ..own_membership(user_id, room_id, MembershipAction::Invite, content.clone())
        };
        if self.rooms.membership(invite).await.is_ok() {
            let _ = self.rooms.membership(join()).await;
        }
        Ok(())
    }

    /// Keeps account data and wakes the user's other devices.
    pub(crate) async fn set_account_data(
        &self,
        user_id: &UserId,
        scope: Scope<'_>,
        kind: &str,
        content: &RawValue,
    ) -> ApiResult<()> {
        self.users.set_account_data(user_id, scope, kind, content).await?;
        self.rooms.wakers().wake(user_id);
        Ok(())
    }

    /// The user has stopped typing in a room.
    pub(crate) async fn stop_typing(&self, room_id: &RoomId, user_id: &UserId) -> Result<(), StoreError> {
        self.users.typing.stop(room_id, user_id).await.map(drop)
    }

    /// Keeps a receipt and tells the application services of it.
    pub(crate) async fn receive(&self, room: &Room, receipt: Receipt) -> Result<(), StoreError> {
        let content = crate::user::receipt_content(std::iter::once(&receipt).filter(|it| it.is_public()));
        let (wakers, view) = (self.rooms.wakers().clone(), room.view());
        let reader = receipt.user_id.clone();
        self.users.receipts.set(&room.room_id, receipt, move || wakers.wake_room(&view)).await?;
        self.push.ring(&reader);
        match content {
            Some(content) => self.tell_room(
                &room.room_id,
                &json!({"type": "m.receipt", "room_id": room.room_id, "content": content}),
            ),
            None => Ok(()),
        }
    }

    fn tell_room(&self, room_id: &RoomId, edu: &Value) -> Result<(), StoreError> {
        self.appservices.tell_room(&self.rooms, &self.directory, room_id, edu)
    }

    /// Whether a user may see another's presence: who shares a room, and whom the other lets.
    pub(crate) fn may_see_presence(&self, viewer: &UserId, user_id: &UserId) -> ApiResult<bool> {
        Ok(viewer == user_id
            || self.users.presence.lists.may_see(viewer, user_id)
            || self.rooms.shares_room(viewer, user_id)?)
    }

    /// Changes a user's presence, and tells those who may see it.
    pub(crate) async fn set_presence(
        &self,
        user_id: &UserId,
        state: PresenceState,
        message: Option<Option<String>>,
    ) -> ApiResult<()> {
        if self.users.presence.set(user_id, state, message).await? {
            self.tell_presence(user_id)?;
        }
        Ok(())
    }

    /// Tells those who may see it that a user's presence has changed.
    pub(crate) fn tell_presence(&self, user_id: &UserId) -> ApiResult<()> {
        let rooms = self.rooms.joined_rooms(user_id)?;
        let wakers = self.rooms.wakers();
        wakers.wake(user_id);
        for watcher in self.users.presence.lists.watchers(user_id) {
            wakers.wake(&watcher);
        }
        for room_id in &rooms {
            if let Some(room) = self.rooms.get(room_id)? {
                wakers.wake_room(&room.view());
            }
        }
        if self.appservices.wants_ephemeral() {
            let edu = json!({
                "type": "m.presence", "sender": user_id, "content": self.users.presence.content(user_id),
            });
            self.appservices.push_presence(&edu, |appservice| {
                rooms.iter().any(|room_id| {
                    self.rooms.get(room_id).ok().flatten().is_some_and(|room| {
                        let view = room.view();
                        let named = NamedRoom { room_id, view: &view, directory: &self.directory };
                        appservice.is_interested_in_room(room_id, &named)
                    })
                })
            });
        }
        Ok(())
    }
}

pub(super) fn own_membership(
    user_id: &UserId,
    room_id: &RoomId,
    action: MembershipAction,
    content: JsonObject,
) -> MembershipChange {
    MembershipChange {
        room_id: room_id.to_owned(),
        sender: user_id.to_owned(),
        target: user_id.to_owned(),
        action,
        content,
        origin_server_ts: None,
        txn: None,
    }
}
