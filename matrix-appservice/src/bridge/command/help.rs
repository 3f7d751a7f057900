//! `help`: what there is.

use std::{fmt::Write as _, sync::Arc};

use async_trait::async_trait;

use super::{Command, CommandCall, CommandReply};

/// Lists the commands, or explains one.
pub(super) struct Help {
    commands: Vec<Arc<dyn Command>>,
}

impl Help {
    pub(super) fn new(commands: &[Arc<dyn Command>]) -> Self {
        Self { commands: commands.to_vec() }
    }

    fn text(&self, wanted: &str) -> String {
        if wanted.is_empty() {
            let mut text = "Commands:\n".to_owned();
            for command in &self.commands {
                let _ = writeln!(text, "{} - {}", call(&**command), command.help());
            }
            text.push_str("help [command] - Lists the commands, or explains one.");
            return text;
        }
        match self.commands.iter().find(|command| command.name() == wanted) {
            Some(command) => format!("{}\n{}", call(&**command), command.help()),
            None => format!("There is no command {wanted:?}. Say help for a list."),
        }
    }
}

#[async_trait]
impl Command for Help {
    fn name(&self) -> &'static str {
        "help"
    }

    fn usage(&self) -> &'static str {
        "[command]"
    }

    fn help(&self) -> &'static str {
        "Lists the commands, or explains one."
    }

    async fn run(&self, call: CommandCall) -> CommandReply {
        self.text(&call.arguments.to_lowercase()).into()
    }
}

fn call(command: &dyn Command) -> String {
    format!("{} {}", command.name(), command.usage()).trim_end().to_owned()
}
