//! Making a portal's room, finding it again, and keeping it as the chat is.

use std::sync::Arc;

use ruma::{
    OwnedRoomAliasId, RoomAliasId, RoomId,
    api::client::room::{Visibility, create_room::v3::RoomPreset},
    events::AnyInitialStateEvent,
    serde::Raw,
};
use serde_json::{Value, json};

use super::Portal;
use crate::{
    bridge::{
        ChatInfo, ChatKind, JoinPolicy, Login, NetworkError,
        convert::{self, bridge_info, txn_id},
        core::Core,
    },
    client::ClientError,
    intent::CreateRoom,
    network_id::{LoginId, RemoteUserId},
    store::{Batch, PortalRow, StoreError},
};

/// Why something could not be done in a portal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoomError {
    #[error("the homeserver did not do it: {0}")]
    Homeserver(#[from] ClientError),
    #[error("the network did not do it: {0}")]
    Network(#[from] NetworkError),
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

impl RoomError {
    /// Whether it may work later.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Homeserver(error) => error.is_retryable(),
            Self::Network(error) => error.is_retryable(),
            Self::Store(_) => true,
        }
    }

    /// How long the other side asks to wait.
    pub(crate) fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Homeserver(error) => error.retry_after(),
            Self::Network(NetworkError::Unavailable { retry_after, .. }) => *retry_after,
            _ => None,
        }
    }
}

impl Portal {
    /// The portal's row; its room is made if there is none. `login` is asked what the chat is like.
    pub(crate) async fn ensure_room(
        self: &Arc<Self>,
        core: &Arc<Core>,
        login: Option<&LoginId>,
    ) -> Result<PortalRow, RoomError> {
        if let Some(row) = core.store.portal(&self.key)? {
            return Ok(row);
        }
        let _making = self.making.lock().await;
        if let Some(row) = core.store.portal(&self.key)? {
            return Ok(row);
        }
        let (login, open) = core.login_of_portal(&self.key, login).await?;
        let info = open.chat_info(&self.key).await?;
        let row = self.make_room(core, login, &info).await?;
        self.fill_room(core, &row, info, &*open).await;
        Ok(row)
    }

    /// Makes the room under its alias, or finds the one that an earlier attempt made.
    async fn make_room(
        &self,
        core: &Arc<Core>,
        login: LoginId,
        info: &ChatInfo,
    ) -> Result<PortalRow, RoomError> {
        let partner = partner(info);
        let speaker = match partner {
            Some(user) => core.ensure_ghost(user, None, Some(&login)).await?,
            None => core.bot_intent(),
        };
        let mut request = CreateRoom::new();
        request.room_alias_name = Some(core.network()?.portal_alias(&self.key));
        request.preset = Some(preset(info));
        request.visibility = if info.listed { Visibility::Public } else { Visibility::Private };
        request.is_direct = info.kind == ChatKind::Private;
        request.name.clone_from(&info.name);
        request.topic = info.topic.clone().filter(|topic| !topic.is_empty());
        request.invite = core.users_to_invite(&self.key, &login)?;
        request.initial_state = self.initial_state(core, info);
        if info.moderated == Some(true) {
            request.power_level_content_override = raw(&json!({ "events_default": 1 }));
        }
        // A room that has the alias already was made by an attempt that was cut short.
        let room_id = speaker.create_room(request).await?;
        speaker.ensure_joined(&room_id).await?;
        let mut info = info.clone();
        info.members.clear();
        info.members_complete = false;
        let row = PortalRow {
            key: self.key.clone(),
            room_id,
            login: Some(login),
            speaker: speaker.user_id().to_owned(),
            info,
        };
        let mut batch = Batch::default();
        batch.put_portal(&row, None);
        batch.put_room_member(&row.room_id, &row.speaker, Some(""));
        core.store.commit(batch).await?;
        core.metrics.portals_made.inc();
        tracing::info!(room_id = %row.room_id, portal = %self.key, "made the room of a portal");
        Ok(row)
    }

