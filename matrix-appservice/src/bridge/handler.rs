//! What the homeserver hands to the bridge, sorted by whom it is for.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedRoomId, OwnedUserId, RoomAliasId, UserId};
use serde_json::Value;

use super::{
    MatrixChange, MatrixChangeKind, NetworkError, Sender,
    convert::{fresh_txn_id, object},
    core::{Core, or_report},
    portal::{MatrixEvent, RoomError},
};
use crate::{
    network_id::TxnKey,
    service::{AppserviceHandler, Ephemeral, EventContext, Outcome, QueryReply, RoomEvent},
    store::{Batch, PortalRow},
};

/// The bridge as the application service's handler.
pub(crate) struct Handler {
    core: Arc<Core>,
    /// Who typed when the homeserver told last: it tells who types, not who has begun or stopped.
    typing: Mutex<HashMap<OwnedRoomId, HashSet<OwnedUserId>>>,
}

impl Handler {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core, typing: Mutex::default() }
    }
}

#[async_trait]
impl AppserviceHandler for Handler {
    async fn event(&self, cx: &EventContext, event: RoomEvent) -> Outcome {
        self.core.matrix_event(&MatrixEvent::of(&event), cx.attempt, cx.interrupted).await
    }

    fn records_attempts(&self) -> bool {
        true
    }

    async fn ephemeral(&self, edu: Ephemeral) {
        let Some(room_id) = &edu.room_id else { return };
        let Some(row) = or_report(self.core.store.portal_by_room(room_id)) else { return };
        let Ok(content) = serde_json::from_str::<Value>(edu.content.get()) else { return };
        match edu.event_type.as_str() {
            "m.typing" => self.on_typing(&row, &content),
            "m.receipt" => self.on_receipts(&row, &content),
            _ => {}
        }
    }

    async fn query_user(&self, user: &UserId) -> QueryReply {
        self.core.query_user(user).await
    }

    async fn query_alias(&self, alias: &RoomAliasId) -> QueryReply {
        self.core.query_alias(alias).await
    }
}

impl Handler {
    fn on_typing(&self, row: &PortalRow, content: &Value) {
        let now: HashSet<OwnedUserId> = content
            .get("user_ids")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|user| UserId::parse(user.as_str()?).ok())
            .filter(|user| !self.core.is_own(user))
            .collect();
        let before = {
            let mut typing = self.typing.lock();
            let before = if now.is_empty() {
                typing.remove(&row.room_id)
            } else {
                typing.insert(row.room_id.clone(), now.clone())
            };
            before.unwrap_or_default()
        };
        for user in now.symmetric_difference(&before) {
            self.core.tell_logins(row, user, &MatrixChangeKind::Typing { typing: now.contains(user) });
        }
    }

    fn on_receipts(&self, row: &PortalRow, content: &Value) {
        for (event_id, receipts) in content.as_object().into_iter().flatten() {
            let users = receipts.get("m.read").and_then(Value::as_object).into_iter().flatten();
            for (user, _) in users {
                let (Ok(user), Some(up_to)) =
                    (UserId::parse(user.as_str()), self.core.message_names(row, event_id))
                else {
                    continue;
                };
                if !self.core.is_own(&user) {
                    self.core.tell_logins(row, &user, &MatrixChangeKind::Receipt { up_to });
                }
            }
        }
    }
}

impl Core {
    /// Tells the open logins of a user what is no event and not worth a retry.
    fn tell_logins(&self, row: &PortalRow, user: &UserId, kind: &MatrixChangeKind) {
        for (_, login) in self.logins.open_of(user) {
            let features = login.features(&row.key);
            let wanted = match kind {
                MatrixChangeKind::Typing { .. } => features.typing,
                _ => features.receipts,
            };
            if !wanted {
                continue;
            }
            let change = MatrixChange {
                key: TxnKey::new(fresh_txn_id()),
                portal: row.key.clone(),
                event_id: None,
                sender: Sender { user_id: user.to_owned(), display_name: None, relayed: false },
                timestamp: MilliSecondsSinceUnixEpoch::now(),
                kind: kind.clone(),
            };
            self.tasks.spawn(async move { login.apply(change).await });
        }
    }

    /// Handles an event of any room.
    pub(crate) async fn matrix_event(
        self: &Arc<Self>,
        event: &MatrixEvent,
        attempt: u32,
        interrupted: bool,
    ) -> Outcome {
        self.note_member(event);
        if self.is_own(&event.sender) || self.is_echo(event) {
            return Outcome::Done;
        }
        if let Some((name, line)) = self.command_line(event) {
            self.run_command(event, &name, &line).await;
            return Outcome::Done;
        }
        match self.store.portal_by_room(&event.room_id) {
            Ok(Some(_)) => self.portal_event(event, attempt, interrupted).await,
            Ok(None) => match self.on_other_room(event).await {
                Ok(()) => Outcome::Done,
                Err(error) if error.is_retryable() => Outcome::Retry {
                    after: error.retry_after().unwrap_or(Duration::from_secs(1)),
                    reason: error.to_string(),
                },
                Err(error) => Outcome::Reject { reason: error.to_string(), notify: false },
            },
            Err(error) => Outcome::Retry { after: Duration::from_secs(5), reason: error.to_string() },
        }
    }

