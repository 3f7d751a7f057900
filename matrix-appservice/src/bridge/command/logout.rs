//! `logout`: an account less.

use async_trait::async_trait;

use super::{Command, CommandCall, CommandReply};
use crate::network_id::LoginId;

/// Ends one of the user's logins.
pub(super) struct Logout;

#[async_trait]
impl Command for Logout {
    fn name(&self) -> &'static str {
        "logout"
    }

    fn usage(&self) -> &'static str {
        "<login>"
    }

    fn help(&self) -> &'static str {
        "Disconnects one of your logins and forgets it."
    }

    async fn run(&self, call: CommandCall) -> CommandReply {
        match own_login(&call).await {
            Ok(id) => {
                call.cx.remove_login(&id).await;
                format!("{id} is logged out.").into()
            }
            Err(text) => text.into(),
        }
    }
}

/// The login that the arguments name, if it is the user's; his only one if they name none.
pub(super) async fn own_login(call: &CommandCall) -> Result<LoginId, String> {
    let mut own = call.cx.logins().await;
    own.retain(|record| record.user.as_ref() == Some(&call.sender));
    let named = call.arguments.as_str();
    match own.as_slice() {
        [] => Err("You have no logins.".to_owned()),
        [only] if named.is_empty() => Ok(only.id.clone()),
        _ if named.is_empty() => Err("You have several logins: name one. Say logins for a list.".to_owned()),
        several => match several.iter().find(|record| record.id.as_str() == named) {
            Some(record) => Ok(record.id.clone()),
            None => Err(format!("You have no login {named:?}. Say logins for a list.")),
        },
    }
}
