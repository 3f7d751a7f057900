//! `username`, `storepass`, `removepass`: the account that a connection logs in to.

use async_trait::async_trait;

use super::super::connection::StoredPassword;
use super::{Action, On};

pub(super) struct Username;

#[async_trait]
impl Action for Username {
    fn name(&self) -> &'static str {
        "username"
    }

    fn usage(&self) -> &'static str {
        "[network] <account>"
    }

    fn help(&self) -> &'static str {
        "Says which account your stored password belongs to. Without it, it is your nick's."
    }

    async fn run(&self, on: On<'_>) -> Result<String, String> {
        if on.words.is_empty() || on.words.contains(char::is_whitespace) {
            return Err("Say which account: one word.".to_owned());
        }
        let account = on.words.to_owned();
        on.settle(|settings| settings.username = Some(account.clone())).await?;
        Ok(format!("You log in as {account} the next time you connect."))
    }
}

pub(super) struct StorePass;

#[async_trait]
impl Action for StorePass {
    fn name(&self) -> &'static str {
        "storepass"
    }

    fn usage(&self) -> &'static str {
        "[network] <password>"
    }

    fn help(&self) -> &'static str {
        "Stores the password of your IRC account, to log in with from now on. It may have blanks."
    }

    fn secret(&self) -> bool {
        true
    }

    async fn run(&self, on: On<'_>) -> Result<String, String> {
        if on.words.is_empty() {
            return Err("Say which password.".to_owned());
        }
        let password = StoredPassword(on.words.to_owned());
        on.settle(|settings| settings.password = Some(password)).await?;
        let server = &on.network.server;
        Ok(format!("Your password for {server} is stored, and used the next time you connect (`reconnect`)."))
    }
}

pub(super) struct RemovePass;

#[async_trait]
impl Action for RemovePass {
    fn name(&self) -> &'static str {
        "removepass"
    }

    fn usage(&self) -> &'static str {
        "[network]"
    }

    fn help(&self) -> &'static str {
        "Forgets the password of your IRC account."
    }

    async fn run(&self, on: On<'_>) -> Result<String, String> {
        on.settle(|settings| settings.password = None).await?;
        Ok(format!("Your password for {} is forgotten.", on.network.server))
    }
}
