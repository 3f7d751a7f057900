use std::sync::Arc;

use async_trait::async_trait;

use super::{Command, CommandCall, CommandReply, Commands};

struct Named(&'static str, &'static str);

#[async_trait]
impl Command for Named {
    fn name(&self) -> &str {
        self.0
    }

    fn help(&self) -> &str {
        self.1
    }

    async fn run(&self, _: CommandCall) -> CommandReply {
        CommandReply::none()
    }
}

#[test]
fn a_line_names_a_command_in_any_case_and_the_rest_is_its_arguments() {
    let commands = Commands::new(vec![Arc::new(Named("join", "Joins."))], None);
    for (line, expected) in [
        ("join #a key", Some(("join", "#a key"))),
        ("  JOIN\t#a  ", Some(("join", "#a"))),
        ("join", Some(("join", ""))),
        ("help", Some(("help", ""))),
        ("jo", None),
        ("", None),
    ] {
        let found = commands.find(line);
        let found = found.as_ref().map(|(command, arguments)| (command.name(), arguments.as_str()));
        assert_eq!(found, expected, "{line:?}");
    }
}

#[test]
fn the_network_can_replace_a_built_in_command() {
    let commands = Commands::new(vec![Arc::new(Named("logout", "Mine."))], Some("<password>"));
    let (command, _) = commands.find("logout").expect("a command");
    assert_eq!(command.help(), "Mine.");
}

#[test]
fn login_is_there_only_where_the_network_offers_it_and_its_arguments_are_secret() {
    assert!(Commands::new(Vec::new(), None).find("login x").is_none());
    let (command, arguments) =
        Commands::new(Vec::new(), Some("<password>")).find("login hunter2").expect("a command");
    assert!(command.secret());
    assert_eq!((command.usage(), arguments.as_str()), ("<password>", "hunter2"));
}
