//! What the network did, brought to Matrix. Every step can be repeated: a step that was done before a crash
//! is recognised by what is stored, or by the homeserver through its transaction ID.

use std::{sync::Arc, time::Duration};

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId};
use serde_json::json;

use super::{Entry, Portal, RoomError};
use crate::{
    bridge::{
        BackfillMessage, ChatInfo, Part, RemoteEvent, RemoteEventKind,
        convert::{self, Content, txn_id},
        core::Core,
    },
    intent::Intent,
    network_id::{LoginId, PartId, RemoteMessageId, RemoteUserId},
    store::{Batch, JournalEntry, MessageRow, PortalRow, ReactionTo},
};

/// How long somebody types, if the network does not say that he has stopped.
const TYPING: Duration = Duration::from_secs(30);

/// Marks what is sent as a real user, so that it does not come back to the network.
pub(super) const ECHO_MARK: &str = "io.matrix_appservice.source";

/// A message on its way into a room.
struct Incoming<'a> {
    id: &'a RemoteMessageId,
    parts: &'a [Part],
    reply_to: Option<&'a RemoteMessageId>,
    thread: Option<&'a RemoteMessageId>,
    author: Option<&'a RemoteUserId>,
    timestamp: Option<MilliSecondsSinceUnixEpoch>,
}

impl Portal {
    /// Brings one entry to Matrix and lets go of its journal row.
    pub(super) async fn from_network(
        self: &Arc<Self>,
        core: &Arc<Core>,
        entry: &Entry,
    ) -> Result<(), RoomError> {
        match &entry.entry {
            JournalEntry::Fail { key, error } => {
                core.fail_pending(key, error, entry.number).await?;
                Ok(())
            }
            JournalEntry::Event(event) => self.event(core, entry, event).await,
        }
    }

    /// Lets go of an entry's journal row.
    pub(super) fn settle(core: &Core, entry: &Entry) {
        let mut batch = Batch::default();
        settle_in(&mut batch, entry);
        core.apply(batch);
    }

    async fn event(
        self: &Arc<Self>,
        core: &Arc<Core>,
        entry: &Entry,
        event: &RemoteEvent,
    ) -> Result<(), RoomError> {
        let login = Some(&entry.login);
        match &event.kind {
            RemoteEventKind::Message { id, parts, reply_to, thread, txn } => {
                if let Some(key) = txn {
                    let mut batch = Batch::default();
                    settle_in(&mut batch, entry);
                    return Ok(core.confirm(key, std::slice::from_ref(id), batch)?.await?);
                }
                let message = Incoming {
                    id,
                    parts,
                    reply_to: reply_to.as_ref(),
                    thread: thread.as_ref(),
                    author: event.sender.as_ref(),
                    timestamp: event.timestamp,
                };
                return self.message(core, entry, event, &message).await;
            }
            RemoteEventKind::Notice { id, text } => {
                let parts = [Part::notice(text.clone())];
                let message = Incoming {
                    id,
                    parts: &parts,
                    reply_to: None,
                    thread: None,
                    author: None,
                    timestamp: None,
                };
                return self.message(core, entry, event, &message).await;
            }
            RemoteEventKind::Membership { changes, complete } => {
                let row = self.ensure_room(core, login).await?;
                // The row is let go when the last of the changes is done.
                self.members.put(core, self, &row, changes.clone(), *complete, entry.number);
                return Ok(());
            }
            RemoteEventKind::ChatInfo(info) => {
                let row = self.ensure_room(core, login).await?;
                return self.chat_info(core, entry, &row, info).await;
            }
            RemoteEventKind::Edit { target, id, parts } => {
                self.edit(core, event, target, id.as_ref(), parts, login).await?;
            }
            RemoteEventKind::Remove { target, part, reason } => {
                self.remove(core, event, target, part.as_ref(), reason.as_deref()).await?;
            }
            RemoteEventKind::Reaction { target, emoji } => {
                self.react(core, event, target, emoji, login).await?;
            }
            RemoteEventKind::ReactionRemoved { target, emoji } => {
                self.unreact(core, event, target, emoji).await?;
            }
            RemoteEventKind::Receipt { up_to } => self.receipt(core, event, up_to).await?,
            RemoteEventKind::Typing { typing } => self.typing(core, event, *typing).await?,
            RemoteEventKind::Profile(info) => {
                if let Some(user) = &event.sender {
                    core.ensure_ghost(user, Some(info), login).await?;
                }
            }
            RemoteEventKind::ChatGone { reason } => {
                if let Some(row) = core.store.portal(&self.key)? {
                    self.close(core, &row, reason.as_deref()).await?;
                }
            }
            RemoteEventKind::Backfill { messages } => {
                let row = self.ensure_room(core, login).await?;
                self.backfill(core, &row, messages).await?;
            }
        }
        Self::settle(core, entry);
        Ok(())
    }