    /// What the room gets besides its name: messages of the past, and members in the background.
    async fn fill_room(
        self: &Arc<Self>,
        core: &Arc<Core>,
        row: &PortalRow,
        info: ChatInfo,
        login: &dyn Login,
    ) {
        if login.features(&self.key).history {
            match login.history(&self.key, None, HISTORY).await {
                Ok(messages) => {
                    if let Err(error) = self.backfill(core, row, &messages).await {
                        tracing::warn!(portal = %self.key, %error, "a new room lacks its past");
                    }
                }
                Err(error) => {
                    tracing::warn!(portal = %self.key, %error, "the network did not tell a chat's past");
                }
            }
        }
        if !info.members.is_empty() || info.members_complete {
            self.members.put(core, self, row, info.members, info.members_complete, None);
        }
    }

    fn initial_state(&self, core: &Core, info: &ChatInfo) -> Vec<Raw<AnyInitialStateEvent>> {
        let (state_key, content) = bridge_info(&core.info, &core.bot, &self.key, info.name.as_deref());
        let mut state = vec![
            json!({ "type": "m.bridge", "state_key": state_key, "content": content }),
            json!({ "type": "uk.half-shot.bridge", "state_key": state_key, "content": content }),
        ];
        if let Some(avatar) = &info.avatar {
            state.push(json!({ "type": "m.room.avatar", "state_key": "", "content": { "url": avatar } }));
        }
        state.iter().filter_map(raw).collect()
    }

    /// Makes the room as the chat is: only what changed is sent.
    pub(crate) async fn update_room(
        &self,
        core: &Arc<Core>,
        row: &PortalRow,
        info: &ChatInfo,
    ) -> Result<(), RoomError> {
        let speaker = core.intent(&row.speaker);
        let mut now = row.info.clone();
        let set = async |event_type: &str, content: Value| -> Result<(), RoomError> {
            let content = convert::object(content);
            speaker.send_state(&row.room_id, event_type, "", &content).await?;
            Ok(())
        };
        if let Some(name) = info.name.as_ref().filter(|name| now.name.as_ref() != Some(name)) {
            set("m.room.name", json!({ "name": name })).await?;
            now.name = Some(name.clone());
            let (state_key, content) = bridge_info(&core.info, &core.bot, &self.key, Some(name));
            speaker.send_state(&row.room_id, "m.bridge", &state_key, &content).await?;
        }
        if let Some(topic) = info.topic.as_ref().filter(|topic| now.topic.as_ref() != Some(topic)) {
            set("m.room.topic", json!({ "topic": topic })).await?;
            now.topic = Some(topic.clone());
        }
        if let Some(avatar) = info.avatar.as_ref().filter(|avatar| now.avatar.as_ref() != Some(avatar)) {
            set("m.room.avatar", json!({ "url": avatar })).await?;
            now.avatar = Some(avatar.clone());
        }
        if let Some(join) = info.join.filter(|join| now.join != Some(*join)) {
            let rule = if join == JoinPolicy::Anyone { "public" } else { "invite" };
            set("m.room.join_rules", json!({ "join_rule": rule })).await?;
            now.join = Some(join);
        }
        if let Some(moderated) =
            info.moderated.filter(|moderated| now.moderated.unwrap_or(false) != *moderated)
        {
            self.set_moderated(core, row, moderated).await?;
            now.moderated = Some(moderated);
        }
        if now != row.info {
            let mut batch = Batch::default();
            batch.put_portal(&PortalRow { info: now, ..row.clone() }, Some(row));
            core.apply(batch);
        }
        Ok(())
    }

    async fn set_moderated(&self, core: &Core, row: &PortalRow, moderated: bool) -> Result<(), RoomError> {
        let _power = self.power.lock().await;
        let speaker = core.intent(&row.speaker);
        let mut levels = speaker.state(&row.room_id, "m.room.power_levels", "").await?.unwrap_or_default();
        levels.insert("events_default".to_owned(), json!(i32::from(moderated)));
        speaker.send_state(&row.room_id, "m.room.power_levels", "", &levels).await?;
        Ok(())
    }

