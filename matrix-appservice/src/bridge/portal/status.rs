//! What people are told about their messages.

use ruma::{EventId, RoomId};

use super::backoff;
use crate::{
    bridge::{
        Certainty, SendError,
        convert::{self, txn_id},
        core::Core,
    },
    store::PortalRow,
};

impl Core {
    /// Tells the sender that nobody knows whether his message arrived, and counts it.
    pub(crate) async fn report_uncertain(&self, portal: &PortalRow, event_id: &EventId) {
        let text =
            "This message may not have been delivered: the bridge was interrupted while it was sending it.";
        self.report(portal, event_id, "uncertain", text).await;
        self.metrics.sends_uncertain.inc();
        tracing::warn!(%event_id, room_id = %portal.room_id, "nobody can tell whether a message was delivered");
    }

    /// Tells the sender that his message was not delivered, or may not have been.
    pub(crate) async fn report_failed(&self, portal: &PortalRow, event_id: &EventId, error: &SendError) {
        let (what, kind) = match error.certainty {
            Certainty::NotSent => ("was not delivered", "rejected"),
            Certainty::MaybeSent => ("may not have been delivered", "uncertain"),
        };
        if error.notify {
            self.report(portal, event_id, kind, &format!("This message {what}: {}", error.text)).await;
        }
        match error.certainty {
            Certainty::NotSent => self.metrics.sends_rejected.inc(),
            Certainty::MaybeSent => self.metrics.sends_uncertain.inc(),
        };
        tracing::debug!(%event_id, room_id = %portal.room_id, reason = error.text, "a message {what}");
    }

    /// Says something about an event in its room, once for each kind of report. Waits for the homeserver for as
    /// long as it takes; if the process dies before, the next one reports it.
    async fn report(&self, portal: &PortalRow, event_id: &EventId, kind: &str, text: &str) {
        let txn = txn_id(&portal.key, &[event_id.as_str(), kind]);
        let content = convert::notice(text, Some(event_id));
        let speaker = self.intent(&portal.speaker);
        for attempt in 0.. {
            match speaker.send(&portal.room_id, "m.room.message", &content).key(&txn).await {
                Ok(_) => return,
                Err(error) if error.is_retryable() => {
                    tokio::select! {
                        () = tokio::time::sleep(error.retry_after().unwrap_or_else(|| backoff(attempt))) => {}
                        () = self.shutdown.cancelled() => return,
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, room_id = %portal.room_id, "could not report on a message");
                    return;
                }
            }
        }
    }

    /// Says something in a room, once for each `txn`; a failure is logged.
    pub(crate) async fn say_or_log(&self, room_id: &RoomId, text: &str, txn: &str) {
        if let Err(error) = self.say(room_id, text, txn).await {
            tracing::warn!(%error, %room_id, "could not say something in a room");
        }
    }
}
