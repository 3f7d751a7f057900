//! heisenbridge as an operator uses it: a network and its server in the control room, the connection in the
//! network's room, then a channel on InspIRCd in a room of its own.

use std::path::Path;
use std::process::Command;

use matrix_homeserver::testing::TestUser;
use ruma::OwnedRoomId;
use serde_json::Value;
use tests::irc::IrcClient;
use tests::process::{Process, free_port};
use tests::servers::InspIrcd;
use tests::{SERVER_NAME, peers, programs, require};

use super::Ground;

/// The program, as `tests/run` installed it; `None`, and the test counts as skipped, where it is not.
fn installed() -> Option<std::path::PathBuf> {
    let program = programs::target_directory().join("peers/clients-heisenbridge/bin/heisenbridge");
    if program.is_file() {
        return Some(program);
    }
    peers::skipped("heisenbridge");
    None
}

/// Lets the program write its registration, as its manual says.
fn generate(program: &Path, registration: &Path, port: &str) {
    let mut command = Command::new(program);
    command.arg("--config").arg(registration).args(["--generate", "--listen-address", "127.0.0.1"]);
    let made = command.args(["--listen-port", port]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[tokio::test]
async fn heisenbridge_bridges_a_channel() {
    let program = require!(installed());
    let irc = require!(InspIrcd::start().await);
    let folder = tempfile::tempdir().unwrap();
    let registration = folder.path().join("registration.yaml");
    generate(&program, &registration, &free_port().to_string());
    let ground = require!(Ground::start(&[&registration]).await);
    let operator = TestUser::register(&ground.url(), "operator").await.unwrap();
    let mut command = Command::new(&program);
    command.args(["-v", "--owner", operator.user_id().as_str(), "--config"]).arg(&registration);
    command.arg(ground.url());
    let bridge = Process::start("heisenbridge", &folder.path().join("log"), command);
    let mut bob = IrcClient::connect(irc.address, "bob").await;
    bob.join("#cave").await;

    // The bridge opens its control room for its owner.
    let mut rooms = Vec::new();
    let control = invited(&operator, &mut rooms).await;
    say(&operator, &control, "ADDNETWORK insp", "Network added.").await;
    let (host, port) = (irc.address.ip(), irc.address.port());
    say(&operator, &control, &format!("ADDSERVER insp {host} {port}"), "Server added.").await;

    operator.send_text(&control, "OPEN insp").await.unwrap();
    let network = invited(&operator, &mut rooms).await;
    // What is said before the bridge has said what it understands is not heard.
    notice(&operator, &network, "commands are supported").await;
    say(&operator, &network, "NICK alice", "Nickname set to alice").await;
    say(&operator, &network, "CONNECT", "Welcome to the testnet IRC Network").await;
    operator.send_text(&network, "JOIN #cave").await.unwrap();
    let channel = invited(&operator, &mut rooms).await;
    bob.wait_for("alice", |line| line.command == "JOIN" && line.nick == "alice").await;

    bob.say("#cave", "hello?").await;
    let hello = operator.wait_for_text(&channel, "hello?").await.unwrap();
    assert_eq!(hello["sender"], format!("@irc_insp_bob:{SERVER_NAME}"));
    operator.send_text(&channel, "hi!").await.unwrap();
    bob.wait_for_message("hi!").await;

    bob.send("NICK robert").await;
    bob.say("#cave", "still me").await;
    let renamed = operator.wait_for_text(&channel, "still me").await.unwrap();
    assert_eq!(renamed["sender"], format!("@irc_insp_robert:{SERVER_NAME}"));
    drop(bridge);
}

/// Says something to the bridge, and waits for its answer.
async fn say(operator: &TestUser, room: &OwnedRoomId, text: &str, answer: &str) {
    operator.send_text(room, text).await.unwrap();
    notice(operator, room, answer).await;
}

/// Waits for a notice with this text in it.
async fn notice(operator: &TestUser, room: &OwnedRoomId, text: &str) {
    let is_it = |event: &Value| {
        let body = event["content"]["body"].as_str().unwrap_or_default();
        event["room_id"] == room.as_str() && event["content"]["msgtype"] == "m.notice" && body.contains(text)
    };
    operator.wait_for_described(text, is_it).await.unwrap();
}

/// Joins the next room that the bridge invites its operator to.
async fn invited(operator: &TestUser, rooms: &mut Vec<OwnedRoomId>) -> OwnedRoomId {
    let known = rooms.clone();
    let is_new = |event: &Value| {
        event["content"]["membership"] == "invite"
            && event["sender"] == format!("@heisenbridge:{SERVER_NAME}")
            && event["state_key"] == operator.user_id().as_str()
            && known.iter().all(|room| event["room_id"] != room.as_str())
    };
    let event = operator.wait_for_described("an invitation", is_new).await.unwrap();
    let room = operator.join(event["room_id"].as_str().unwrap()).await.unwrap();
    rooms.push(room.clone());
    room
}
