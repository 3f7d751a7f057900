//! The harness itself: the peers start, talk and stop.

use matrix_homeserver::testing::TestUser;
use serde_json::{Value, json};
use tests::irc::IrcClient;
use tests::load::Connection;
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
async fn synapse_knows_its_users_after_a_restart() {
    let mut server = require!(Synapse::start(&[]).await);
    let alice = TestUser::register(&server.url(), "alice").await.unwrap();
    server.restart().await;
    let address = server.url().trim_start_matches("http://").parse().unwrap();
    let mut connection = Connection::open(address, alice.access_token()).await.unwrap();
    for _ in 0..2 {
        let me = connection.json("GET", "/_matrix/client/v3/account/whoami", &Value::Null).await.unwrap();
        assert_eq!(me["user_id"], alice.user_id().as_str());
    }
}

#[tokio::test]
async fn two_test_users_talk_on_synapse() {
    let server = require!(Synapse::start(&[]).await);
    let alice = TestUser::register(&server.url(), "alice").await.unwrap();
    let bob = TestUser::register(&server.url(), "bob").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    bob.join(room.as_str()).await.unwrap();
    alice.wait_for_membership(room.as_str(), bob.user_id().as_str(), "join").await.unwrap();
    let sent = bob.send_text(room.as_str(), "hello").await.unwrap();
    let event = alice.wait_for_text(room.as_str(), "hello").await.unwrap();
    assert_eq!(event["event_id"], sent.as_str());
}
