//! `nick`: another nick.

use async_trait::async_trait;

use super::{Action, On};

pub(super) struct Nick;

#[async_trait]
impl Action for Nick {
    fn name(&self) -> &'static str {
        "nick"
    }

    fn usage(&self) -> &'static str {
        "[network] <nick>"
    }

    fn help(&self) -> &'static str {
        "Gives you another nick on IRC."
    }

    async fn run(&self, on: On<'_>) -> Result<String, String> {
        if !on.network.config.irc_clients.allow_nick_changes {
            return Err("Nicks are given by the bridge's operator here.".to_owned());
        }
        let wanted = on.words;
        if wanted.is_empty() || wanted.contains(char::is_whitespace) {
            return Err("Say which nick: one word.".to_owned());
        }
        let nick = crate::mapping::sanitize_nick(wanted);
        if nick != wanted {
            return Err(format!("IRC does not allow the nick {wanted}; {nick} would work."));
        }
        on.settle(|settings| settings.nick = Some(nick.clone())).await?;
        match on.connection()?.link() {
            Some(link) => {
                link.send_later(&["NICK", &nick]);
                Ok(format!("You ask for the nick {nick}."))
            }
            None => Ok(format!("You will be {nick} when you are connected.")),
        }
    }
}
