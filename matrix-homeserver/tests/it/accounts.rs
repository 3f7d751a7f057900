//! Registration, login, sessions, devices.

use hmac::{Hmac, KeyInit, Mac};
use matrix_homeserver::testing::{PASSWORD, TestUser};
use reqwest::Method;
use serde_json::json;
use sha1::Sha1;

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

#[tokio::test]
async fn registration_asks_for_the_dummy_stage_and_then_gives_a_session() {
    let server = Server::start().await;
    let path = format!("{V3}/register");
    let challenge = server.post(&path, "", json!({"username": "alice", "password": "pw"})).await;
    assert_eq!(challenge.status, 401);
    assert_eq!(challenge.body["flows"], json!([{"stages": ["m.login.dummy"]}]));
    assert!(challenge.body.get("errcode").is_none(), "nothing went wrong yet");
    let auth = json!({"type": "m.login.dummy", "session": challenge.body["session"]});
    let done = server
        .post(&path, "", json!({"username": "alice", "password": "pw", "device_id": "D", "auth": auth}))
        .await
        .ok();
    assert_eq!(done["user_id"], "@alice:hs.test");
    assert_eq!(done["device_id"], "D");
    let token = done["access_token"].as_str().unwrap();
    let whoami = server.get(&format!("{V3}/account/whoami"), token).await.ok();
    assert_eq!(whoami, json!({"user_id": "@alice:hs.test", "device_id": "D", "is_guest": false}));
}

#[tokio::test]
async fn a_name_can_be_taken_once() {
    let server = Server::start().await;
    TestUser::register(server.hs.url(), "alice").await.unwrap();
    let body = json!({"username": "alice", "password": "x", "auth": {"type": "m.login.dummy"}});
    server.post(&format!("{V3}/register"), "", body).await.refused(400, "M_USER_IN_USE");
    let available = format!("{V3}/register/available?username=");
    server.get(&format!("{available}alice"), "").await.refused(400, "M_USER_IN_USE");
    assert_eq!(server.get(&format!("{available}bob"), "").await.ok(), json!({"available": true}));
}

#[tokio::test]
async fn of_many_who_register_one_name_at_once_one_gets_it() {
    let server = Server::start().await;
    let attempts = (0..16).map(|_| TestUser::register(server.hs.url(), "alice"));
    let outcomes = futures_util::future::join_all(attempts).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    assert!(outcomes.iter().flat_map(Result::as_ref).count() == 1);
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(refused.errcode(), Some("M_USER_IN_USE"));
    }
}

#[tokio::test]
async fn names_that_nobody_can_have_are_refused() {
    let server = Server::start().await;
    for name in ["", "Alice", "a b", "a:b", "_x", "ä", "1234", &"a".repeat(300)] {
        let body = json!({"username": name, "password": "x", "auth": {"type": "m.login.dummy"}});
        server.post(&format!("{V3}/register"), "", body).await.refused(400, "M_INVALID_USERNAME");
    }
}

