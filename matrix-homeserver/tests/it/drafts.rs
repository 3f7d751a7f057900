//! The worked IRC example of the application-service draft, by the draft's own paths.

use std::sync::Arc;

use http::StatusCode;
use matrix_homeserver::testing::{TestUser, encode, http_client};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    fake_appservice::{FakeAppservice, Request},
    support::Server,
};

const ALIAS: &str = "#irc.freenode.net/#matrix:hs.test";
const BOB: &str = "@irc.freenode.net/Bob:hs.test";

/// What the application service does when it is asked, as the draft tells it.
async fn answer(url: String, request: Request) -> (StatusCode, Value) {
    let hs = Raw { http: http_client(&url), url };
    let bob = "access_token=T_a&user_id=%40irc.freenode.net%2FBob%3Ahs.test";
    if request.path.starts_with("/rooms/") {
        let body = json!({"room_alias_name": "irc.freenode.net/#matrix", "name": "#matrix", "preset": "public_chat"});
        let made = hs.call(Method::POST, "/createRoom?access_token=T_a", body).await;
        let room = made["room_id"].as_str().unwrap().to_owned();
        let path = format!("/rooms/{}/send/m.room.message?{bob}&ts=1421416883133", encode(&room));
        let sent = hs.call(Method::PUT, &path, json!({"body": "hello?", "msgtype": "m.text"})).await;
        assert!(sent["event_id"].is_string(), "{sent}");
        return (StatusCode::OK, json!({}));
    }
    if request.path.starts_with("/users/") {
        assert_eq!(request.id(), BOB);
        let body = json!({"type": "m.login.application_service", "user": "irc.freenode.net/Bob"});
        hs.call(Method::POST, "/register?access_token=T_a", body).await;
        let path = format!("/profile/%40irc.freenode.net%2FBob%3Ahs.test/displayname?{bob}");
        hs.call(Method::PUT, &path, json!({"displayname": "Bob"})).await;
        return (StatusCode::OK, json!({}));
    }
    if request.path.starts_with("/transactions/") {
        return (StatusCode::OK, json!({}));
    }
    (StatusCode::NOT_FOUND, Value::Null)
}

struct Raw {
    url: String,
    http: reqwest::Client,
}

impl Raw {
    async fn call(&self, method: Method, path: &str, body: Value) -> Value {
        let response = self
            .http
            .request(method, format!("{}{path}", self.url))
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }
}

