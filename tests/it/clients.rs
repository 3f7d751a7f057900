//! Real clients and frameworks of other languages do what their users do, against our homeserver as a program.
//!
//! With `TESTS_CLIENTS_ON=synapse` the same programs run against Synapse, which tells whose fault a failing step is.

mod heisenbridge;
mod media;
mod partner;

use std::path::Path;

use matrix_homeserver::testing::TestUser;
use serde_json::json;
use tempfile::NamedTempFile;
use tests::clients::ClientProgram;
use tests::process::free_port;
use tests::programs::HomeserverProcess;
use tests::require;
use tests::servers::Synapse;

use self::partner::Partner;

/// The homeserver under the clients.
enum Ground {
    Ours(HomeserverProcess),
    Synapse(Synapse),
}

impl Ground {
    async fn start(registrations: &[&Path]) -> Option<Self> {
        if std::env::var_os("TESTS_CLIENTS_ON").is_some_and(|server| server == "synapse") {
            return Synapse::start(registrations).await.map(Self::Synapse);
        }
        Some(Self::Ours(HomeserverProcess::start_with(registrations, &[]).await))
    }

    fn url(&self) -> String {
        match self {
            Self::Ours(server) => server.url(),
            Self::Synapse(server) => server.url(),
        }
    }
}

/// Runs a client's program, which has the conversation with the partner and whatever else it shows by itself.
async fn converse(program: &str) {
    let ground = require!(Ground::start(&[]).await);
    let user = TestUser::register(&ground.url(), "partner").await.unwrap();
    let mut client = require!(ClientProgram::start(program, &[&ground.url(), user.user_id().as_str()]));
    let partner = Partner::new(user);
    tokio::join!(client.finished(), partner.converse());
    println!("{}", client.log());
}

/// Runs a client's program, whose users talk to each other, and invite the partner, who cannot read it.
async fn keep_secrets(program: &str) {
    let ground = require!(Ground::start(&[]).await);
    let partner = TestUser::register(&ground.url(), "partner").await.unwrap();
    let arguments = [&ground.url(), partner.user_id().as_str()];
    let mut client = require!(ClientProgram::start(program, &arguments));
    client.finished().await;
    println!("{}", client.log());
}

/// Runs a bridge, which has the conversation by one of its users and then serves the partner as a visitor.
async fn bridge(program: &str) {
    let registration = registration();
    let ground = require!(Ground::start(&[registration.path()]).await);
    let user = TestUser::register(&ground.url(), "partner").await.unwrap();
    let arguments = [&ground.url(), user.user_id().as_str(), registration.path().to_str().unwrap()];
    let mut client = require!(ClientProgram::start(program, &arguments));
    let partner = Partner::new(user);
    let script = async {
        partner.converse().await;
        partner.visit().await;
    };
    tokio::join!(client.finished(), script);
    let taken = TestUser::register(&ground.url(), "bridge_thief").await.unwrap_err();
    assert_eq!(taken.errcode(), Some("M_EXCLUSIVE"));
    println!("{}", client.log());
}

/// What the bridges are registered as. JSON is YAML, and easier to read for a program without a library.
fn registration() -> NamedTempFile {
    let registration = json!({
        "id": "bridge", "url": format!("http://127.0.0.1:{}", free_port()),
        "as_token": "as_token_of_the_bridge", "hs_token": "hs_token_of_the_bridge",
        "sender_localpart": "bridge_bot", "rate_limited": false,
        "receive_ephemeral": true, "de.sorunome.msc2409.push_ephemeral": true,
        "protocols": ["pigeon"],
        "namespaces": {
            "users": [{"exclusive": true, "regex": "@bridge_.*"}],
            "aliases": [{"exclusive": true, "regex": "#bridge_.*"}],
            "rooms": [],
        },
    });
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), registration.to_string()).unwrap();
    file
}

#[tokio::test]
async fn matrix_nio_does_what_its_users_do() {
    converse("matrix_nio.py").await;
}

#[tokio::test]
async fn matrix_js_sdk_does_what_its_users_do() {
    converse("js_sdk.mjs").await;
}

#[tokio::test]
async fn the_client_of_mautrix_python_does_what_its_users_do() {
    converse("mautrix_client.py").await;
}

#[tokio::test]
async fn the_application_service_of_mautrix_python_does_what_bridges_do() {
    bridge("mautrix_appservice.py").await;
}

#[tokio::test]
async fn matrix_bot_sdk_does_what_bots_do() {
    converse("bot_sdk.mjs").await;
}

#[tokio::test]
async fn the_application_service_of_matrix_bot_sdk_does_what_bridges_do() {
    bridge("bot_sdk_appservice.mjs").await;
}

#[tokio::test]
async fn matrix_appservice_bridge_does_what_bridges_do() {
    bridge("appservice_bridge.mjs").await;
}

#[tokio::test]
async fn the_encryption_of_matrix_js_sdk_works_between_users_and_devices() {
    keep_secrets("js_sdk_encrypted.mjs").await;
}

#[tokio::test]
async fn the_encryption_of_matrix_nio_works_between_users_and_devices() {
    keep_secrets("matrix_nio_encrypted.py").await;
}

#[tokio::test]
async fn the_sliding_sync_of_matrix_js_sdk_shows_the_rooms_that_are_asked_for() {
    let ground = require!(Ground::start(&[]).await);
    let partner = TestUser::register(&ground.url(), "partner").await.unwrap();
    let arguments = [&ground.url(), partner.user_id().as_str()];
    let mut client = require!(ClientProgram::start("js_sdk_sliding.mjs", &arguments));
    client.finished().await;
    println!("{}", client.log());
}
