//! What the configuration accepts, refuses and explains.

use std::path::Path;

use super::{Config, ConfigError, Permission};

const SMALLEST: &str = "homeserver:
  url: http://localhost:8008
  domain: example.org
servers:
  irc.libera.chat:
";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/bridge"))
}

/// The problems of a file that has some, one line each.
fn problems(text: &str) -> Vec<String> {
    match parse(text) {
        Err(ConfigError::Problems(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("expected problems, got {other:?}"),
    }
}

#[test]
fn five_lines_are_a_configuration() {
    let config = parse(SMALLEST).expect("five lines are enough");
    let server = &config.servers["irc.libera.chat"];
    assert_eq!(server.port(), 6697);
    assert!(server.ssl);
    assert_eq!(server.hosts("irc.libera.chat").collect::<Vec<_>>(), ["irc.libera.chat"]);
    assert_eq!(config.appservice.registration, "/etc/bridge/registration.yaml");
}

#[test]
fn every_mistake_is_reported_at_once_with_its_path_and_a_remedy() {
    let found = problems(
        "homeserver:
  url: localhost
servers:
  irc.example.net:
    port: 0
    nick_template: x
    matrixClients:
      userTemplate: '@irc_'
    ircClients:
      maxClients: many
permissions:
  '*': everything
",
    );
    let expected = [
        "servers.irc.example.net.nick_template: is not a known key; remove it",
        "servers.irc.example.net.ircClients.maxClients: should be a whole number, but is text",
        "homeserver.url: `localhost` is not a URL",
        "homeserver.domain: is missing",
        "permissions.*: `everything` is unknown",
        "servers.irc.example.net.port: 0 is not a port; use 6697 for TLS",
        "servers.irc.example.net.matrixClients.userTemplate: must contain $NICK",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found} should start with {expected}");
    }
}

#[test]
fn an_unknown_key_suggests_the_nearest_known_one() {
    let found = problems(&format!("{SMALLEST}    ircClients:\n      nick_template: $DISPLAY\n"));
    assert_eq!(
        found,
        [
            "servers.irc.libera.chat.ircClients.nick_template: is not a known key; did you mean `nickTemplate`?"
        ]
    );
}

#[test]
fn what_is_not_yaml_or_not_a_section_is_explained_and_never_panics() {
    assert!(matches!(parse("a: [b"), Err(ConfigError::Syntax(_))));
    for text in ["[]", "42", "homeserver: 3\nservers: []", "servers:\n  - x", "\"\0\"", "~"] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn two_networks_with_one_template_are_refused() {
    let text = format!(
        "{SMALLEST}    dynamicChannels: {{ aliasTemplate: '#irc_$CHANNEL' }}
  irc.oftc.net:
    dynamicChannels: {{ aliasTemplate: '#irc_$CHANNEL' }}
"
    );
    let found = problems(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("cannot be told from that of irc.libera.chat; put $SERVER into both"),
        "{found:?}"
    );
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own_and_is_never_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("pass"), "hunter2\n").expect("a file");
    let config =
        Config::parse(&format!("{SMALLEST}    password_file: pass\n"), directory.path()).expect("fine");
    let password = config.servers["irc.libera.chat"].password.as_ref().expect("read from the file");
    assert_eq!(password.expose(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn a_secret_that_is_given_twice_or_cannot_be_read_is_a_problem() {
    let found = problems(&format!("{SMALLEST}    password_file: /nowhere/at/all\n"));
    assert!(
        found[0].starts_with("servers.irc.libera.chat.password_file: cannot read /nowhere/at/all"),
        "{found:?}"
    );
    let found = problems(&format!("{SMALLEST}    password_file: x\n    password: hunter2\n"));
    assert!(found[0].contains("`password` is given as well"), "{found:?}");
    assert!(!found[0].contains("hunter2"));
}

#[test]
fn the_example_is_a_valid_configuration_with_every_default() {
    let example = Config::example();
    let config = parse(&example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    assert_eq!(config.servers["irc.example.net"], super::ServerConfig::default());
    // What is commented out is the default: without its mark the file says the same.
    let active: String = example
        .lines()
        .map(|line| match line.trim_start().strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => {
                line.replacen('#', "", 1) + "\n"
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let spelled_out = parse(&active).unwrap_or_else(|error| panic!("{error}\n{active}"));
    assert_eq!(spelled_out, config);
}

#[test]
fn the_committed_example_is_the_generated_one() {
    let committed = include_str!("../../config.example.yaml");
    assert_eq!(committed, Config::example(), "run `matrix-irc-bridge generate-config` and commit its output");
}

#[test]
fn the_most_exact_permission_counts() {
    let config = parse(&format!(
        "{SMALLEST}permissions:\n  '*': none\n  example.org: user\n  '@root:example.org': admin\n"
    ))
    .expect("fine");
    for (user, permission) in [
        ("@root:example.org", Permission::Admin),
        ("@alice:example.org", Permission::User),
        ("@eve:elsewhere.net", Permission::None),
    ] {
        assert_eq!(config.permission(&ruma::UserId::parse(user).expect("an ID")), permission, "{user}");
    }
}