    /// The room has another ID now: it was upgraded, or a person made another for a private chat.
    pub(crate) async fn move_room(
        &self,
        core: &Core,
        before: Option<&PortalRow>,
        row: &PortalRow,
    ) -> Result<(), RoomError> {
        let _making = self.making.lock().await;
        let mut batch = Batch::default();
        batch.put_portal(row, before);
        for user in core.intent(&row.speaker).joined_members(&row.room_id).await? {
            batch.put_room_member(&row.room_id, &user, Some(""));
        }
        core.store.commit(batch).await?;
        tracing::info!(room_id = %row.room_id, portal = %self.key, "a portal has another room");
        Ok(())
    }

    /// The chat is gone: the ghosts leave, and the room is no portal any more.
    pub(crate) async fn close(
        &self,
        core: &Core,
        row: &PortalRow,
        reason: Option<&str>,
    ) -> Result<(), RoomError> {
        let speaker = core.intent(&row.speaker);
        let text = reason.unwrap_or("This chat is gone: the room is no longer bridged.");
        let txn = txn_id(&self.key, &[row.room_id.as_str(), "gone"]);
        speaker.send(&row.room_id, "m.room.message", &convert::notice(text, None)).key(txn).await?;
        for user in core.store.room_members(&row.room_id)? {
            if user != row.speaker && core.is_own(&user) {
                core.intent(&user).leave(&row.room_id, reason).await?;
            }
        }
        speaker.delete_alias(&core.alias(&core.network()?.portal_alias(&self.key))?).await?;
        speaker.leave(&row.room_id, None).await?;
        let mut batch = Batch::default();
        batch.delete_portal(row);
        core.store.commit(batch).await?;
        Ok(())
    }
}

/// How many messages of the past a new room gets.
const HISTORY: usize = 100;

fn preset(info: &ChatInfo) -> RoomPreset {
    match (info.kind, info.join) {
        (_, Some(JoinPolicy::Anyone)) => RoomPreset::PublicChat,
        (ChatKind::Private, _) => RoomPreset::TrustedPrivateChat,
        _ => RoomPreset::PrivateChat,
    }
}

/// JSON as it is sent; what is made of literals always can be.
fn raw<T>(value: &Value) -> Option<Raw<T>> {
    serde_json::value::to_raw_value(value).ok().map(Raw::from_json)
}

/// The other one, in a chat of two.
fn partner(info: &ChatInfo) -> Option<&RemoteUserId> {
    (info.kind == ChatKind::Private).then(|| info.members.first()).flatten().map(|member| &member.user)
}

impl Core {
    /// The login to ask about a portal, open: its receiver, the one that heard of it, or the one that
    /// looks after it.
    pub(crate) async fn login_of_portal(
        self: &Arc<Self>,
        key: &crate::network_id::PortalKey,
        heard_by: Option<&LoginId>,
    ) -> Result<(LoginId, Arc<dyn Login>), NetworkError> {
        let id = match (&key.receiver, heard_by) {
            (Some(receiver), _) => receiver.clone(),
            (None, Some(login)) => login.clone(),
            (None, None) => self
                .network()?
                .own_login(key)
                .await
                .ok_or_else(|| NetworkError::not_found("no login of the bridge looks after this chat"))?,
        };
        let open = self.open_login(&id).await?;
        Ok((id, open))
    }

    /// The full form of an alias of this bridge.
    pub(crate) fn alias(&self, localpart: &str) -> Result<OwnedRoomAliasId, NetworkError> {
        RoomAliasId::parse(format!("#{localpart}:{}", self.server_name))
            .map_err(|_| NetworkError::refused(format!("{localpart:?} is not a valid alias")))
    }

    /// Whom to invite to a new room: the owner of a private chat.
    fn users_to_invite(
        &self,
        key: &crate::network_id::PortalKey,
        login: &LoginId,
    ) -> Result<Vec<ruma::OwnedUserId>, StoreError> {
        if key.receiver.is_none() {
            return Ok(Vec::new());
        }
        Ok(self.store.login(login)?.and_then(|record| record.user).into_iter().collect())
    }

    /// Says something in a room as the bot, once for each `txn`.
    pub(crate) async fn say(&self, room_id: &RoomId, text: &str, txn: &str) -> Result<(), ClientError> {
        self.bot_intent()
            .send(room_id, "m.room.message", &convert::notice(text, None))
            .key(txn)
            .await
            .map(drop)
    }
}
