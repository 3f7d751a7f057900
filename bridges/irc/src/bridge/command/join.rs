//! `join`: into a channel's room.

use async_trait::async_trait;

use super::{Action, On};

pub(super) struct Join;

#[async_trait]
impl Action for Join {
    fn name(&self) -> &'static str {
        "join"
    }

    fn usage(&self) -> &'static str {
        "[network] <#channel>"
    }

    fn help(&self) -> &'static str {
        "Tells you the room of a channel, so that you can join it."
    }

    async fn run(&self, on: On<'_>) -> Result<String, String> {
        let channel = on.words.split_whitespace().next().unwrap_or_default();
        if !on.network.state.lock().isupport.is_channel(channel) {
            return Err("Say which channel, with its sign: `join #channel`.".to_owned());
        }
        let folded = on.network.fold(channel);
        if !on.network.serves(&folded) {
            return Err(format!("{channel} is not bridged here."));
        }
        let template = &on.network.config.dynamic_channels.alias_template;
        let alias = crate::mapping::AliasTemplate::new(template, &on.network.server).localpart(&folded);
        Ok(format!("Join #{alias}:{} and you are in {channel}.", on.call.cx.server_name()))
    }
}
