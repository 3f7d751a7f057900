//! Which message of the network an event is about.

use std::time::Duration;

use ruma::EventId;

use super::{super::send::retry_store, Occasion};
use crate::{
    bridge::{
        MessageRef,
        core::{Core, or_report},
    },
    network_id::TxnKey,
    service::Outcome,
    store::{MessageRow, PortalRow, StoreError},
};

/// How long an event waits for the message that it is about to be confirmed.
const PENDING_TARGET: Duration = Duration::from_millis(250);
/// How often it waits.
const PENDING_PATIENCE: u32 = 60;

pub(super) enum Target {
    Known(MessageRef, Box<MessageRow>),
    Wait(Outcome),
    Unknown,
}

pub(super) enum Reference {
    Known(MessageRef),
    Wait(Outcome),
    Unknown,
}

impl Core {
    /// The message that an event is about.
    pub(super) async fn target(&self, event_id: &str, occasion: &Occasion<'_>) -> Target {
        let Ok(event_id) = EventId::parse(event_id) else { return Target::Unknown };
        match self.find_target(&event_id, occasion) {
            Ok(Target::Unknown) => {}
            Ok(found) => return found,
            Err(error) => return Target::Wait(retry_store(&error)),
        }
        // It may just have been sent by the bridge, and the homeserver's answer be on its way.
        self.portals.get(&occasion.row.key).wait_for_sending().await;
        self.find_target(&event_id, occasion).unwrap_or_else(|error| Target::Wait(retry_store(&error)))
    }

    fn find_target(&self, event_id: &EventId, occasion: &Occasion<'_>) -> Result<Target, StoreError> {
        // Read before the message map, because a confirmation moves the message from here to there.
        let pending = self.store.send(&TxnKey::new(event_id.as_str()))?.is_some();
        Ok(match self.store.message_by_event(event_id)? {
            Some(row) if row.reaction.is_some() || row.portal != occasion.row.key => Target::Unknown,
            Some(row) => match MessageRef::of(&row) {
                Some(target) => Target::Known(target, Box::new(row)),
                None => Target::Unknown,
            },
            None if pending && occasion.attempt < PENDING_PATIENCE => Target::Wait(Outcome::Retry {
                after: PENDING_TARGET,
                reason: "the message that it is about is not confirmed yet".to_owned(),
            }),
            None => Target::Unknown,
        })
    }

    /// The message that another one refers to. The reference is worth less than the message, so it waits less.
    pub(super) async fn reference(&self, event_id: Option<&str>, occasion: &Occasion<'_>) -> Reference {
        let Some(event_id) = event_id else { return Reference::Unknown };
        match self.target(event_id, occasion).await {
            Target::Known(target, _) => Reference::Known(target),
            Target::Wait(outcome) if occasion.attempt < PENDING_PATIENCE / 10 => Reference::Wait(outcome),
            _ => Reference::Unknown,
        }
    }

    /// The message of a portal that an event is.
    pub(crate) fn message_names(&self, row: &PortalRow, event_id: &str) -> Option<MessageRef> {
        let message = or_report(self.store.message_by_event(&EventId::parse(event_id).ok()?))?;
        if message.portal == row.key { MessageRef::of(&message) } else { None }
    }
}

impl MessageRef {
    /// `None` if the network has no name for the message.
    fn of(row: &MessageRow) -> Option<Self> {
        Some(Self {
            id: row.ids.first()?.clone(),
            part: row.part.clone(),
            event_id: row.event_id.clone(),
            author: row.author.clone(),
            matrix_author: row.author.is_none().then(|| row.sender.clone()),
            timestamp: row.timestamp,
        })
    }
}
