//! Which event stands for which message of the network, both ways.

use ruma::{EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId};
use serde::{Deserialize, Serialize};

use super::{Batch, Store, StoreError, Tree, key::Key};
use crate::network_id::{PartId, PortalKey, RemoteMessageId, RemoteUserId};

/// A message, or a part of one, that both sides know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageRow {
    pub(crate) portal: PortalKey,
    /// All that the network calls it: several if a Matrix message became several lines, none if the
    /// network gave it no name.
    pub(crate) ids: Vec<RemoteMessageId>,
    #[serde(default)]
    pub(crate) part: PartId,
    pub(crate) event_id: OwnedEventId,
    /// The Matrix user who sent the event: a ghost or a real one.
    pub(crate) sender: OwnedUserId,
    /// The remote user who wrote it, if one did.
    #[serde(default)]
    pub(crate) author: Option<RemoteUserId>,
    pub(crate) timestamp: MilliSecondsSinceUnixEpoch,
    /// What it is a reaction to, if it is one.
    #[serde(default)]
    pub(crate) reaction: Option<ReactionTo>,
}

/// What a reaction is to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReactionTo {
    pub(crate) target: OwnedEventId,
    pub(crate) emoji: String,
}

impl Store {
    pub(crate) fn message_by_event(&self, event_id: &EventId) -> Result<Option<MessageRow>, StoreError> {
        self.get_json(Tree::MessagesByEvent, event_id.as_bytes())
    }

    /// Every part of a message, in the order of their names.
    pub(crate) fn message_parts(
        &self,
        portal: &PortalKey,
        id: &RemoteMessageId,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let prefix = Key::portal(portal).and(id.as_str()).bytes();
        let events = self.scan_json::<OwnedEventId>(Tree::MessagesByRemote, &prefix)?;
        let mut rows = Vec::with_capacity(events.len());
        for event_id in events {
            rows.extend(self.message_by_event(&event_id)?);
        }
        Ok(rows)
    }

    pub(crate) fn message_part(
        &self,
        portal: &PortalKey,
        id: &RemoteMessageId,
        part: &PartId,
    ) -> Result<Option<OwnedEventId>, StoreError> {
        self.get_json(Tree::MessagesByRemote, &message_key(portal, id, part))
    }

    /// The event of somebody's reaction.
    pub(crate) fn reaction(
        &self,
        portal: &PortalKey,
        target: &EventId,
        sender: &RemoteUserId,
        emoji: &str,
    ) -> Result<Option<OwnedEventId>, StoreError> {
        self.get_json(Tree::Reactions, &reaction_key(portal, target, sender, emoji))
    }
}

impl Batch {
    pub(crate) fn put_message(&mut self, row: &MessageRow) {
        self.put_json(Tree::MessagesByEvent, row.event_id.as_bytes(), row);
        if let (Some(reaction), Some(author)) = (&row.reaction, &row.author) {
            let key = reaction_key(&row.portal, &reaction.target, author, &reaction.emoji);
            self.put_json(Tree::Reactions, &key, &row.event_id);
            return;
        }
        for id in &row.ids {
            self.put_json(Tree::MessagesByRemote, &message_key(&row.portal, id, &row.part), &row.event_id);
        }
    }

    /// More names of the network for an event.
    pub(crate) fn put_message_names(
        &mut self,
        portal: &PortalKey,
        ids: &[RemoteMessageId],
        event_id: &EventId,
    ) {
        for id in ids {
            self.put_json(Tree::MessagesByRemote, &message_key(portal, id, &PartId::default()), &event_id);
        }
    }

    /// Forgets a reaction that is gone.
    pub(crate) fn delete_reaction(&mut self, row: &MessageRow) {
        self.delete(Tree::MessagesByEvent, row.event_id.as_bytes());
        if let (Some(reaction), Some(author)) = (&row.reaction, &row.author) {
            self.delete(
                Tree::Reactions,
                &reaction_key(&row.portal, &reaction.target, author, &reaction.emoji),
            );
        }
    }
}

fn message_key(portal: &PortalKey, id: &RemoteMessageId, part: &PartId) -> Vec<u8> {
    Key::portal(portal).and(id.as_str()).and(part.as_str()).bytes()
}

fn reaction_key(portal: &PortalKey, target: &EventId, sender: &RemoteUserId, emoji: &str) -> Vec<u8> {
    Key::portal(portal).and(target.as_str()).and(sender.as_str()).and(emoji).bytes()
}
