//! What Matrix users do becomes what the network is told.

use std::time::Duration;

use matrix_appservice::bridge::{MessageRef, OutgoingMessage, PortalKey, SendError, Sent, TxnKey};
use ruma::events::room::message::RoomMessageEventContent;
use tokio::time::Instant;
use tracing::debug;

use super::connection::{Connection, Link};
use super::ids;

mod change;
mod render;

pub(crate) use self::render::{Rendered, render};

/// How long a message waits for its connection and its channel before the framework is asked to try again.
const PATIENCE: Duration = Duration::from_secs(20);
/// The pause before it does.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a message waits for its echo before the network is asked whether it has seen it.
const ECHO: Duration = Duration::from_secs(10);

/// Something that a Matrix user says.
#[derive(Debug)]
pub(crate) struct Speech<'a> {
    pub(crate) key: &'a TxnKey,
    pub(crate) portal: &'a PortalKey,
    pub(crate) display_name: Option<&'a str>,
    pub(crate) content: &'a RoomMessageEventContent,
    pub(crate) reply_to: Option<&'a MessageRef>,
    /// Whether it replaces something said before.
    pub(crate) edit: bool,
}

impl Connection {
    /// Sends a message: waits until its lines are written, then for nothing more.
    pub(crate) async fn send_message(&self, message: OutgoingMessage) -> Sent {
        let speech = Speech {
            key: &message.key,
            portal: &message.portal,
            display_name: message.sender.display_name.as_deref(),
            content: &message.content,
            reply_to: message.reply_to.as_ref(),
            edit: false,
        };
        self.speak(speech).await
    }

    async fn speak(&self, speech: Speech<'_>) -> Sent {
        let Some((_, target)) = ids::of_portal(&speech.portal.id) else { return Sent::unsupported() };
        if !self.is_puppet() {
            return SendError::rejected("you have no connection to IRC, so nobody there can hear you").into();
        }
        self.touch(speech.display_name);
        let (link, name) = match self.ready_for(speech.portal, target).await {
            Ok(ready) => ready,
            Err(error) => return Sent::Failed(error),
        };
        let rendered = render(&speech, &self.network, &link, &name);
        self.send_rendered(speech.key.clone(), target, &name, &rendered, &link).await
    }

    /// Waits until the connection is up and, for a channel, in it. Gives the target as the network writes it.
    pub(crate) async fn ready_for(
        &self,
        portal: &PortalKey,
        folded: &str,
    ) -> Result<(std::sync::Arc<Link>, String), SendError> {
        let deadline = Instant::now() + PATIENCE;
        let Some(link) = self.online(deadline).await else {
            return Err(SendError::retry(AGAIN, "IRC cannot be reached at the moment"));
        };
        if portal.receiver.is_some() {
            let name = self.network.state.lock().spelling(folded);
            return Ok((link, name.unwrap_or_else(|| folded.to_owned())));
        }
        let name = self.network.channel_name(folded);
        self.want(folded, &name);
        match self.wait_joined(folded, deadline).await {
            Ok(()) => Ok((link, name)),
            Err(Some(reason)) => Err(SendError::rejected(reason)),
            Err(None) => Err(SendError::retry(AGAIN, format!("{name} does not answer"))),
        }
    }

    async fn send_rendered(
        &self,
        key: TxnKey,
        target: &str,
        name: &str,
        rendered: &Rendered,
        link: &Link,
    ) -> Sent {
        if rendered.lines.is_empty() {
            return Sent::done();
        }
        let lines: Vec<_> = rendered.lines.iter().map(|line| (link.label(), line.clone())).collect();
        self.pending.lock().sent(key.clone(), target, lines.clone());
        for (index, (label, line)) in lines.iter().enumerate() {
            let written = link.say(label.as_deref(), rendered.command, name, line).await;
            if !written {
                // The driver may have given the message up already: then its sender has been told.
                let ours = self.pending.lock().take(&key);
                return match (ours, index) {
                    (false, _) => Sent::PendingEcho(key),
                    (true, 0) => SendError::retry(AGAIN, "the connection to IRC broke").into(),
                    (true, _) => {
                        SendError::uncertain("the connection to IRC broke in the midst of it").into()
                    }
                };
            }
        }
        if link.echoes() {
            self.fence_later();
        } else {
            self.send_fence();
        }
        Sent::PendingEcho(key)
    }

    /// Asks the network to answer after it has handled what was sent.
    pub(crate) fn send_fence(&self) {
        let Some(link) = self.link() else { return };
        if let Some(token) = self.pending.lock().fence() {
            link.send_later(&["PING", &token]);
        }
    }

    /// Does so if echoes stay away.
    fn fence_later(&self) {
        let (network, login) = (self.network.clone(), self.login.clone());
        if self.fence_planned.swap(true, std::sync::atomic::Ordering::AcqRel) {
            return;
        }
        self.network.cx.tasks().spawn(async move {
            tokio::select! {
                () = network.cx.shutdown().cancelled() => return,
                () = tokio::time::sleep(ECHO) => {}
            }
            let Some(connection) = network.connection(&login) else { return };
            connection.fence_planned.store(false, std::sync::atomic::Ordering::Release);
            if !connection.pending.lock().is_empty() {
                debug!(%login, "echoes stay away");
                connection.send_fence();
            }
        });
    }

    /// Answers a request of another program.
    pub(crate) fn send_ctcp_answer(&self, nick: &str, answer: &[u8]) {
        if let Some(link) = self.link() {
            let text = [b"\x01", answer, b"\x01"].concat();
            link.say_later("NOTICE", nick, &text);
        }
    }
}
