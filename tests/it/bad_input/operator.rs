//! Mistakes in files that people write: all of them are reported at once, each with its place and what to do.

use std::process::Command;

use matrix_appservice::Registration;
use tests::programs::{BridgeFiles, program};

const FIVE_MISTAKES: &str = "
id: ''
url: not a url
as_token: the-token
hs_token: the-token
sender_localpart: bot
namespaces:
  users:
    - exclusive: perhaps
      regex: '@a.*'
  aliases:
    - exclusive: true
      regex: '#(unclosed'
";

/// Where each of the mistakes is.
const PLACES: [&str; 5] =
    ["id", "url", "hs_token", "namespaces.users[0].exclusive", "namespaces.aliases[0].regex"];

#[test]
fn a_registration_with_five_mistakes_is_refused_with_five_messages() {
    let problems = Registration::from_yaml(FIVE_MISTAKES).unwrap_err().to_string();
    let lines: Vec<_> = problems.lines().map(|line| line.trim_start_matches(['-', ' '])).collect();
    assert_eq!(lines.len(), PLACES.len(), "{problems}");
    for place in PLACES {
        assert!(lines.iter().any(|line| line.starts_with(&format!("{place} "))), "{place} in\n{problems}");
    }
    assert!(!problems.contains("the-token"), "a token is in a message:\n{problems}");
}

#[test]
fn the_homeserver_does_not_start_with_such_a_registration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registration.yaml");
    std::fs::write(&file, FIVE_MISTAKES).unwrap();
    let mut command = Command::new(program("matrix-homeserver"));
    command.args(["--server-name", "hs.test", "--listen", "127.0.0.1:0", "--registration"]).arg(&file);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    for place in PLACES {
        assert!(text.contains(place), "{place} in\n{text}");
    }
}

#[test]
fn a_configuration_with_mistakes_is_refused_with_a_message_for_each() {
    let files = BridgeFiles::with_server("    ssl: false\n");
    let config = std::fs::read_to_string(files.config()).unwrap();
    let broken =
        format!("{config}    port: 0\n    nick_template: x\n    ircClients:\n      maxClients: many\n");
    std::fs::write(files.config(), broken).unwrap();
    let output = files.run(&["check"]);
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for place in
        ["servers.irc.test.port", "servers.irc.test.nick_template", "servers.irc.test.ircClients.maxClients"]
    {
        assert!(text.contains(place), "{place} in\n{text}");
    }
}

#[test]
fn the_example_of_a_registration_loads() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../registration.yaml.example");
    let registration = Registration::load(path).unwrap();
    assert_eq!(registration.sender_localpart, "ircbot");
    assert_eq!(registration.protocols, ["irc"]);
    assert_eq!(registration.namespaces.users.len(), 1);
}
