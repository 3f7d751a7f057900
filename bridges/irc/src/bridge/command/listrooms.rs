//! `listrooms`: where the caller is.

use async_trait::async_trait;

use super::super::connection::JoinState;
use super::{Action, On};

pub(super) struct ListRooms;

#[async_trait]
impl Action for ListRooms {
    fn name(&self) -> &'static str {
        "listrooms"
    }

    fn usage(&self) -> &'static str {
        "[network]"
    }

    fn help(&self) -> &'static str {
        "Lists the channels that you are in."
    }

    async fn run(&self, on: On<'_>) -> Result<String, String> {
        let connection = on.connection()?;
        let mut lines = Vec::new();
        for (folded, name) in connection.wanted_channels() {
            let room = on.call.cx.room_of(&on.network.channel(&folded)).await;
            let room = room.map_or_else(String::new, |room| format!(" ({room})"));
            let state = match connection.join_state(&folded) {
                Some(JoinState::In) => String::new(),
                Some(JoinState::Refused(reason)) => format!(": {reason}"),
                Some(JoinState::Asked) | None => ": on the way".to_owned(),
            };
            lines.push(format!("{name}{room}{state}"));
        }
        Ok(if lines.is_empty() { "You are in no channel.".to_owned() } else { lines.join("\n") })
    }
}
