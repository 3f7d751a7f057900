//! Refreshing tokens, logging in by token, and what ends a session.

use std::time::Duration;

use matrix_homeserver::testing::{PASSWORD, TestUser};
use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";
const V1: &str = "/_matrix/client/v1";

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}")).to_owned()
}

async fn log_in(server: &Server, more: Value) -> Value {
    let mut body = json!({"type": "m.login.password", "user": "alice", "password": PASSWORD});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.post(&format!("{V3}/login"), "", body).await.ok()
}

async fn refresh(server: &Server, token: &str) -> Value {
    server.post(&format!("{V3}/refresh"), "", json!({"refresh_token": token})).await.ok()
}

#[tokio::test]
async fn only_clients_that_ask_get_tokens_that_expire() {
    let server = Server::start().await;
    TestUser::register(server.hs.url(), "alice").await.unwrap();
    let plain = log_in(&server, json!({})).await;
    assert!(plain.get("refresh_token").is_none() && plain.get("expires_in_ms").is_none(), "{plain}");
    let login = log_in(&server, json!({"refresh_token": true})).await;
    assert_eq!(login["expires_in_ms"], 300_000);
    assert!(login["refresh_token"].is_string());
    let body =
        json!({"username": "bob", "password": "x", "refresh_token": true, "auth": {"type": "m.login.dummy"}});
    let registered = server.post(&format!("{V3}/register"), "", body).await.ok();
    assert!(registered["refresh_token"].is_string() && registered["expires_in_ms"].is_u64());
}

#[tokio::test]
async fn the_old_tokens_are_good_until_one_of_the_new_is_used() {
    let server = Server::start().await;
    TestUser::register(server.hs.url(), "alice").await.unwrap();
    let whoami = format!("{V3}/account/whoami");
    let first = log_in(&server, json!({"refresh_token": true, "device_id": "D"})).await;
    let second = refresh(&server, &text(&first, "refresh_token")).await;
    server.get(&whoami, &text(&first, "access_token")).await.ok();
    // The answer was lost: the client asks again with what it has.
    let again = refresh(&server, &text(&first, "refresh_token")).await;
    server.get(&whoami, &text(&second, "access_token")).await.refused(401, "M_UNKNOWN_TOKEN");
    assert_eq!(server.get(&whoami, &text(&again, "access_token")).await.ok()["device_id"], "D");
    server.get(&whoami, &text(&first, "access_token")).await.refused(401, "M_UNKNOWN_TOKEN");
    let used =
        server.post(&format!("{V3}/refresh"), "", json!({"refresh_token": first["refresh_token"]})).await;
    used.refused(401, "M_UNKNOWN_TOKEN");
    // Refreshing with the new token uses it, too.
    let third = refresh(&server, &text(&again, "refresh_token")).await;
    let fourth = refresh(&server, &text(&third, "refresh_token")).await;
    server.get(&whoami, &text(&again, "access_token")).await.refused(401, "M_UNKNOWN_TOKEN");
    server.get(&whoami, &text(&third, "access_token")).await.ok();
    server.get(&whoami, &text(&fourth, "access_token")).await.ok();
    server.post(&format!("{V3}/logout"), &text(&fourth, "access_token"), json!({})).await.ok();
    let gone =
        server.post(&format!("{V3}/refresh"), "", json!({"refresh_token": fourth["refresh_token"]})).await;
    gone.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn an_expired_token_is_a_soft_logout_and_can_be_refreshed() {
    let directory = tempfile::tempdir().unwrap();
    let start = |lifetime| {
        let path = directory.path();
        Server::with(move |builder| builder.data_dir(path).access_token_lifetime(lifetime))
    };
    let server = start(Duration::ZERO).await;
    TestUser::register(server.hs.url(), "alice").await.unwrap();
    let login = log_in(&server, json!({"refresh_token": true})).await;
    let refused = server.get(&format!("{V3}/sync"), &text(&login, "access_token")).await;
    assert_eq!(refused.body["soft_logout"], true);
    refused.refused(401, "M_UNKNOWN_TOKEN");
    server.stop().await;
    let server = start(Duration::from_mins(5)).await;
    let refreshed = refresh(&server, &text(&login, "refresh_token")).await;
    server.get(&format!("{V3}/sync"), &text(&refreshed, "access_token")).await.ok();
    let unknown = server.get(&format!("{V3}/sync"), "nonsense").await;
    assert_eq!(unknown.body["soft_logout"], false);
}

#[tokio::test]
async fn a_login_token_logs_another_client_in_once() {
    let server = Server::start().await;
    let alice = TestUser::register(server.hs.url(), "alice").await.unwrap();
    let flows = server.get(&format!("{V3}/login"), "").await.ok();
    let flow = json!({"type": "m.login.token", "get_login_token": true});
    assert!(flows["flows"].as_array().unwrap().contains(&flow));
    let path = format!("{V1}/login/get_token");
    let challenge = server.post(&path, alice.access_token(), json!({})).await;
    assert_eq!(challenge.status, 401);
    let auth = json!({"type": "m.login.password", "password": PASSWORD, "session": challenge.body["session"],
        "identifier": {"type": "m.id.user", "user": "alice"}});
    let given = server.post(&path, alice.access_token(), json!({ "auth": auth })).await.ok();
    assert_eq!(given["expires_in_ms"], 120_000);
    let body = json!({"type": "m.login.token", "token": given["login_token"], "device_id": "SECOND"});
    let login = server.post(&format!("{V3}/login"), "", body.clone()).await.ok();
    assert_eq!((&login["user_id"], &login["device_id"]), (&json!("@alice:hs.test"), &json!("SECOND")));
    server.post(&format!("{V3}/login"), "", body).await.refused(403, "M_FORBIDDEN");
    // Every token is confirmed anew.
    let again = server
        .post(&path, alice.access_token(), json!({"auth": {"session": challenge.body["session"]}}))
        .await;
    again.refused(400, "M_UNKNOWN");
}

#[tokio::test]
async fn logging_out_everywhere_ends_every_session() {
    let server = Server::start().await;
    let alice = TestUser::register(server.hs.url(), "alice").await.unwrap();
    let refreshable = log_in(&server, json!({"refresh_token": true})).await;
    alice.post(&format!("{V3}/logout/all"), json!({})).await.unwrap();
    let whoami = format!("{V3}/account/whoami");
    server.get(&whoami, alice.access_token()).await.refused(401, "M_UNKNOWN_TOKEN");
    server.get(&whoami, &text(&refreshable, "access_token")).await.refused(401, "M_UNKNOWN_TOKEN");
    let body = json!({"refresh_token": refreshable["refresh_token"]});
    server.post(&format!("{V3}/refresh"), "", body).await.refused(401, "M_UNKNOWN_TOKEN");
    server.post(&format!("{V3}/refresh"), "", json!({})).await.refused(400, "M_MISSING_PARAM");
}
