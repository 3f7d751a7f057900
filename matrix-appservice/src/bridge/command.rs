//! What users can tell the bot to do.

use std::sync::Arc;

use async_trait::async_trait;
use ruma::{OwnedRoomId, OwnedUserId};

use super::BridgeContext;
use crate::network_id::PortalKey;

mod help;
mod login;
mod logins;
mod logout;
mod reconnect;

/// Something that a user can tell the bot to do: `join #rust` in the management room, `!irc join #rust`
/// elsewhere.
#[async_trait]
pub trait Command: Send + Sync + 'static {
    /// What calls it; lower case, no blanks.
    fn name(&self) -> &str;

    /// What follows the name: `<channel> [key]`.
    #[expect(clippy::unnecessary_literal_bound, reason = "implementations need not return a literal")]
    fn usage(&self) -> &str {
        ""
    }

    /// One line about what it does.
    fn help(&self) -> &str;

    /// Whether what follows the name is a secret: the user's message is then removed from the room, and
    /// never logged.
    fn secret(&self) -> bool {
        false
    }

    /// Does it. Runs in a task of its own, so it may wait. After a crash it may run again.
    async fn run(&self, call: CommandCall) -> CommandReply;
}

/// One use of a command.
#[derive(Clone)]
#[non_exhaustive]
pub struct CommandCall {
    /// The bridge.
    pub cx: BridgeContext,
    /// Who.
    pub sender: OwnedUserId,
    /// Where.
    pub room_id: OwnedRoomId,
    /// The portal that the room belongs to, if it is one.
    pub portal: Option<PortalKey>,
    /// What followed the name, without blanks at either end.
    pub arguments: String,
}

impl CommandCall {
    /// A use of a command.
    pub fn new(cx: BridgeContext, sender: OwnedUserId, room_id: OwnedRoomId, arguments: &str) -> Self {
        Self { cx, sender, room_id, portal: None, arguments: arguments.trim().to_owned() }
    }

    /// What followed the name, word by word.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.arguments.split_whitespace()
    }
}

impl std::fmt::Debug for CommandCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The arguments may be a secret.
        f.debug_struct("CommandCall")
            .field("sender", &self.sender)
            .field("room_id", &self.room_id)
            .field("portal", &self.portal)
            .finish_non_exhaustive()
    }
}

/// What the bot answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommandReply {
    /// In plain text; empty for no answer.
    pub text: String,
    /// The same with formatting.
    pub html: Option<String>,
}

impl CommandReply {
    /// Plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), html: None }
    }

    /// No answer.
    pub fn none() -> Self {
        Self::default()
    }
}

impl<T: Into<String>> From<T> for CommandReply {
    fn from(text: T) -> Self {
        Self::text(text)
    }
}

/// The commands of a bridge: the built-in ones and the network's. Where both have a name, the network's
/// wins.
#[derive(Clone, Default)]
pub(crate) struct Commands {
    all: Vec<Arc<dyn Command>>,
}

impl Commands {
    /// The built-in commands and those of the network. `login` is there if the network offers it.
    pub(crate) fn new(of_network: Vec<Arc<dyn Command>>, login_usage: Option<&str>) -> Self {
        let mut all = of_network;
        let mut built_in: Vec<Arc<dyn Command>> =
            vec![Arc::new(logins::Logins), Arc::new(logout::Logout), Arc::new(reconnect::Reconnect)];
        if let Some(usage) = login_usage {
            built_in.push(Arc::new(login::LogIn::new(usage)));
        }
        for command in built_in {
            if all.iter().all(|known| known.name() != command.name()) {
                all.push(command);
            }
        }
        all.sort_by(|one, other| one.name().cmp(other.name()));
        Self { all }
    }

    /// The command that a line calls and what follows its name; the name's case does not matter.
    pub(crate) fn find(&self, line: &str) -> Option<(Arc<dyn Command>, String)> {
        let (name, arguments) = split(line);
        if name == "help" {
            return Some((Arc::new(help::Help::new(&self.all)), arguments));
        }
        let command = self.all.iter().find(|command| command.name() == name)?;
        Some((Arc::clone(command), arguments))
    }
}

fn split(line: &str) -> (String, String) {
    let line = line.trim();
    let (name, arguments) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (name.to_lowercase(), arguments.trim().to_owned())
}

#[cfg(test)]
mod tests;
