//! What was said in a channel before it had a room, kept for the first who joins.
//!
//! Bounded and durable: a ring of slots, each stored under a key of its own, so that a message costs one write.

use std::collections::VecDeque;

use matrix_appservice::bridge::{BackfillMessage, BridgeContext, PortalKey};
use ruma::MilliSecondsSinceUnixEpoch;
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::config::messages::ScrollbackConfig;

/// The kept messages of one channel, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Scrollback {
    messages: VecDeque<Kept>,
    next: u64,
}

/// A message with its number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    number: u64,
    message: BackfillMessage,
}

impl Scrollback {
    /// Keeps a message. What has to be stored: see [`store`].
    pub(crate) fn keep(&mut self, message: BackfillMessage, config: &ScrollbackConfig) -> Option<Kept> {
        if config.messages == 0 || self.messages.iter().any(|kept| kept.message.id == message.id) {
            return None;
        }
        let kept = Kept { number: self.next, message };
        self.next += 1;
        self.messages.push_back(kept.clone());
        while self.messages.len() > usize::try_from(config.messages).unwrap_or(usize::MAX) {
            self.messages.pop_front();
        }
        Some(kept)
    }

    /// The last messages, oldest first, that are not too old.
    pub(crate) fn recent(
        &self,
        limit: usize,
        config: &ScrollbackConfig,
        now: MilliSecondsSinceUnixEpoch,
    ) -> Vec<BackfillMessage> {
        let oldest = match config.hours {
            0 => 0,
            hours => u64::from(now.0).saturating_sub(u64::from(hours) * 3_600_000),
        };
        let fresh = self.messages.iter().filter(|kept| u64::from(kept.message.timestamp.0) >= oldest);
        let mut recent: Vec<_> = fresh.rev().take(limit).map(|kept| kept.message.clone()).collect();
        recent.reverse();
        recent
    }

    /// What an earlier run of the bridge kept.
    pub(crate) async fn load(cx: &BridgeContext, portal: &PortalKey, config: &ScrollbackConfig) -> Self {
        let mut messages = Vec::new();
        for slot in 0..u64::from(config.messages) {
            let Some(value) = cx.get(&key(portal, slot)).await else { break };
            messages.extend(serde_json::from_value::<Kept>(value).ok());
        }
        messages.sort_by_key(|kept| kept.number);
        let next = messages.last().map_or(0, |kept| kept.number + 1);
        Self { messages: messages.into(), next }
    }

    /// Adds what `loaded` has from before; numbers go on after it.
    pub(crate) fn prepend(&mut self, loaded: Self) {
        let fresh = std::mem::replace(self, loaded);
        for kept in fresh.messages {
            self.messages.push_back(Kept { number: self.next, message: kept.message });
            self.next += 1;
        }
    }
}

/// Stores a kept message in its slot.
pub(crate) async fn store(cx: &BridgeContext, portal: &PortalKey, kept: &Kept, config: &ScrollbackConfig) {
    let slot = kept.number % u64::from(config.messages.max(1));
    let stored = match serde_json::to_value(kept) {
        Ok(value) => cx.put(&key(portal, slot), Some(value)).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = stored {
        warn!(portal = %portal, "cannot keep a message as scrollback: {error}");
    }
}

fn key(portal: &PortalKey, slot: u64) -> String {
    format!("scrollback/{}/{slot}", portal.id)
}

#[cfg(test)]
mod tests {
    use matrix_appservice::bridge::{Part, RemoteMessageId, RemoteUserId};
    use ruma::UInt;

    use super::*;

    fn message(id: u32) -> BackfillMessage {
        BackfillMessage {
            id: RemoteMessageId::new(id.to_string()),
            sender: RemoteUserId::new("n/bob"),
            timestamp: MilliSecondsSinceUnixEpoch(UInt::from(id * 1000)),
            parts: vec![Part::text("x")],
        }
    }

    fn ids(messages: &[BackfillMessage]) -> Vec<&str> {
        messages.iter().map(|message| message.id.as_str()).collect()
    }

    #[test]
    fn the_last_messages_are_kept_in_order_and_each_once() {
        let config = ScrollbackConfig { messages: 3, hours: 0 };
        let mut scrollback = Scrollback::default();
        for id in [1, 2, 2, 3, 4, 5] {
            scrollback.keep(message(id), &config);
        }
        let now = MilliSecondsSinceUnixEpoch(UInt::from(6000_u32));
        assert_eq!(ids(&scrollback.recent(10, &config, now)), ["3", "4", "5"]);
        assert_eq!(ids(&scrollback.recent(2, &config, now)), ["4", "5"]);
    }

    #[test]
    fn what_is_too_old_is_not_shown() {
        let config = ScrollbackConfig { messages: 3, hours: 1 };
        let mut scrollback = Scrollback::default();
        scrollback.keep(message(1), &config);
        scrollback.keep(message(3000), &config);
        let now = MilliSecondsSinceUnixEpoch(UInt::from(3_602_000_u32));
        assert_eq!(ids(&scrollback.recent(10, &config, now)), ["3000"]);
    }
}
