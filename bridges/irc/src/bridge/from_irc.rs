//! What the network says becomes what Matrix is told.
//!
//! Every connection hands its lines to [`Connection::line`], one at a time and in order. A line about a channel
//! counts only from the connection that listens to it, see [`channels`](super::channels).

use matrix_appservice::bridge::{Journalled, RemoteEvent, TxnKey};

use super::connection::Connection;
use super::refusal;
use super::seen::Seen;

mod channel_state;
mod membership;
mod message;
mod mode;
mod names;

impl Connection {
    /// Handles a line. What has to be told is pushed before this returns, so order is kept.
    pub(crate) fn line(&self, seen: &Seen) {
        match seen.command.as_str() {
            "PRIVMSG" | "NOTICE" => self.saw_message(seen),
            "TAGMSG" => self.saw_tags(seen),
            "JOIN" => self.saw_join(seen),
            "PART" => self.saw_part(seen),
            "KICK" => self.saw_kick(seen),
            "QUIT" => self.saw_quit(seen),
            "NICK" => self.saw_nick(seen),
            "MODE" => self.saw_mode(seen),
            "TOPIC" => self.saw_topic(seen),
            "INVITE" => self.saw_invite(seen),
            "PONG" => self.saw_pong(seen),
            _ => {
                if let Some(numeric) = seen.numeric() {
                    self.saw_numeric(numeric, seen);
                }
            }
        }
    }

    fn saw_numeric(&self, numeric: u16, seen: &Seen) {
        match numeric {
            324 => self.saw_modes(seen),
            332 => self.saw_current_topic(seen),
            353 => self.saw_names(seen),
            366 => self.saw_names_end(seen),
            numeric if refusal::is_about_target(numeric) => self.saw_refusal(numeric, seen),
            _ => {}
        }
        self.overheard(numeric, seen);
    }

    /// The network refused something: a message, or entry to a channel.
    fn saw_refusal(&self, numeric: u16, seen: &Seen) {
        // Some numerics name a nick first and the channel second.
        let target = if matches!(numeric, 441) { seen.text(2) } else { seen.text(1) };
        let text = refusal::explain(numeric, &target, &seen.last());
        let folded = self.network.fold(&target);
        if refusal::is_about_joining(numeric) && self.join_refused(&folded, &text) {
            return;
        }
        let key = self.pending.lock().refused(seen.label.as_deref(), &folded);
        if let Some(key) = key {
            self.fail_rejected(&key, &text);
        }
        if numeric == 404 || numeric == 442 || numeric == 403 {
            self.not_in_channel(numeric, &folded);
        }
    }

    /// Everything sent before a fence was handled without a refusal.
    fn saw_pong(&self, seen: &Seen) {
        let confirmed = self.pending.lock().pong(&seen.last(), &self.identity());
        for (key, ids) in confirmed.into_iter().flatten() {
            self.confirm(&key, ids);
        }
        self.send_fence();
    }

    /// Tells Matrix. The order is that of the calls.
    pub(crate) fn push(&self, event: RemoteEvent) {
        if let Some(sink) = self.sink() {
            self.keep(sink.push(event));
        }
    }

    pub(crate) fn confirm(&self, key: &TxnKey, ids: Vec<matrix_appservice::bridge::RemoteMessageId>) {
        if let Some(sink) = self.sink() {
            for id in ids {
                self.keep(sink.confirm(key, id));
            }
        }
    }

    fn keep(&self, journalled: Journalled) {
        self.in_flight.lock().push_back(journalled);
    }
}