#[tokio::test]
async fn registration_can_be_closed() {
    let server = Server::with(|builder| builder.open_registration(false)).await;
    let body = json!({"username": "alice", "password": "x", "auth": {"type": "m.login.dummy"}});
    server.post(&format!("{V3}/register"), "", body).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn guests_are_told_that_they_are_not_let_in() {
    let server = Server::start().await;
    let answer = server.post(&format!("{V3}/register?kind=guest"), "", json!({})).await;
    answer.refused(403, "M_GUEST_ACCESS_FORBIDDEN");
}

#[tokio::test]
async fn the_shared_secret_registers_anybody_once_per_nonce() {
    let server = Server::with(|b| b.open_registration(false).registration_shared_secret("s3cret")).await;
    let alice = TestUser::register_with_secret(server.hs.url(), "alice", "pw", "s3cret").await.unwrap();
    assert_eq!(alice.user_id(), "@alice:hs.test");
    let wrong = TestUser::register_with_secret(server.hs.url(), "bob", "pw", "guess").await.unwrap_err();
    assert_eq!((wrong.status(), wrong.errcode()), (Some(403), Some("M_FORBIDDEN")));
    let path = "/_synapse/admin/v1/register";
    let nonce = server.get(path, "").await.ok()["nonce"].as_str().unwrap().to_owned();
    let mut mac = Hmac::<Sha1>::new_from_slice(b"s3cret").unwrap();
    mac.update([&nonce, "carol", "pw", "admin"].join("\0").as_bytes());
    let mac: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let body = json!({"nonce": nonce, "username": "carol", "password": "pw", "admin": true, "mac": mac});
    assert_eq!(server.post(path, "", body.clone()).await.ok()["user_id"], "@carol:hs.test");
    server.post(path, "", body).await.refused(400, "M_UNKNOWN");
}

#[tokio::test]
async fn a_password_opens_a_session_by_identifier_by_user_and_by_whole_id() {
    let server = Server::start().await;
    TestUser::register(server.hs.url(), "alice").await.unwrap();
    let path = format!("{V3}/login");
    let flows = server.get(&path, "").await.ok();
    assert!(flows["flows"].as_array().unwrap().contains(&json!({"type": "m.login.password"})));
    for name in [
        json!({"identifier": {"type": "m.id.user", "user": "alice"}}),
        json!({"identifier": {"type": "m.id.user", "user": "@alice:hs.test"}}),
        json!({"user": "alice"}),
        json!({"user": "@Alice:hs.test"}),
    ] {
        let mut body = json!({"type": "m.login.password", "password": PASSWORD});
        body.as_object_mut().unwrap().extend(name.as_object().unwrap().clone());
        assert_eq!(server.post(&path, "", body).await.ok()["user_id"], "@alice:hs.test", "{name}");
    }
}

#[tokio::test]
async fn logins_that_cannot_be_are_refused() {
    let server = Server::start().await;
    TestUser::register(server.hs.url(), "alice").await.unwrap();
    let path = format!("{V3}/login");
    let identifier = json!({"type": "m.id.user", "user": "alice"});
    let table = [
        (json!({"type": "m.login.password", "identifier": identifier, "password": "no"}), 403, "M_FORBIDDEN"),
        (json!({"type": "m.login.password", "user": "nobody", "password": "no"}), 403, "M_FORBIDDEN"),
        (json!({"type": "m.login.password", "user": "@a:other", "password": "no"}), 403, "M_FORBIDDEN"),
        (json!({"type": "m.login.password", "identifier": identifier}), 400, "M_MISSING_PARAM"),
        (json!({"type": "m.login.password", "password": "x"}), 400, "M_MISSING_PARAM"),
        (json!({"type": "m.login.magic"}), 400, "M_UNKNOWN"),
        (json!({}), 400, "M_MISSING_PARAM"),
        (json!({"type": 7}), 400, "M_BAD_JSON"),
        (json!({"type": "m.login.application_service", "user": "alice"}), 401, "M_MISSING_TOKEN"),
    ];
    for (body, status, errcode) in table {
        let answer = server.post(&path, "", body.clone()).await;
        assert_eq!((answer.status, answer.errcode()), (status, errcode), "{body}");
    }
}

#[tokio::test]
async fn a_session_ends_with_logout_and_others_stay() {
    let server = Server::start().await;
    let first = server.hs.user("alice").await.unwrap();
    let second = server.hs.user("alice").await.unwrap();
    let whoami = format!("{V3}/account/whoami");
    first.post(&format!("{V3}/logout"), json!({})).await.unwrap();
    server.get(&whoami, first.access_token()).await.refused(401, "M_UNKNOWN_TOKEN");
    server.get(&whoami, second.access_token()).await.ok();
    second.post(&format!("{V3}/logout/all"), json!({})).await.unwrap();
    server.get(&whoami, second.access_token()).await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn logging_in_on_a_device_again_ends_its_session_before() {
    let server = Server::start().await;
    TestUser::register(server.hs.url(), "alice").await.unwrap();
    let body = json!({"type": "m.login.password", "user": "alice", "password": PASSWORD, "device_id": "D"});
    let path = format!("{V3}/login");
    let first = server.post(&path, "", body.clone()).await.ok()["access_token"].as_str().unwrap().to_owned();
    let second = server.post(&path, "", body).await.ok()["access_token"].as_str().unwrap().to_owned();
    let whoami = format!("{V3}/account/whoami");
    server.get(&whoami, &first).await.refused(401, "M_UNKNOWN_TOKEN");
    server.get(&whoami, &second).await.ok();
}

#[tokio::test]
async fn tokens_are_taken_from_the_header_and_from_the_query() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let whoami = format!("{V3}/account/whoami");
    server.get(&whoami, "").await.refused(401, "M_MISSING_TOKEN");
    server.get(&whoami, "nonsense").await.refused(401, "M_UNKNOWN_TOKEN");
    server.get(&format!("{whoami}?access_token={}", alice.access_token()), "").await.ok();
    server.get(&format!("{whoami}?access_token="), "").await.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn devices_are_listed_named_and_deleted_with_the_password() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let other = server.hs.user("alice").await.unwrap();
    let listed = alice.get(&format!("{V3}/devices")).await.unwrap();
    assert_eq!(listed["devices"].as_array().unwrap().len(), 2);
    let whoami = other.get(&format!("{V3}/account/whoami")).await.unwrap();
    let path = format!("{V3}/devices/{}", whoami["device_id"].as_str().unwrap());
    alice.put(&path, json!({"display_name": "phone"})).await.unwrap();
    assert_eq!(alice.get(&path).await.unwrap()["display_name"], "phone");
    let challenge = server.raw(Method::DELETE, &path, Some(alice.access_token()), None).await;
    assert_eq!(challenge.status, 401);
    let auth = json!({
        "type": "m.login.password", "password": "wrong", "session": challenge.body["session"],
        "identifier": {"type": "m.id.user", "user": "alice"},
    });
    let delete = |auth: serde_json::Value| {
        let body = json!({"auth": auth}).to_string().into_bytes();
        server.raw(Method::DELETE, &path, Some(alice.access_token()), Some(body))
    };
    let wrong = delete(auth.clone()).await;
    assert_eq!((wrong.status, wrong.errcode()), (401, "M_FORBIDDEN"));
    let mut right = auth;
    right["password"] = PASSWORD.into();
    delete(right).await.ok();
    server.get(&path, alice.access_token()).await.refused(404, "M_NOT_FOUND");
    server.get(&format!("{V3}/account/whoami"), other.access_token()).await.refused(401, "M_UNKNOWN_TOKEN");
    alice.put(&format!("{V3}/devices/NONE"), json!({})).await.unwrap_err();
}

#[tokio::test]
async fn a_device_has_every_key_as_clients_demand() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let listed = alice.get(&format!("{V3}/devices")).await.unwrap();
    for key in ["device_id", "display_name", "last_seen_ip", "last_seen_ts"] {
        assert!(listed["devices"][0].get(key).is_some(), "matrix-nio needs {key}: {listed}");
    }
}