    async fn message(
        self: &Arc<Self>,
        core: &Arc<Core>,
        entry: &Entry,
        event: &RemoteEvent,
        message: &Incoming<'_>,
    ) -> Result<(), RoomError> {
        let row = self.ensure_room(core, Some(&entry.login)).await?;
        let mut batch = Batch::default();
        settle_in(&mut batch, entry);
        let speaker = async || self.speaker(core, &row, event, &entry.login).await;
        self.say(core, &row, message, speaker, batch).await
    }

    /// Sends the parts of a message that are not known yet. `batch` is written together with the last of them.
    async fn say(
        self: &Arc<Self>,
        core: &Arc<Core>,
        row: &PortalRow,
        message: &Incoming<'_>,
        speaker: impl AsyncFnOnce() -> Result<Intent, RoomError>,
        batch: Batch,
    ) -> Result<(), RoomError> {
        let mut missing = Vec::new();
        for part in message.parts {
            if core.store.message_part(&self.key, message.id, &part.id)?.is_none() {
                missing.push(part);
            }
        }
        if missing.is_empty() {
            core.metrics.remote_duplicates.inc();
            core.apply(batch);
            return Ok(());
        }
        let intent = speaker().await?;
        let reply_to = self.event_of(core, message.reply_to)?;
        let thread = self.event_of(core, message.thread)?;
        let mut last = Some(batch);
        let count = missing.len();
        for (place, part) in missing.into_iter().enumerate() {
            let content = convert::relate(part.content.clone(), reply_to.as_deref(), thread.as_deref());
            let txn = txn_id(&self.key, &[message.id.as_str(), part.id.as_str(), "send"]);
            let _sending = self.sending.lock().await;
            let event_id = self
                .put_event(core, row, &intent, &part.event_type, content, message.timestamp, &txn)
                .await?;
            let mut batch =
                if place + 1 == count { last.take().unwrap_or_default() } else { Batch::default() };
            batch.put_message(&MessageRow {
                portal: self.key.clone(),
                ids: vec![message.id.clone()],
                part: part.id.clone(),
                event_id,
                sender: intent.user_id().to_owned(),
                author: message.author.cloned(),
                timestamp: message.timestamp.unwrap_or_else(MilliSecondsSinceUnixEpoch::now),
                reaction: None,
            });
            core.apply(batch);
        }
        Ok(())
    }

    /// Sends an event as `intent`. If the homeserver says that the user is not in the room after
    /// all, what was remembered about that is forgotten and he joins again.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the one request")]
    async fn put_event(
        &self,
        core: &Core,
        row: &PortalRow,
        intent: &Intent,
        event_type: &str,
        mut content: Content,
        timestamp: Option<MilliSecondsSinceUnixEpoch>,
        txn: &str,
    ) -> Result<OwnedEventId, RoomError> {
        if !core.is_own(intent.user_id()) {
            content.insert(ECHO_MARK.to_owned(), json!(core.appservice_id));
        }
        match intent.send(&row.room_id, event_type, &content).at(timestamp).key(txn).await {
            Err(error) if error.errcode() == Some("M_FORBIDDEN") => {
                intent.forget_joined(&row.room_id);
                intent.ensure_joined(&row.room_id).await?;
                Ok(intent.send(&row.room_id, event_type, &content).at(timestamp).key(txn).await?)
            }
            other => Ok(other?),
        }
    }