    /// Remembers who is in which room.
    fn note_member(&self, event: &MatrixEvent) {
        if event.event_type != "m.room.member" {
            return;
        }
        let Some(user) = event.state_key.as_deref().and_then(|key| UserId::parse(key).ok()) else { return };
        let joined = event.text("membership") == Some("join");
        let mut batch = Batch::default();
        let name = event.text("displayname").unwrap_or_default();
        batch.put_room_member(&event.room_id, &user, joined.then_some(name));
        self.apply(batch);
        if !joined && self.is_own(&user) {
            self.intent(&user).forget_joined(&event.room_id);
        }
    }

    /// Events of rooms that are no portals: invitations, and rooms where somebody talks to the bot.
    async fn on_other_room(self: &Arc<Self>, event: &MatrixEvent) -> Result<(), RoomError> {
        if event.event_type != "m.room.member" {
            return Ok(());
        }
        let Some(user) = event.state_key.as_deref().and_then(|key| UserId::parse(key).ok()) else {
            return Ok(());
        };
        match event.text("membership") {
            Some("invite") if user == self.bot => self.on_bot_invited(event).await,
            Some("invite") => match self.remote_user_of(&user) {
                Some(_) => self.on_ghost_invited(event, &user).await,
                None => Ok(()),
            },
            Some("leave" | "ban") => {
                if or_report(self.store.management_user(&event.room_id)).as_ref() == Some(&user) {
                    let mut batch = Batch::default();
                    batch.delete_management_room(&user, &event.room_id);
                    self.apply(batch);
                    self.bot_intent().leave(&event.room_id, None).await?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn on_bot_invited(&self, event: &MatrixEvent) -> Result<(), RoomError> {
        self.bot_intent().ensure_joined(&event.room_id).await?;
        let mut batch = Batch::default();
        batch.put_management_room(&event.sender, &event.room_id);
        self.store.commit(batch).await?;
        let text = format!("This is the {}. Say help for what you can tell me.", self.info.bot_display_name);
        self.say(&event.room_id, &text, &format!("welcome-{}", event.event_id)).await?;
        Ok(())
    }

    /// Somebody wants to talk to a ghost: the room becomes the portal of their private chat. The newest
    /// room wins, because that is the one he looks at.
    async fn on_ghost_invited(
        self: &Arc<Self>,
        event: &MatrixEvent,
        ghost: &UserId,
    ) -> Result<(), RoomError> {
        let Some(with) = self.remote_user_of(ghost) else { return Ok(()) };
        let intent = self.ensure_ghost(&with, None, None).await?;
        let chat = self.network()?.private_chat(&event.sender, &with).await;
        let direct = event.content.get("is_direct").and_then(Value::as_bool).unwrap_or(false);
        let Some(chat) = chat.filter(|_| direct || self.is_small(event)) else {
            tracing::info!(room_id = %event.room_id, user_id = %ghost, "a ghost turned an invitation down");
            return Ok(intent.leave(&event.room_id, Some("Nobody can be invited to this room.")).await?);
        };
        self.ensure_login(chat.login.clone()).await?;
        intent.ensure_joined(&event.room_id).await?;
        let before = self.store.portal(&chat.portal)?;
        let row = PortalRow {
            key: chat.portal.clone(),
            room_id: event.room_id.clone(),
            login: Some(chat.login.id),
            speaker: ghost.to_owned(),
            info: super::ChatInfo { kind: super::ChatKind::Private, ..super::ChatInfo::default() },
        };
        self.portals.get(&chat.portal).move_room(self, before.as_ref(), &row).await
    }

    /// Whether a room that is not marked as direct has nobody in it but the one who invites.
    fn is_small(&self, event: &MatrixEvent) -> bool {
        or_report(self.store.room_members(&event.room_id)).iter().all(|user| *user == event.sender)
    }

    /// The command that a message is: all messages in a management room, elsewhere those that begin with
    /// the prefix.
    fn command_line(&self, event: &MatrixEvent) -> Option<(String, String)> {
        if event.event_type != "m.room.message" || event.text("msgtype") != Some("m.text") {
            return None;
        }
        let body = event.text("body")?.trim();
        let prefix = self.info.command_prefix.as_str();
        if let Some(line) = body.strip_prefix(prefix)
            && (line.is_empty() || line.starts_with(char::is_whitespace))
        {
            return Some((prefix.to_owned(), line.trim().to_owned()));
        }
        let managed = or_report(self.store.management_user(&event.room_id)).as_ref() == Some(&event.sender);
        managed.then(|| (String::new(), body.strip_prefix('!').unwrap_or(body).to_owned()))
    }

    /// Runs a command in a task of its own, so that the room goes on.
    async fn run_command(self: &Arc<Self>, event: &MatrixEvent, prefix: &str, line: &str) {
        let txn = format!("command-{}", event.event_id);
        let line = if line.is_empty() { "help" } else { line };
        let commands = self.commands.read().clone();
        let Some((command, arguments)) = commands.find(line) else {
            let text =
                format!("I do not know that command. Say {prefix} help for a list.").replace("  ", " ");
            self.say_or_log(&event.room_id, &text, &txn).await;
            return;
        };
        if command.secret() {
            let redacted =
                self.bot_intent().redact(&event.room_id, &event.event_id).reason("It held a secret.").await;
            if let Err(error) = redacted {
                tracing::warn!(%error, room_id = %event.room_id, "could not remove a secret from a room");
            }
        }
        let mut call =
            super::CommandCall::new(self.context(), event.sender.clone(), event.room_id.clone(), &arguments);
        call.portal = or_report(self.store.portal_by_room(&event.room_id)).map(|row| row.key);
        let (core, room_id) = (Arc::clone(self), event.room_id.clone());
        self.tasks.spawn(async move {
            let reply = command.run(call).await;
            if reply.text.is_empty() {
                return;
            }
            let mut content = super::convert::notice(&reply.text, None);
            if let Some(html) = reply.html {
                content.extend(object(serde_json::json!({
                    "format": "org.matrix.custom.html", "formatted_body": html,
                })));
            }
            let sent = core.bot_intent().send(&room_id, "m.room.message", &content).key(&txn).await;
            if let Err(error) = sent {
                tracing::warn!(%error, %room_id, "could not answer a command");
            }
        });
    }

    /// Tells a user something in his management room.
    pub(crate) async fn tell(&self, user: &UserId, text: &str) {
        match self.ensure_management_room(user).await {
            Ok(room_id) => self.say_or_log(&room_id, text, &fresh_txn_id()).await,
            Err(error) => tracing::warn!(%error, user_id = %user, "could not tell a user something"),
        }
    }

    async fn ensure_management_room(&self, user: &UserId) -> Result<OwnedRoomId, RoomError> {
        if let Some(room_id) = self.store.management_room(user)? {
            return Ok(room_id);
        }
        let mut request = crate::intent::CreateRoom::new();
        request.is_direct = true;
        request.name = Some(self.info.bot_display_name.clone());
        request.invite = vec![user.to_owned()];
        request.preset = Some(ruma::api::client::room::create_room::v3::RoomPreset::TrustedPrivateChat);
        let room_id = self.bot_intent().create_room(request).await?;
        let mut batch = Batch::default();
        batch.put_management_room(user, &room_id);
        self.store.commit(batch).await?;
        Ok(room_id)
    }

    async fn query_user(self: &Arc<Self>, user: &UserId) -> QueryReply {
        let Some(remote) = self.remote_user_of(user) else { return QueryReply::NotFound };
        // Without a login to ask, whoever has a valid name may exist.
        match self.ensure_ghost(&remote, None, None).await {
            Ok(_) => QueryReply::Found,
            Err(error) => unavailable(&error),
        }
    }

    /// Makes the room of a portal while the homeserver waits for the answer.
    async fn query_alias(self: &Arc<Self>, alias: &RoomAliasId) -> QueryReply {
        if alias.server_name() != self.server_name {
            return QueryReply::NotFound;
        }
        let key = match self.network() {
            Ok(network) => network.portal_for_alias(alias.alias()),
            Err(error) => return unavailable(&error.into()),
        };
        let Some(key) = key else { return QueryReply::NotFound };
        let made = async {
            let row = self.portals.get(&key).ensure_room(self, None).await?;
            // Another way to write the portal's alias leads to the same room.
            let own = self.alias(&self.network()?.portal_alias(&key))?;
            let speaker = self.intent(&row.speaker);
            if own != *alias || speaker.resolve_alias(&own).await?.is_none() {
                match speaker.put_alias(alias, &row.room_id).await {
                    // It is there already: all is well.
                    Err(error) if error.status() == Some(409) => {}
                    other => other?,
                }
            }
            Ok::<_, RoomError>(())
        };
        match made.await {
            Ok(()) => QueryReply::Found,
            Err(error) => unavailable(&error),
        }
    }

    pub(crate) async fn open_portal(
        self: &Arc<Self>,
        key: &crate::network_id::PortalKey,
        invite: Option<&UserId>,
    ) -> Result<OwnedRoomId, NetworkError> {
        let made = async {
            let row = self.portals.get(key).ensure_room(self, None).await?;
            if let Some(user) = invite
                && !self.store.is_room_member(&row.room_id, user)?
            {
                self.intent(&row.speaker).invite(&row.room_id, user, None).await?;
            }
            Ok::<_, RoomError>(row.room_id)
        };
        made.await.map_err(|error| match error {
            RoomError::Network(error) => error,
            other if other.is_retryable() => NetworkError::unavailable(other.to_string()),
            other => NetworkError::refused(other.to_string()),
        })
    }
}

/// What a query answers when it failed.
fn unavailable(error: &RoomError) -> QueryReply {
    match error {
        RoomError::Network(NetworkError::NotFound(_) | NetworkError::Refused(_)) => QueryReply::NotFound,
        error => {
            tracing::warn!(%error, "could not answer a query of the homeserver");
            QueryReply::Unavailable
        }
    }
}
