//! `login`: a new account on the network.

use async_trait::async_trait;

use super::{Command, CommandCall, CommandReply};

/// Logs the user in to the network.
pub(super) struct LogIn {
    usage: String,
}

impl LogIn {
    pub(super) fn new(usage: &str) -> Self {
        Self { usage: usage.to_owned() }
    }
}

#[async_trait]
impl Command for LogIn {
    fn name(&self) -> &'static str {
        "login"
    }

    fn usage(&self) -> &str {
        &self.usage
    }

    fn help(&self) -> &'static str {
        "Logs you in to the network. Your message is removed from the room."
    }

    fn secret(&self) -> bool {
        true
    }

    async fn run(&self, call: CommandCall) -> CommandReply {
        match call.cx.log_in(&call.sender, &call.arguments).await {
            Ok(id) => format!("You are logged in as {id}.").into(),
            Err(error) => format!("You are not logged in: {error}").into(),
        }
    }
}