    /// Who speaks for the sender of `event`: the Matrix user himself where the login is his own
    /// and the bridge may, else his ghost, else the bot. In the room when this returns.
    async fn speaker(
        self: &Arc<Self>,
        core: &Arc<Core>,
        row: &PortalRow,
        event: &RemoteEvent,
        login: &LoginId,
    ) -> Result<Intent, RoomError> {
        if event.own
            && let Some(user) = core.store.login(login)?.and_then(|record| record.user)
            && core.may_act_as(&user)
        {
            return Ok(core.intent(&user));
        }
        match &event.sender {
            None => Ok(core.intent(&row.speaker)),
            Some(user) => self.members.ensure_joined(core, row, user, Some(login)).await,
        }
    }

    async fn edit(
        self: &Arc<Self>,
        core: &Arc<Core>,
        event: &RemoteEvent,
        target: &RemoteMessageId,
        id: Option<&RemoteMessageId>,
        parts: &[Part],
        login: Option<&LoginId>,
    ) -> Result<(), RoomError> {
        let before = core.store.message_parts(&self.key, target)?;
        if before.is_empty() {
            tracing::debug!(portal = %self.key, "an edit of a message that is not known");
            return Ok(());
        }
        let row = self.ensure_room(core, login).await?;
        for part in parts {
            let Some(old) = before.iter().find(|old| old.part == part.id) else { continue };
            let intent = core.intent(&old.sender);
            let digest = serde_json::to_string(&part.content).unwrap_or_default();
            let name = id.map_or(digest.as_str(), RemoteMessageId::as_str);
            let txn = txn_id(&self.key, &[target.as_str(), part.id.as_str(), "edit", name]);
            let content = convert::replacement(part.content.clone(), &old.event_id);
            self.put_event(core, &row, &intent, &part.event_type, content, event.timestamp, &txn).await?;
        }
        for old in before.iter().filter(|old| !parts.iter().any(|part| part.id == old.part)) {
            self.redact(core, &row, event, old, None).await?;
        }
        Ok(())
    }

    async fn remove(
        &self,
        core: &Arc<Core>,
        event: &RemoteEvent,
        target: &RemoteMessageId,
        part: Option<&PartId>,
        reason: Option<&str>,
    ) -> Result<(), RoomError> {
        let Some(row) = core.store.portal(&self.key)? else { return Ok(()) };
        for old in core.store.message_parts(&self.key, target)? {
            if part.is_none_or(|part| *part == old.part) {
                self.redact(core, &row, event, &old, reason).await?;
            }
        }
        Ok(())
    }

    /// Redacts an event as its author where the author removed it, else as the room's speaker.
    async fn redact(
        &self,
        core: &Core,
        row: &PortalRow,
        event: &RemoteEvent,
        old: &MessageRow,
        reason: Option<&str>,
    ) -> Result<(), RoomError> {
        let by_author = core.is_own(&old.sender) && (event.sender.is_none() || event.sender == old.author);
        let intent = core.intent(if by_author { &old.sender } else { &row.speaker });
        let txn = txn_id(&self.key, &[old.event_id.as_str(), "redact"]);
        let redacting = intent.redact(&row.room_id, &old.event_id).key(txn);
        match reason {
            Some(reason) => redacting.reason(reason).await?,
            None => redacting.await?,
        };
        Ok(())
    }

    async fn react(
        self: &Arc<Self>,
        core: &Arc<Core>,
        event: &RemoteEvent,
        target: &RemoteMessageId,
        emoji: &str,
        login: Option<&LoginId>,
    ) -> Result<(), RoomError> {
        let Some(sender) = &event.sender else { return Ok(()) };
        let Some(target) = self.event_of(core, Some(target))? else { return Ok(()) };
        if core.store.reaction(&self.key, &target, sender, emoji)?.is_some() {
            return Ok(());
        }
        let row = self.ensure_room(core, login).await?;
        let intent = self.members.ensure_joined(core, &row, sender, login).await?;
        // A reaction that was taken back may be made again, so the time is part of its name.
        let stamp = event.timestamp.map(|time| time.get().to_string()).unwrap_or_default();
        let txn = txn_id(&self.key, &[target.as_str(), sender.as_str(), "react", emoji, &stamp]);
        let content = convert::reaction(&target, emoji);
        let event_id =
            self.put_event(core, &row, &intent, "m.reaction", content, event.timestamp, &txn).await?;
        let mut batch = Batch::default();
        batch.put_message(&MessageRow {
            portal: self.key.clone(),
            ids: Vec::new(),
            part: PartId::default(),
            event_id,
            sender: intent.user_id().to_owned(),
            author: Some(sender.clone()),
            timestamp: event.timestamp.unwrap_or_else(MilliSecondsSinceUnixEpoch::now),
            reaction: Some(ReactionTo { target, emoji: emoji.to_owned() }),
        });
        core.apply(batch);
        Ok(())
    }

