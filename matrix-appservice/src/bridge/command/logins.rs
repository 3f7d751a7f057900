//! `logins`: which accounts a user has on the network, and how they are.

use async_trait::async_trait;

use super::{Command, CommandCall, CommandReply};
use crate::bridge::LoginState;

/// Lists the user's logins.
pub(super) struct Logins;

#[async_trait]
impl Command for Logins {
    fn name(&self) -> &'static str {
        "logins"
    }

    fn help(&self) -> &'static str {
        "Lists your logins and how they are."
    }

    async fn run(&self, call: CommandCall) -> CommandReply {
        let mut lines = Vec::new();
        for record in call.cx.logins().await {
            if record.user.as_ref() == Some(&call.sender) {
                let state = call.cx.login_state(&record.id);
                lines.push(format!("{}: {}", record.id, describe(state.as_ref())));
            }
        }
        if lines.is_empty() { "You have no logins.".into() } else { lines.join("\n").into() }
    }
}

fn describe(state: Option<&LoginState>) -> String {
    match state {
        None => "not open".to_owned(),
        Some(LoginState::Connecting) => "connecting".to_owned(),
        Some(LoginState::Connected) => "connected".to_owned(),
        Some(LoginState::Disconnected { reason }) => format!("disconnected, trying again ({reason})"),
        Some(LoginState::BadCredentials { reason }) => format!("needs you ({reason})"),
        Some(LoginState::LoggedOut { reason }) => format!("logged out ({reason})"),
    }
}
