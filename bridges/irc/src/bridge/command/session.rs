//! `reconnect` and `quit`: the caller's connection itself.

use async_trait::async_trait;

use super::{Action, On};

pub(super) struct Reconnect;

#[async_trait]
impl Action for Reconnect {
    fn name(&self) -> &'static str {
        "reconnect"
    }

    fn usage(&self) -> &'static str {
        "[network]"
    }

    fn help(&self) -> &'static str {
        "Ends your connection to IRC and makes it anew."
    }

    async fn run(&self, on: On<'_>) -> Result<String, String> {
        let connection = on.connection()?;
        connection.reconnect();
        connection.touch(None);
        Ok(format!("You are connected to {} anew.", on.network.server))
    }
}

pub(super) struct Quit;

#[async_trait]
impl Action for Quit {
    fn name(&self) -> &'static str {
        "quit"
    }

    fn usage(&self) -> &'static str {
        "[network]"
    }

    fn help(&self) -> &'static str {
        "Ends your connection to IRC until you speak again."
    }

    async fn run(&self, on: On<'_>) -> Result<String, String> {
        on.connection()?.quit();
        Ok(format!("You leave {} until you speak again.", on.network.server))
    }
}