#[tokio::test]
async fn the_worked_irc_example_of_the_draft_passes_step_by_step() {
    let server = Server::with(|builder| builder.drafts(true)).await;
    let url = Arc::new(Mutex::new(server.hs.url().to_owned()));
    let homeserver = url.clone();
    let appservice = FakeAppservice::scripted(move |request| {
        let url = homeserver.lock().clone();
        Box::pin(answer(url, request))
    })
    .await;
    // 1. The application service registers itself.
    let body = json!({
        "url": format!("{}/", appservice.url), "as_token": "T_a",
        "namespaces": {
            "users": [{"exclusive": true, "regex": "@irc\\.freenode\\.net/.*"}],
            "aliases": ["#irc\\.freenode\\.net/.*"],
        },
    });
    let registered = server.post("/register", "", body).await.ok();
    let hs_token = registered["hs_token"].as_str().unwrap().to_owned();
    // 2. Bob says "hello?", and nothing happens. 3. Alice joins the room by its alias.
    let alice = server.hs.user("alice").await.unwrap();
    let token = alice.access_token();
    let path = format!("/join/{}?access_token={token}", encode(ALIAS));
    let room = server.post(&path, "", json!({})).await.ok()["room_id"].as_str().unwrap().to_owned();
    let asked = appservice.next(|request| request.path.starts_with("/rooms/")).await;
    assert_eq!(asked.path, "/rooms/%23irc.freenode.net%2F%23matrix%3Ahs.test");
    assert_eq!(asked.query, format!("access_token={hs_token}"));
    let messages = alice.messages(&room, 20).await.unwrap();
    let hello = messages.iter().find(|event| event["content"]["body"] == "hello?").expect("Bob's message");
    assert_eq!(hello["sender"], BOB);
    assert_eq!(hello["origin_server_ts"], 1_421_416_883_133_u64);
    let name = alice.state(&room, "m.room.name", "").await.unwrap().unwrap();
    assert_eq!(name["name"], "#matrix");
    // 4. "hi!" is pushed to the application service.
    alice.send_text(&room, "hi!").await.unwrap();
    let hi = |request: &Request| request.events().iter().any(|event| event["content"]["body"] == "hi!");
    let pushed = appservice.next(|request| request.path.starts_with("/transactions/") && hi(request)).await;
    let event = pushed.events().into_iter().find(|event| event["content"]["body"] == "hi!").unwrap();
    assert_eq!(event["user_id"], "@alice:hs.test");
    assert_eq!(event["room_id"], room.as_str());
    // 5. "what's up?" is sent with Bob's name and time.
    let path = format!(
        "/rooms/{}/send/m.room.message?access_token=T_a&user_id={}&ts=1421418084816",
        encode(&room),
        encode(BOB),
    );
    server.put(&path, "", json!({"body": "what's up?", "msgtype": "m.text"})).await.ok();
    let newest = &alice.messages(&room, 1).await.unwrap()[0];
    assert_eq!(newest["content"]["body"], "what's up?");
    assert_eq!(
        (&newest["sender"], newest["origin_server_ts"].as_u64()),
        (&json!(BOB), Some(1_421_418_084_816))
    );
    // Unregistered, it hears nothing more, and its token is nobody's.
    server.post("/unregister", "", json!({"as_token": "T_a"})).await.ok();
    server.get("/_matrix/client/v3/account/whoami", "T_a").await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn drafted_registrations_are_refused_as_drafted() {
    let server = Server::with(|builder| builder.drafts(true).draft_tokens(["T_a"])).await;
    let register = |body: Value| server.post("/register", "", body);
    let url = "http://127.0.0.1:9";
    register(json!({"url": url, "as_token": ""})).await.refused(401, "M_MISSING_TOKEN");
    register(json!({"url": url, "as_token": "T_b", "namespaces": {}})).await.refused(403, "M_FORBIDDEN");
    let bad = json!({"url": url, "as_token": "T_a", "namespaces": {"users": ["("]}});
    assert_eq!(register(bad).await.status, 400);
    let good = json!({"url": url, "as_token": "T_a", "namespaces": {"users": ["@x_.*"]}});
    assert!(register(good).await.ok()["hs_token"].is_string());
    server.post("/unregister", "", json!({})).await.refused(401, "M_MISSING_TOKEN");
    server.post("/unregister", "", json!({"as_token": "T_b"})).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn who_registered_over_http_stays_registered_after_a_restart_until_it_unregisters() {
    let appservice = FakeAppservice::start().await;
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        let path = directory.path().to_owned();
        Server::with(move |b| b.drafts(true).data_dir(path))
    };
    let server = start().await;
    let namespaces = json!({"users": ["@alice.*"]});
    let body = json!({"url": appservice.url, "as_token": "T_a", "namespaces": namespaces});
    let hs_token = server.post("/register", "", body.clone()).await.ok()["hs_token"].clone();
    let bad = json!({"url": appservice.url, "as_token": "T_a", "namespaces": {"users": ["("]}});
    assert_eq!(server.post("/register", "", bad).await.status, 400);
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    alice.send_text(&room, "before").await.unwrap();
    assert_eq!(appservice.next_event("m.room.message").await["content"]["body"], "before");
    let token = alice.access_token().to_owned();
    server.stop().await;

    let server = start().await;
    let alice = TestUser::from_token(server.hs.url(), ruma::user_id!("@alice:hs.test"), &token);
    alice.send_text(&room, "after").await.unwrap();
    let after = |request: &Request| request.events().iter().any(|event| event["content"]["body"] == "after");
    let pushed = appservice.next(after).await;
    assert_eq!(pushed.bearer.as_deref(), hs_token.as_str());
    server.get("/_matrix/client/v3/account/whoami", "T_a").await.ok();
    // Registering again changes what it hears of, and the token by which it is told.
    let elsewhere = json!({"url": appservice.url, "as_token": "T_a", "namespaces": {"users": ["@bob.*"]}});
    let again = server.post("/register", "", elsewhere).await.ok()["hs_token"].clone();
    assert_ne!(again, hs_token);
    alice.send_text(&room, "unheard").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let other = bob.create_room(json!({})).await.unwrap();
    bob.send_text(&other, "heard").await.unwrap();
    assert_eq!(appservice.next_event("m.room.message").await["content"]["body"], "heard");
    server.post("/unregister", "", json!({"as_token": "T_a"})).await.ok();
    server.stop().await;
    let server = start().await;
    server.get("/_matrix/client/v3/account/whoami", "T_a").await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn who_is_registered_by_a_file_is_not_registered_over_http() {
    let registration = crate::fake_appservice::registration(None);
    let server = Server::with(|builder| builder.drafts(true).registration(registration)).await;
    let as_token = crate::fake_appservice::AS_TOKEN;
    let body = json!({"url": "http://127.0.0.1:9", "as_token": as_token, "namespaces": {}});
    server.post("/register", "", body).await.refused(403, "M_FORBIDDEN");
    server.post("/unregister", "", json!({"as_token": as_token})).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn an_appservice_acts_as_a_real_user_by_a_token_that_the_user_granted() {
    let registration = crate::fake_appservice::registration(None);
    let known = registration.clone();
    let server =
        Server::with(|builder| builder.drafts(true).registration(known).registration_shared_secret("s3cret"))
            .await;
    let as_token = crate::fake_appservice::AS_TOKEN;
    let alice = server.hs.user("alice").await.unwrap();
    let grant = format!("user_token={}", alice.access_token());
    let whoami = |query: String| {
        let path = format!("/_matrix/client/v3/account/whoami?{query}");
        let server = &server;
        async move { server.get(&path, as_token).await }
    };
    assert_eq!(whoami(grant.clone()).await.ok()["user_id"], "@alice:hs.test");
    assert_eq!(whoami(format!("{grant}&user_id=@alice:hs.test")).await.ok()["user_id"], "@alice:hs.test");
    whoami(format!("{grant}&user_id=@bob:hs.test")).await.refused(403, "M_FORBIDDEN");
    whoami("user_token=wrong".to_owned()).await.refused(401, "M_UNKNOWN_TOKEN");
    // Alice's own rights, and the time that the application service tells.
    let room = alice.create_room(json!({})).await.unwrap();
    let path =
        format!("/_matrix/client/v3/rooms/{}/send/m.room.message/1?ts=7&{grant}", encode(room.as_str()));
    let sent = server.put(&path, as_token, json!({"body": "x"})).await.ok();
    let event = alice.messages(&room, 1).await.unwrap().remove(0);
    assert_eq!((&event["event_id"], &event["sender"]), (&sent["event_id"], &json!("@alice:hs.test")));
    assert_eq!(event["origin_server_ts"], 7);
    let taken = json!({"room_alias_name": "ghost_x"});
    let path = format!("/_matrix/client/v3/createRoom?{grant}");
    server.post(&path, as_token, taken).await.refused(400, "M_EXCLUSIVE");
    // Not account management.
    for path in ["account/password", "account/deactivate", "logout", "logout/all", "delete_devices"] {
        let path = format!("/_matrix/client/v3/{path}?{grant}");
        server.post(&path, as_token, json!({})).await.refused(403, "M_FORBIDDEN");
    }
    // Nor what administrators may.
    let root = crate::admin::admin(&server, "root").await;
    let path = format!("/_synapse/admin/v2/users?user_token={}", root.access_token());
    server.get(&path, as_token).await.refused(403, "M_FORBIDDEN");
    // Withdrawn with the session that it belongs to.
    alice.post("/_matrix/client/v3/logout", json!({})).await.unwrap();
    whoami(grant.clone()).await.refused(401, "M_UNKNOWN_TOKEN");
    // Without the option there is no such thing: the application service is itself.
    let server = Server::with(|builder| builder.registration(registration)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let path = format!("/_matrix/client/v3/account/whoami?user_token={}", alice.access_token());
    assert_eq!(server.get(&path, as_token).await.ok()["user_id"], "@bot:hs.test");
}

/// Knows IRC by today's lookups, and mail by the drafted ones.
async fn knows_links() -> FakeAppservice {
    FakeAppservice::scripted(|request: Request| {
        Box::pin(async move {
            let asks = |field: &str| request.query.contains(field);
            let body = match request.path.as_str() {
                "/_matrix/app/v1/user" if asks("uri=mailto%3Abob%40example.org") => {
                    json!({"user_id": "@ghost_bob:hs.test"})
                }
                "/_matrix/app/v1/user" if asks("uri=mailto%3Athief%40example.org") => {
                    json!({"user_id": "@alice:hs.test"})
                }
                "/_matrix/app/v1/thirdparty/user/irc" if asks("domain=irc.example.org&nick=Bob") => {
                    json!([{"userid": "@ghost_irc_bob:hs.test", "protocol": "irc", "fields": {}}])
                }
                "/_matrix/app/v1/thirdparty/location/irc" if asks("channel=%23room") => {
                    json!([{"alias": "#other:hs.test"}, {"alias": "#ghost_room:hs.test"}])
                }
                _ => return (StatusCode::NOT_FOUND, json!({"errcode": "M_NOT_FOUND", "error": "no"})),
            };
            (StatusCode::OK, body)
        })
    })
    .await
}

#[tokio::test]
async fn links_into_other_networks_lead_to_users_and_aliases() {
    let (one, other) = (FakeAppservice::start().await, knows_links().await);
    let mut registration = other.registration();
    registration.protocols.push("irc".into());
    let mut ignorant = crate::fake_appservice::registration(Some(&one.url));
    "ignorant".clone_into(&mut ignorant.id);
    ignorant.as_token = matrix_appservice::Secret::new("another");
    let server = Server::with(|b| b.drafts(true).registration(ignorant).registration(registration)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let ask = |what: &'static str, uri: &'static str| {
        let path = format!("/_matrix/app/v1/{what}?uri={}", encode(uri));
        let (server, token) = (&server, alice.access_token());
        async move { server.get(&path, token).await }
    };
    let found = ask("user", "mailto:bob@example.org").await.ok();
    assert_eq!(found, json!({"user_id": "@ghost_bob:hs.test"}));
    assert_eq!(ask("user", "irc://irc.example.org/Bob").await.ok()["user_id"], "@ghost_irc_bob:hs.test");
    assert_eq!(
        ask("alias", "irc://irc.example.org/#room").await.ok(),
        json!({"alias": "#ghost_room:hs.test"})
    );
    ask("user", "mailto:thief@example.org").await.refused(404, "M_NOT_FOUND");
    ask("alias", "mailto:bob@example.org").await.refused(404, "M_NOT_FOUND");
    ask("user", "tel:+1").await.refused(404, "M_NOT_FOUND");
    ask("user", "not a link").await.refused(400, "M_INVALID_PARAM");
    server.get("/_matrix/app/v1/user", alice.access_token()).await.refused(400, "M_MISSING_PARAM");
    server.get("/_matrix/app/v1/user?uri=tel:1", "").await.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn without_the_option_the_drafts_paths_are_unknown() {
    let server = Server::start().await;
    let body = json!({"url": "http://127.0.0.1:9", "as_token": "T_a", "namespaces": {}});
    for path in
        ["/register", "/unregister", "/_matrix/appservice/v1/register", "/_matrix/client/api/v1/register"]
    {
        server.post(path, "", body.clone()).await.refused(404, "M_UNRECOGNIZED");
    }
}