    async fn unreact(
        &self,
        core: &Arc<Core>,
        event: &RemoteEvent,
        target: &RemoteMessageId,
        emoji: &str,
    ) -> Result<(), RoomError> {
        let Some(sender) = &event.sender else { return Ok(()) };
        let Some(target) = self.event_of(core, Some(target))? else { return Ok(()) };
        let Some(row) = core.store.portal(&self.key)? else { return Ok(()) };
        let Some(reaction) = core.store.reaction(&self.key, &target, sender, emoji)? else { return Ok(()) };
        let Some(old) = core.store.message_by_event(&reaction)? else { return Ok(()) };
        self.redact(core, &row, event, &old, None).await?;
        let mut batch = Batch::default();
        batch.delete_reaction(&old);
        core.apply(batch);
        Ok(())
    }

    async fn receipt(
        &self,
        core: &Arc<Core>,
        event: &RemoteEvent,
        up_to: &RemoteMessageId,
    ) -> Result<(), RoomError> {
        let Some(sender) = &event.sender else { return Ok(()) };
        let Some(row) = core.store.portal(&self.key)? else { return Ok(()) };
        let Some(last) = core.store.message_parts(&self.key, up_to)?.pop() else { return Ok(()) };
        let ghost = core.ghost_id(sender)?;
        if core.store.is_room_member(&row.room_id, &ghost)? {
            core.intent(&ghost).read(&row.room_id, &last.event_id).await?;
        }
        Ok(())
    }

    async fn typing(&self, core: &Arc<Core>, event: &RemoteEvent, typing: bool) -> Result<(), RoomError> {
        let Some(sender) = &event.sender else { return Ok(()) };
        let Some(row) = core.store.portal(&self.key)? else { return Ok(()) };
        let ghost = core.ghost_id(sender)?;
        if core.store.is_room_member(&row.room_id, &ghost)? {
            core.intent(&ghost).typing(&row.room_id, typing.then_some(TYPING)).await?;
        }
        Ok(())
    }

    async fn chat_info(
        self: &Arc<Self>,
        core: &Arc<Core>,
        entry: &Entry,
        row: &PortalRow,
        info: &ChatInfo,
    ) -> Result<(), RoomError> {
        self.update_room(core, row, info).await?;
        if info.members.is_empty() && !info.members_complete {
            Self::settle(core, entry);
        } else {
            self.members.put(core, self, row, info.members.clone(), info.members_complete, entry.number);
        }
        Ok(())
    }

    /// Sends messages of the past that are not known yet, oldest first.
    pub(super) async fn backfill(
        self: &Arc<Self>,
        core: &Arc<Core>,
        row: &PortalRow,
        messages: &[BackfillMessage],
    ) -> Result<(), RoomError> {
        for message in messages {
            let incoming = Incoming {
                id: &message.id,
                parts: &message.parts,
                reply_to: None,
                thread: None,
                author: Some(&message.sender),
                timestamp: Some(message.timestamp),
            };
            let speaker =
                async || self.members.ensure_joined(core, row, &message.sender, row.login.as_ref()).await;
            self.say(core, row, &incoming, speaker, Batch::default()).await?;
        }
        Ok(())
    }

    /// The event that a message of the network is, if it is known; its last part.
    fn event_of(&self, core: &Core, id: Option<&RemoteMessageId>) -> Result<Option<OwnedEventId>, RoomError> {
        let Some(id) = id else { return Ok(None) };
        Ok(core.store.message_parts(&self.key, id)?.pop().map(|row| row.event_id))
    }
}

fn settle_in(batch: &mut Batch, entry: &Entry) {
    if let Some(number) = entry.number {
        batch.delete_journal(number);
    }
}
