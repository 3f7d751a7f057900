//! The harness itself: the peers start, talk and stop.

use tests::irc::IrcClient;
use tests::require;
use tests::servers::{Atheme, InspIrcd, NgIrcd, Synapse};

async fn two_clients_talk(server: std::net::SocketAddr) {
    let mut alice = IrcClient::connect(server, "alice").await;
    let mut bob = IrcClient::connect(server, "bob").await;
    alice.join("#c").await;
    bob.join("#c").await;
    alice.wait_for("bob's join", |line| line.command == "JOIN" && line.nick == "bob").await;
    bob.say("#c", "hello?").await;
    let line = alice.wait_for_message("hello?").await;
    assert_eq!(line.nick, "bob");
    let mut names = alice.names("#c").await;
    names.sort();
    assert_eq!(names, ["alice", "bob"]);
}

#[tokio::test]
async fn two_clients_talk_on_ngircd() {
    let server = require!(NgIrcd::start().await);
    two_clients_talk(server.address).await;
}

#[tokio::test]
async fn two_clients_talk_on_inspircd() {
    let server = require!(InspIrcd::start().await);
    two_clients_talk(server.address).await;
}

#[tokio::test]
async fn atheme_registers_an_account() {
    let server = require!(InspIrcd::start().await);
    let _services = require!(Atheme::start(&server).await);
    let mut alice = IrcClient::connect(server.address, "alice").await;
    alice.say("NickServ", "REGISTER secret alice@example.org").await;
    alice.wait_for("being logged in", |line| line.command == "900").await;
}

#[tokio::test]
async fn synapse_answers_after_a_restart() {
    let mut server = require!(Synapse::start(&[]).await);
    server.restart().await;
    let versions =
        tests::http::client().get(format!("{}/_matrix/client/versions", server.url())).send().await.unwrap();
    assert!(versions.status().is_success());
}
