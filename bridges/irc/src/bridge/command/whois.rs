//! `whois`: who is behind a nick or a user ID.

use std::time::Duration;

use async_trait::async_trait;
use ruma::UserId;
use tokio::time::{Instant, timeout_at};

use super::super::ids;
use super::{Action, On};

pub(super) struct Whois;

const ANSWERS: Duration = Duration::from_secs(5);

#[async_trait]
impl Action for Whois {
    fn name(&self) -> &'static str {
        "whois"
    }

    fn usage(&self) -> &'static str {
        "[network] <nick or @user:server>"
    }

    fn help(&self) -> &'static str {
        "Tells you who somebody is."
    }

    async fn run(&self, on: On<'_>) -> Result<String, String> {
        let who = on.words.split_whitespace().next().ok_or("Say whom: a nick or a user ID.")?;
        if let Ok(user) = UserId::parse(who) {
            return Ok(match on.network.nick_of(&user) {
                Some(nick) => format!("{user} is {nick} on {}.", on.network.server),
                None => format!("{user} is not connected to {}.", on.network.server),
            });
        }
        let folded = on.network.fold(who);
        let owner = {
            let state = on.network.state.lock();
            state.own.current(&folded).and_then(|login| ids::of_login(login)?.1)
        };
        if let Some(user) = owner {
            return Ok(format!("{who} is {user}, through this bridge."));
        }
        let connection = on.connection()?;
        let link = connection.link().ok_or("You are not connected to IRC at the moment.")?;
        let mut answers = connection.overhear(None);
        link.send_later(&["WHOIS", who]);
        let mut found = Vec::new();
        let deadline = Instant::now() + ANSWERS;
        while let Ok(Some(answer)) = timeout_at(deadline, answers.recv()).await {
            if on.network.fold(&answer.text(1)) != folded {
                continue;
            }
            match answer.command.as_str() {
                "311" => {
                    found.push(format!("{who}: {}@{}, {}", answer.text(2), answer.text(3), answer.last()));
                }
                "319" => found.push(format!("in {}", answer.last())),
                "330" => found.push(format!("account {}", answer.text(2))),
                "301" => found.push(format!("away: {}", answer.last())),
                "401" => return Ok(format!("{who} is not on IRC at the moment.")),
                "318" => break,
                _ => {}
            }
        }
        Ok(if found.is_empty() { "The network does not answer.".to_owned() } else { found.join("\n") })
    }
}