#[tokio::test]
async fn a_new_password_replaces_the_old_and_ends_other_sessions() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let other = server.hs.user("alice").await.unwrap();
    let auth = json!({"type": "m.login.password", "user": "alice", "password": PASSWORD});
    let body = json!({"new_password": "fresh", "auth": auth});
    alice.post(&format!("{V3}/account/password"), body).await.unwrap();
    alice.get(&format!("{V3}/account/whoami")).await.unwrap();
    assert_eq!(other.get(&format!("{V3}/account/whoami")).await.unwrap_err().status(), Some(401));
    TestUser::login(server.hs.url(), "alice", PASSWORD).await.unwrap_err();
    TestUser::login(server.hs.url(), "alice", "fresh").await.unwrap();
}

#[tokio::test]
async fn a_deactivated_account_is_gone_and_its_name_stays_taken() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = bob.create_room(json!({"preset": "public_chat"})).await.unwrap();
    alice.join(&room).await.unwrap();
    let auth = json!({"type": "m.login.password", "user": "alice", "password": PASSWORD});
    alice.post(&format!("{V3}/account/deactivate"), json!({"auth": auth})).await.unwrap();
    assert_eq!(bob.joined_members(&room).await.unwrap(), ["@bob:hs.test"]);
    assert_eq!(alice.get(&format!("{V3}/account/whoami")).await.unwrap_err().status(), Some(401));
    TestUser::login(server.hs.url(), "alice", PASSWORD).await.unwrap_err();
    let taken = TestUser::register(server.hs.url(), "alice").await.unwrap_err();
    assert_eq!(taken.errcode(), Some("M_USER_IN_USE"));
}

