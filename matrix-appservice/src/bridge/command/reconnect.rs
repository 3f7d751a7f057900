//! `reconnect`: off and on again.

use async_trait::async_trait;

use super::{Command, CommandCall, CommandReply, logout::own_login};

/// Connects one of the user's logins anew.
pub(super) struct Reconnect;

#[async_trait]
impl Command for Reconnect {
    fn name(&self) -> &'static str {
        "reconnect"
    }

    fn usage(&self) -> &'static str {
        "[login]"
    }

    fn help(&self) -> &'static str {
        "Disconnects one of your logins and connects it again."
    }

    async fn run(&self, call: CommandCall) -> CommandReply {
        let id = match own_login(&call).await {
            Ok(id) => id,
            Err(text) => return text.into(),
        };
        match call.cx.reopen_login(&id).await {
            Ok(()) => format!("{id} connects again.").into(),
            Err(error) => format!("{id} cannot be opened: {error}").into(),
        }
    }
}