#[tokio::test]
async fn logins_are_limited_by_address_too() {
    let server = Server::with(|builder| builder.rate_limits(true)).await;
    let mut statuses = Vec::new();
    for number in 0..40 {
        let body = json!({"type": "m.login.password", "user": format!("u{number}"), "password": "no"});
        statuses.push(server.post(&format!("{V3}/login"), "", body).await.status);
    }
    assert!(statuses.contains(&403) && statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn devices_have_ids_and_names_of_a_bounded_length() {
    let server = Server::start().await;
    server.hs.user("alice").await.unwrap();
    let login = |device_id: String| {
        let body = json!({"type": "m.login.password", "user": "alice", "password": PASSWORD,
            "device_id": device_id, "initial_device_display_name": "n".repeat(1000)});
        let server = &server;
        async move { server.post(&format!("{V3}/login"), "", body).await }
    };
    login("D".repeat(513)).await.refused(400, "M_INVALID_PARAM");
    login(String::new()).await.refused(400, "M_INVALID_PARAM");
    let session = login("D".repeat(512)).await.ok();
    let path = format!("{V3}/devices/{}", "D".repeat(512));
    let device = server.get(&path, session["access_token"].as_str().unwrap()).await.ok();
    assert_eq!(device["display_name"], "n".repeat(100));
}

#[tokio::test]
async fn logins_are_limited_and_the_answer_says_for_how_long() {
    let server = Server::with(|builder| builder.rate_limits(true)).await;
    TestUser::register(server.hs.url(), "alice").await.unwrap();
    let body = json!({"type": "m.login.password", "user": "alice", "password": "no"});
    for _ in 0..40 {
        let answer = server.post(&format!("{V3}/login"), "", body.clone()).await;
        if answer.status == 429 {
            assert_eq!(answer.errcode(), "M_LIMIT_EXCEEDED");
            assert!(answer.body["retry_after_ms"].as_u64().unwrap() > 0);
            return;
        }
    }
    panic!("forty wrong passwords in a row were let through");
}

#[tokio::test]
async fn sessions_and_passwords_outlive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let start = || Server::with(|builder| builder.data_dir(directory.path()));
    let server = start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let token = alice.access_token().to_owned();
    drop(alice);
    server.stop().await;
    let server = start().await;
    server.get(&format!("{V3}/account/whoami"), &token).await.ok();
    TestUser::login(server.hs.url(), "alice", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn versions_and_capabilities_say_what_the_server_does() {
    let server = Server::start().await;
    let versions = server.get("/_matrix/client/versions", "").await.ok();
    for version in ["r0.6.1", "v1.1", "v1.11", "v1.19"] {
        assert!(versions["versions"].as_array().unwrap().contains(&version.into()), "{version}");
    }
    let alice = server.hs.user("alice").await.unwrap();
    let capabilities = alice.get(&format!("{V3}/capabilities")).await.unwrap();
    assert_eq!(capabilities["capabilities"]["m.room_versions"]["default"], "12");
    assert_eq!(alice.get(&format!("{V3}/voip/turnServer")).await.unwrap(), json!({}));
}
