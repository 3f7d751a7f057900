//! Application services: who they may be, what they are told, what they are asked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use matrix_appservice::{Namespace, Registration};
use matrix_homeserver::testing::{TestUser, encode};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    fake_appservice::{AS_TOKEN, FakeAppservice, HS_TOKEN, Request, registration},
    support::Server,
};

const V3: &str = "/_matrix/client/v3";
const GHOST: &str = "@ghost_1:hs.test";

async fn server_with(appservice: &FakeAppservice) -> Server {
    let registration = appservice.registration();
    Server::with(|b| b.registration(registration).appservice_backoff(Duration::from_millis(5))).await
}

async fn register_ghost(server: &Server, localpart: &str) -> TestUser {
    let body = json!({"type": "m.login.application_service", "username": localpart, "inhibit_login": true});
    let done = server.post(&format!("{V3}/register"), AS_TOKEN, body).await.ok();
    assert!(done.get("access_token").is_none());
    let user_id: String = done["user_id"].as_str().unwrap().to_owned();
    TestUser::masqueraded(server.hs.url(), ruma::OwnedUserId::try_from(user_id).unwrap(), AS_TOKEN)
}

#[tokio::test]
async fn ghosts_are_registered_without_a_password_and_only_in_the_namespace() {
    let server = Server::with(|b| b.open_registration(false).registration(registration(None))).await;
    let path = format!("{V3}/register");
    let register = |body: Value, token: &'static str| server.post(&path, token, body);
    let typed = |key: &str, name: &str| json!({"type": "m.login.application_service", key: name});
    let done = register(typed("username", "ghost_1"), AS_TOKEN).await.ok();
    assert_eq!(done["user_id"], GHOST);
    assert!(done["access_token"].is_string() && done["device_id"].is_string());
    assert_eq!(register(typed("user", "ghost_2"), AS_TOKEN).await.ok()["user_id"], "@ghost_2:hs.test");
    register(typed("username", "ghost_1"), AS_TOKEN).await.refused(400, "M_USER_IN_USE");
    register(typed("username", "alice"), AS_TOKEN).await.refused(400, "M_EXCLUSIVE");
    register(json!({"type": "m.login.application_service"}), AS_TOKEN).await.refused(400, "M_MISSING_PARAM");
    register(typed("username", "ghost_3"), "").await.refused(401, "M_MISSING_TOKEN");
    register(typed("username", "ghost_3"), "wrong").await.refused(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn people_stay_out_of_exclusive_namespaces() {
    let server = Server::with(|b| b.registration(registration(None))).await;
    for name in ["ghost_1", "bot"] {
        let body = json!({"username": name, "password": "x", "auth": {"type": "m.login.dummy"}});
        server.post(&format!("{V3}/register"), "", body).await.refused(400, "M_EXCLUSIVE");
    }
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let made = alice.create_room(json!({"room_alias_name": "ghost_x"})).await.unwrap_err();
    assert_eq!((made.status(), made.errcode()), (Some(400), Some("M_EXCLUSIVE")));
    let path = format!("{V3}/directory/room/{}", encode("#ghost_x:hs.test"));
    assert_eq!(alice.put(&path, json!({"room_id": room})).await.unwrap_err().errcode(), Some("M_EXCLUSIVE"));
    server.put(&path, AS_TOKEN, json!({"room_id": room})).await.ok();
    let outside = format!("{V3}/directory/room/{}", encode("#other:hs.test"));
    server.put(&outside, AS_TOKEN, json!({"room_id": room})).await.refused(400, "M_EXCLUSIVE");
}

#[tokio::test]
async fn an_appservice_acts_as_itself_or_as_its_ghosts() {
    let server = Server::with(|b| b.registration(registration(None))).await;
    let whoami = |query: &str| {
        let path = format!("{V3}/account/whoami?{query}");
        let server = &server;
        async move { server.get(&path, AS_TOKEN).await }
    };
    assert_eq!(whoami("").await.ok()["user_id"], "@bot:hs.test");
    assert_eq!(whoami("user_id=@bot:hs.test").await.ok()["user_id"], "@bot:hs.test");
    whoami("user_id=@ghost_1:hs.test").await.refused(403, "M_FORBIDDEN");
    register_ghost(&server, "ghost_1").await;
    assert_eq!(whoami("user_id=@ghost_1:hs.test").await.ok()["user_id"], GHOST);
    whoami("user_id=@alice:hs.test").await.refused(403, "M_FORBIDDEN");
    whoami("user_id=@ghost_1:elsewhere").await.refused(403, "M_FORBIDDEN");
    whoami("user_id=nonsense").await.refused(400, "M_INVALID_PARAM");
    whoami("user_id=@ghost_1:hs.test&device_id=D").await.refused(400, "M_UNKNOWN_DEVICE");
    let device = format!("{V3}/devices/D?user_id={GHOST}");
    let made = server.put(&device, AS_TOKEN, json!({"display_name": "bridge"})).await;
    assert_eq!(made.status, 201);
    assert_eq!(whoami("user_id=@ghost_1:hs.test&device_id=D").await.ok()["device_id"], "D");
    assert_eq!(
        whoami("user_id=@ghost_1:hs.test&org.matrix.msc3202.device_id=D").await.ok()["device_id"],
        "D"
    );
    server.raw(Method::DELETE, &device, Some(AS_TOKEN), None).await.ok();
    whoami("user_id=@ghost_1:hs.test&device_id=D").await.refused(400, "M_UNKNOWN_DEVICE");
}

#[tokio::test]
async fn a_ghost_logs_in_by_its_appservice() {
    let server = Server::with(|b| b.registration(registration(None))).await;
    register_ghost(&server, "ghost_1").await;
    let path = format!("{V3}/login");
    let body = |user: &str| json!({"type": "m.login.application_service", "identifier": {"type": "m.id.user", "user": user}});
    let done = server.post(&path, AS_TOKEN, body("ghost_1")).await.ok();
    assert_eq!(done["user_id"], GHOST);
    server.get(&format!("{V3}/account/whoami"), done["access_token"].as_str().unwrap()).await.ok();
    server.post(&path, AS_TOKEN, body("alice")).await.refused(403, "M_EXCLUSIVE");
    let alice = server.hs.user("alice").await.unwrap();
    server.post(&path, alice.access_token(), body("ghost_1")).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn nobody_logs_in_as_a_ghost_that_is_gone() {
    let server = Server::with(|b| b.registration(registration(None))).await;
    let ghost = register_ghost(&server, "ghost_1").await;
    ghost.post(&format!("{V3}/account/deactivate"), json!({})).await.unwrap();
    let body = json!({"type": "m.login.application_service", "identifier": {"type": "m.id.user", "user": "ghost_1"}});
    server.post(&format!("{V3}/login"), AS_TOKEN, body).await.refused(403, "M_USER_DEACTIVATED");
}

#[tokio::test]
async fn timestamps_are_massaged_for_appservices_only() {
    let server = Server::with(|b| b.registration(registration(None))).await;
    let ghost = register_ghost(&server, "ghost_1").await;
    let room = ghost.create_room(json!({})).await.unwrap();
    let as_ghost = |path: String| format!("{V3}/rooms/{room}/{path}user_id={GHOST}&ts=1421416883133");
    let sent =
        server.put(&as_ghost("send/m.room.message/1?".into()), AS_TOKEN, json!({"body": "x"})).await.ok();
    let set = server.put(&as_ghost("state/m.room.name/?".into()), AS_TOKEN, json!({"name": "x"})).await.ok();
    for answer in [sent, set] {
        let event_id = answer["event_id"].as_str().unwrap();
        let event = ghost.get(&format!("{V3}/rooms/{room}/event/{}", encode(event_id))).await.unwrap();
        assert_eq!(event["origin_server_ts"], 1_421_416_883_133_u64);
        assert_eq!(event["sender"], GHOST);
    }
    let alice = server.hs.user("alice").await.unwrap();
    let own = alice.create_room(json!({})).await.unwrap();
    let path = format!("{V3}/rooms/{own}/send/m.room.message/1?ts=1");
    let event_id = alice.put(&path, json!({"body": "x"})).await.unwrap()["event_id"].clone();
    let event = alice.get(&format!("{V3}/rooms/{own}/event/{}", event_id.as_str().unwrap())).await.unwrap();
    assert_ne!(event["origin_server_ts"], 1);
}

#[tokio::test]
async fn events_of_interest_arrive_with_both_tokens_and_the_drafts_fields() {
    let appservice = FakeAppservice::start().await;
    let server = server_with(&appservice).await;
    let alice = server.hs.user("alice").await.unwrap();
    register_ghost(&server, "ghost_1").await;
    let private = alice.create_room(json!({"name": "nobody's business"})).await.unwrap();
    let room = alice.create_room(json!({"invite": [GHOST]})).await.unwrap();
    let request = appservice.next_transaction().await;
    assert_eq!(request.method, Method::PUT);
    assert_eq!(request.path, "/_matrix/app/v1/transactions/1");
    assert_eq!(request.bearer.as_deref(), Some(HS_TOKEN));
    assert!(request.query.contains(&format!("access_token={HS_TOKEN}")));
    let invite = &request.events()[0];
    assert_eq!(invite["type"], "m.room.member");
    assert_eq!(invite["state_key"], GHOST);
    assert_eq!(invite["room_id"], room.as_str());
    assert_eq!(invite["sender"], "@alice:hs.test");
    assert_eq!(invite["user_id"], "@alice:hs.test");
    assert!(invite["age"].is_number() && invite["unsigned"]["age"].is_number());
    alice.send_text(&private, "psst").await.unwrap();
    alice.send_text(&room, "before the ghost has joined").await.unwrap();
    let ghost = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@ghost_1:hs.test"), AS_TOKEN);
    ghost.join(&room).await.unwrap();
    alice.send_text(&room, "hello").await.unwrap();
    let message = appservice.next_event("m.room.message").await;
    assert_eq!(message["content"]["body"], "hello");
}

#[tokio::test]
async fn rooms_are_of_interest_by_their_alias_and_their_id() {
    let appservice = FakeAppservice::start().await;
    let mut registration = appservice.registration();
    registration.namespaces.rooms.push(Namespace::shared("!.*"));
    registration.namespaces.users.clear();
    let server = Server::with(|b| b.registration(registration)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    alice.send_text(&room, "by id").await.unwrap();
    assert_eq!(appservice.next_event("m.room.message").await["content"]["body"], "by id");
    let second = FakeAppservice::start().await;
    let server = server_with(&second).await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    alice.send_text(&room, "unheard").await.unwrap();
    let path = format!("{V3}/directory/room/{}", encode("#ghost_room:hs.test"));
    server.put(&path, AS_TOKEN, json!({"room_id": room})).await.ok();
    alice.send_text(&room, "by alias").await.unwrap();
    assert_eq!(second.next_event("m.room.message").await["content"]["body"], "by alias");
}

/// Refuses the first transactions, then accepts.
async fn refusing(times: usize, status: StatusCode) -> FakeAppservice {
    let refused = Arc::new(AtomicUsize::new(0));
    FakeAppservice::scripted(move |request| {
        let refuse = request.path.starts_with("/_matrix/app/v1/transactions/")
            && refused.fetch_add(1, Ordering::SeqCst) < times;
        let refuse = refuse || request.path.starts_with("/transactions/");
        Box::pin(async move { if refuse { (status, json!({})) } else { (StatusCode::OK, json!({})) } })
    })
    .await
}

#[tokio::test]
async fn a_transaction_that_was_not_acknowledged_comes_again_unchanged_before_any_other() {
    for status in [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::BAD_REQUEST, StatusCode::CREATED] {
        let appservice = refusing(4, status).await;
        let next_transaction =
            || appservice.next(|request| request.path.starts_with("/_matrix/app/v1/transactions/"));
        let server = server_with(&appservice).await;
        let alice = server.hs.user("alice").await.unwrap();
        let bot = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@bot:hs.test"), AS_TOKEN);
        let room = bot.create_room(json!({"preset": "public_chat"})).await.unwrap();
        let first = next_transaction().await;
        alice.join(&room).await.unwrap();
        for number in 0..150 {
            alice.send_text(&room, &number.to_string()).await.unwrap();
        }
        for _ in 0..4 {
            let again = next_transaction().await;
            assert_eq!(again.path, first.path);
            assert_eq!(again.raw, first.raw, "not a byte may differ");
        }
        let mut bodies = Vec::new();
        let mut last = first.id().parse::<u64>().unwrap();
        while bodies.len() < 150 {
            let next = next_transaction().await;
            let id = next.id().parse::<u64>().unwrap();
            assert!(id > last, "{id} after {last}");
            assert!(next.events().len() <= 100);
            last = id;
            bodies.extend(
                next.events()
                    .iter()
                    .filter_map(|event| event["content"]["body"].as_str().map(ToOwned::to_owned)),
            );
        }
        let expected: Vec<String> = (0..150).map(|number| number.to_string()).collect();
        assert_eq!(bodies, expected, "in order, none lost, none twice");
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_before_a_restart_comes_again_with_the_same_id() {
    let accept = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let accepting = accept.clone();
    let appservice = FakeAppservice::scripted(move |_| {
        let accept = accepting.load(Ordering::SeqCst);
        Box::pin(async move { (if accept { StatusCode::OK } else { StatusCode::BAD_GATEWAY }, json!({})) })
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        let registration = appservice.registration();
        let path = directory.path().to_owned();
        Server::with(move |b| {
            b.registration(registration).data_dir(path).appservice_backoff(Duration::from_millis(5))
        })
    };
    let server = start().await;
    let bot = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@bot:hs.test"), AS_TOKEN);
    let room = bot.create_room(json!({})).await.unwrap();
    bot.send_text(&room, "kept").await.unwrap();
    let before = appservice.next_transaction().await;
    server.stop().await;
    accept.store(true, Ordering::SeqCst);
    let _server = start().await;
    let first = appservice.next(|request| request.path == before.path).await;
    assert_eq!(first.raw, before.raw);
    let mut seen = first.events();
    while !seen.iter().any(|event| event["content"]["body"] == "kept") {
        seen.extend(appservice.next_transaction().await.events());
    }
}

#[tokio::test]
async fn the_drafts_paths_are_used_where_todays_are_unknown() {
    let appservice = FakeAppservice::scripted(|request| {
        let known = request.path.starts_with("/transactions/");
        Box::pin(async move {
            if known { (StatusCode::OK, json!({})) } else { (StatusCode::NOT_FOUND, json!("not found")) }
        })
    })
    .await;
    let server = server_with(&appservice).await;
    let bot = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@bot:hs.test"), AS_TOKEN);
    bot.create_room(json!({})).await.unwrap();
    appservice.next(|request| request.path == "/_matrix/app/v1/transactions/1").await;
    let request = appservice.next(|request| request.path == "/transactions/1").await;
    assert!(request.query.contains(HS_TOKEN));
    bot.create_room(json!({})).await.unwrap();
    let next = appservice.next_transaction().await;
    assert!(next.path.starts_with("/transactions/"), "the drafts' paths are remembered: {}", next.path);
}

#[tokio::test]
async fn any_refusal_of_todays_path_leads_to_the_drafts_path_and_back_when_that_has_been_a_while() {
    let updated = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_updated = updated.clone();
    let appservice = FakeAppservice::scripted(move |request| {
        let known = is_updated.load(Ordering::SeqCst) || request.path.starts_with("/transactions/");
        let status = if known { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
        Box::pin(async move { (status, json!({})) })
    })
    .await;
    let registration = appservice.registration();
    let server =
        Server::with(|b| b.registration(registration).appservice_legacy_retry(Duration::from_millis(1)))
            .await;
    let bot = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@bot:hs.test"), AS_TOKEN);
    let room = bot.create_room(json!({})).await.unwrap();
    let today = |request: &Request| request.path.starts_with("/_matrix/app/v1/transactions/");
    let first = appservice.next(today).await;
    let second = appservice.next_transaction().await;
    assert_eq!((second.path.as_str(), second.raw), ("/transactions/1", first.raw));
    updated.store(true, Ordering::SeqCst);
    // Every transaction tries today's path again, for the time in which it does not is over at once.
    bot.send_text(&room, "x").await.unwrap();
    appservice.next(today).await;
    for _ in 0..3 {
        bot.send_text(&room, "y").await.unwrap();
        assert!(
            today(&appservice.next_transaction().await),
            "it serves today's, and is asked by nothing else"
        );
    }
}

#[tokio::test]
async fn a_query_that_todays_path_refuses_is_put_by_the_drafts_path() {
    let appservice = FakeAppservice::scripted(|request| {
        let status =
            if request.path.starts_with("/_matrix/") { StatusCode::FORBIDDEN } else { StatusCode::OK };
        Box::pin(async move { (status, json!({})) })
    })
    .await;
    let server = server_with(&appservice).await;
    let alice = server.hs.user("alice").await.unwrap();
    assert_eq!(alice.join("#ghost_x:hs.test").await.unwrap_err().status(), Some(404));
    let asked = appservice.next(|request| request.path.starts_with("/rooms/")).await;
    assert_eq!(asked.path, "/rooms/%23ghost_x%3Ahs.test");
}

#[tokio::test]
async fn typing_that_ends_by_itself_is_told() {
    let appservice = FakeAppservice::start().await;
    let mut registration = appservice.registration();
    registration.receive_ephemeral = true;
    let server = Server::with(|b| b.registration(registration)).await;
    let bot = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@bot:hs.test"), AS_TOKEN);
    let room = bot.create_room(json!({})).await.unwrap();
    let path = format!("{V3}/rooms/{room}/typing/@bot:hs.test");
    bot.put(&path, json!({"typing": true})).await.unwrap();
    let typing = |users: Value| {
        move |request: &Request| {
            let edus = request.body["ephemeral"].as_array().cloned().unwrap_or_default();
            edus.iter().any(|edu| edu["content"]["user_ids"] == users)
        }
    };
    appservice.next(typing(json!(["@bot:hs.test"]))).await;
    bot.put(&path, json!({"typing": true, "timeout": 1})).await.unwrap();
    appservice.next(typing(json!([]))).await;
}

/// Another application service, with namespaces of its own.
fn second_registration(url: &str, namespace: Namespace) -> Registration {
    let mut registration = Registration::builder("second")
        .sender_localpart("second_bot")
        .tokens("second_as_token", "second_hs_token")
        .users(namespace)
        .build();
    registration.url = Some(url.to_owned());
    registration
}

#[tokio::test]
async fn several_appservices_hear_of_the_same_event() {
    let (first, second) = (FakeAppservice::start().await, FakeAppservice::start().await);
    let (one, other) =
        (first.registration(), second_registration(&second.url, Namespace::shared("@alice:hs\\.test")));
    let server = Server::with(|b| b.registration(one).registration(other)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let bot = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@bot:hs.test"), AS_TOKEN);
    let room = bot.create_room(json!({"preset": "public_chat"})).await.unwrap();
    alice.join(&room).await.unwrap();
    bot.send_text(&room, "to both").await.unwrap();
    let (seen, also) = tokio::join!(first.next_event("m.room.message"), second.next_event("m.room.message"));
    assert_eq!(seen["event_id"], also["event_id"]);
    // A shared namespace keeps nobody out, and lets its application service act as who is in it.
    let path = format!("{V3}/account/whoami?user_id=@alice:hs.test");
    server.get(&path, "second_as_token").await.ok();
    server.get(&path, AS_TOKEN).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn exclusive_namespaces_keep_other_appservices_out() {
    let other = second_registration("http://127.0.0.1:9", Namespace::shared("@ghost_.*"));
    let server = Server::with(|b| b.registration(registration(None)).registration(other)).await;
    let body = json!({"type": "m.login.application_service", "username": "ghost_1"});
    let registering = format!("{V3}/register");
    let register = |token: &'static str| server.post(&registering, token, body.clone());
    register("second_as_token").await.refused(400, "M_EXCLUSIVE");
    register(AS_TOKEN).await.ok();
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let path = format!("{V3}/directory/room/{}", encode("#ghost_x:hs.test"));
    let target = json!({"room_id": room});
    server.put(&path, "second_as_token", target.clone()).await.refused(400, "M_EXCLUSIVE");
    server.put(&path, AS_TOKEN, target).await.ok();
    server.raw(Method::DELETE, &path, Some("second_as_token"), None).await.refused(400, "M_EXCLUSIVE");
    let gone = alice.delete(&path).await.unwrap_err();
    assert_eq!(gone.errcode(), Some("M_EXCLUSIVE"));
    server.raw(Method::DELETE, &path, Some(AS_TOKEN), None).await.ok();
}

#[tokio::test]
async fn a_registration_may_change_between_two_runs() {
    let appservice = FakeAppservice::start().await;
    let directory = tempfile::tempdir().unwrap();
    let start = |registration: Registration| {
        let path = directory.path().to_owned();
        Server::with(move |b| b.registration(registration).data_dir(path))
    };
    let server = start(registration(None)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let token = alice.access_token().to_owned();
    let room = alice.create_room(json!({})).await.unwrap();
    server.stop().await;

    let mut changed = appservice.registration();
    "other_bot".clone_into(&mut changed.sender_localpart);
    changed.as_token = matrix_appservice::Secret::new("other_as_token");
    changed.namespaces.users = vec![Namespace::shared("@alice.*")];
    let server = start(changed).await;
    let whoami = format!("{V3}/account/whoami");
    server.get(&whoami, AS_TOKEN).await.refused(401, "M_UNKNOWN_TOKEN");
    assert_eq!(server.get(&whoami, "other_as_token").await.ok()["user_id"], "@other_bot:hs.test");
    server.get(&format!("{V3}/profile/@other_bot:hs.test"), "").await.ok();
    // The room is of interest now, by a member who is in the namespace now.
    let alice = TestUser::from_token(server.hs.url(), ruma::user_id!("@alice:hs.test"), &token);
    alice.send_text(&room, "heard").await.unwrap();
    assert_eq!(appservice.next_event("m.room.message").await["content"]["body"], "heard");
}

#[tokio::test]
async fn only_ghosts_of_limited_appservices_are_limited_never_the_sender() {
    for limited in [true, false] {
        let mut registration = registration(None);
        registration.rate_limited = Some(limited);
        let server = Server::with(|b| b.registration(registration).rate_limits(true)).await;
        register_ghost(&server, "ghost_1").await;
        let bot = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@bot:hs.test"), AS_TOKEN);
        let room = bot.create_room(json!({"preset": "public_chat"})).await.unwrap();
        let join = format!("{V3}/rooms/{room}/join?user_id={GHOST}");
        server.post(&join, AS_TOKEN, json!({})).await.ok();
        for number in 0..300 {
            bot.send_text(&room, &number.to_string()).await.unwrap();
        }
        let mut refused = false;
        for number in 0..300 {
            let path = format!("{V3}/rooms/{room}/send/m.room.message/{number}?user_id={GHOST}");
            refused |= server.put(&path, AS_TOKEN, json!({})).await.errcode() == "M_LIMIT_EXCEEDED";
        }
        assert_eq!(refused, limited);
    }
}

/// An application service that makes what it is asked for, by requests of its own.
async fn making() -> (FakeAppservice, Arc<Mutex<String>>) {
    let homeserver = Arc::new(Mutex::new(String::new()));
    let url = homeserver.clone();
    let appservice = FakeAppservice::scripted(move |request| {
        let url = url.lock().clone();
        Box::pin(async move { make(&url, &request).await })
    })
    .await;
    (appservice, homeserver)
}

async fn make(url: &str, request: &Request) -> (StatusCode, Value) {
    let bot = TestUser::masqueraded(url, ruma::user_id!("@bot:hs.test"), AS_TOKEN);
    let id = request.id();
    if request.path.starts_with("/_matrix/app/v1/users/") {
        if id.contains("unknown") {
            return (StatusCode::NOT_FOUND, json!({"errcode": "M_NOT_FOUND", "error": "no"}));
        }
        let localpart = id[1..].split(':').next().unwrap().to_owned();
        let body = json!({"type": "m.login.application_service", "username": localpart});
        bot.post(&format!("{V3}/register"), body).await.unwrap();
    } else if request.path.starts_with("/_matrix/app/v1/rooms/") {
        let name = id[1..].split(':').next().unwrap().to_owned();
        bot.create_room(json!({"room_alias_name": name, "preset": "public_chat"})).await.unwrap();
    }
    (StatusCode::OK, json!({}))
}

#[tokio::test]
async fn unknown_aliases_are_made_by_the_appservice_while_the_join_waits() {
    let (appservice, url) = making().await;
    let server = server_with(&appservice).await;
    server.hs.url().clone_into(&mut url.lock());
    let mut joining = Vec::new();
    for number in 0..8 {
        let user = server.hs.user(&format!("u{number}")).await.unwrap();
        joining.push(tokio::spawn(async move { user.join("#ghost_room:hs.test").await }));
    }
    let mut rooms = Vec::new();
    for joined in joining {
        rooms.push(joined.await.unwrap().unwrap());
    }
    rooms.dedup();
    assert_eq!(rooms.len(), 1, "everybody is in the same room");
    let asked = appservice.next(|request| request.path.contains("/rooms/")).await;
    assert_eq!(asked.path, "/_matrix/app/v1/rooms/%23ghost_room%3Ahs.test");
    assert_eq!(asked.method, Method::GET);
}

#[tokio::test]
async fn what_was_begun_is_done_to_its_end_though_the_client_hangs_up() {
    let (appservice, url) = making().await;
    let server = server_with(&appservice).await;
    server.hs.url().clone_into(&mut url.lock());
    let alice = server.hs.user("alice").await.unwrap();
    let joining = tokio::spawn({
        let alice = alice.clone();
        async move { alice.join("#ghost_room:hs.test").await }
    });
    appservice.next(|request| request.path.contains("/rooms/")).await;
    joining.abort();
    let joined = async {
        while alice.get(&format!("{V3}/joined_rooms")).await.unwrap()["joined_rooms"] == json!([]) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), joined).await.expect("the join goes on");
}

#[tokio::test]
async fn unknown_users_are_made_when_they_are_invited_chatted_with_or_acted_as() {
    let (appservice, url) = making().await;
    let server = server_with(&appservice).await;
    server.hs.url().clone_into(&mut url.lock());
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    alice.invite(&room, "@ghost_a:hs.test").await.unwrap();
    alice.create_room(json!({"is_direct": true, "invite": ["@ghost_b:hs.test"]})).await.unwrap();
    alice
        .set_state(&room, "m.room.member", "@ghost_c:hs.test", json!({"membership": "invite"}))
        .await
        .unwrap();
    let ghost = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@ghost_d:hs.test"), AS_TOKEN);
    ghost.create_room(json!({})).await.unwrap();
    for name in ["a", "b", "c", "d"] {
        server.get(&format!("{V3}/profile/@ghost_{name}:hs.test"), "").await.ok();
    }
    let unknown = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@ghost_unknown:hs.test"), AS_TOKEN);
    assert_eq!(unknown.create_room(json!({})).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
}

#[tokio::test]
async fn a_query_that_nobody_answers_ends_in_408() {
    let appservice = FakeAppservice::scripted(|request| {
        let query = !request.path.contains("/transactions/");
        Box::pin(async move {
            if query { (StatusCode::BAD_GATEWAY, json!({})) } else { (StatusCode::OK, json!({})) }
        })
    })
    .await;
    let server = server_with(&appservice).await;
    let alice = server.hs.user("alice").await.unwrap();
    let refused = alice.join("#ghost_room:hs.test").await.unwrap_err();
    assert_eq!(refused.status(), Some(408));
    let silent = FakeAppservice::scripted(|_| Box::pin(std::future::pending())).await;
    let registration = silent.registration();
    let server =
        Server::with(|b| b.registration(registration).appservice_query_timeout(Duration::from_millis(100)))
            .await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    assert_eq!(alice.invite(&room, GHOST).await.unwrap_err().status(), Some(408));
}

#[tokio::test]
async fn pings_say_how_long_they_took_or_what_went_wrong() {
    let appservice = FakeAppservice::start().await;
    let server = server_with(&appservice).await;
    let path = "/_matrix/client/v1/appservice/test/ping";
    let done = server.post(path, AS_TOKEN, json!({"transaction_id": "mine"})).await.ok();
    assert!(done["duration_ms"].is_number());
    let seen = appservice.next(|request| request.path == "/_matrix/app/v1/ping").await;
    assert_eq!(seen.body, json!({"transaction_id": "mine"}));
    let other = "/_matrix/client/v1/appservice/other/ping";
    server.post(other, AS_TOKEN, json!({})).await.refused(403, "M_FORBIDDEN");
    let alice = server.hs.user("alice").await.unwrap();
    server.post(path, alice.access_token(), json!({})).await.refused(403, "M_FORBIDDEN");

    let server = Server::with(|b| b.registration(registration(None))).await;
    server.post(path, AS_TOKEN, json!({})).await.refused(400, "M_URL_NOT_SET");

    // Nobody listens on port 1.
    let server = Server::with(|b| b.registration(registration(Some("http://127.0.0.1:1")))).await;
    server.post(path, AS_TOKEN, json!({})).await.refused(502, "M_CONNECTION_FAILED");

    let refusing = FakeAppservice::scripted(|_| {
        Box::pin(async { (StatusCode::UNAUTHORIZED, json!({"errcode": "M_X"})) })
    })
    .await;
    let server = server_with(&refusing).await;
    let answer = server.post(path, AS_TOKEN, json!({})).await;
    assert_eq!(
        (answer.body["status"].as_u64(), &answer.body["body"]),
        (Some(401), &json!(r#"{"errcode":"M_X"}"#))
    );
    answer.refused(502, "M_BAD_STATUS");
}

#[tokio::test]
async fn typing_and_receipts_reach_those_who_asked_for_them() {
    let appservice = FakeAppservice::start().await;
    let mut registration = appservice.registration();
    registration.receive_ephemeral = true;
    let server = Server::with(|b| b.registration(registration)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let bot = TestUser::masqueraded(server.hs.url(), ruma::user_id!("@bot:hs.test"), AS_TOKEN);
    let room = bot.create_room(json!({"preset": "public_chat"})).await.unwrap();
    alice.join(&room).await.unwrap();
    let typing = format!("{V3}/rooms/{room}/typing/@alice:hs.test");
    alice.put(&typing, json!({"typing": true})).await.unwrap();
    let ephemeral = |kind: &'static str| {
        let appservice = appservice.clone();
        async move {
            let of_kind = |request: &Request| {
                let edus = request.body["ephemeral"].as_array().cloned().unwrap_or_default();
                edus.into_iter().find(|edu| edu["type"] == kind)
            };
            let request = appservice.next(|request| of_kind(request).is_some()).await;
            assert_eq!(request.body["ephemeral"], request.body["de.sorunome.msc2409.ephemeral"]);
            of_kind(&request).unwrap()
        }
    };
    let edu = ephemeral("m.typing").await;
    assert_eq!(
        edu,
        json!({"type": "m.typing", "room_id": room, "content": {"user_ids": ["@alice:hs.test"]}})
    );
    let event_id = alice.send_text(&room, "x").await.unwrap();
    alice.post(&format!("{V3}/rooms/{room}/receipt/m.read/{event_id}"), json!({})).await.unwrap();
    let edu = ephemeral("m.receipt").await;
    assert!(edu["content"][event_id.as_str()]["m.read"]["@alice:hs.test"]["ts"].is_number());
    let status = format!("{V3}/presence/@alice:hs.test/status");
    alice.put(&status, json!({"presence": "unavailable"})).await.unwrap();
    let edu = ephemeral("m.presence").await;
    assert_eq!(
        (&edu["sender"], &edu["content"]["presence"]),
        (&json!("@alice:hs.test"), &json!("unavailable"))
    );
}

#[tokio::test]
async fn third_party_lookups_are_answered_by_those_who_bridge_the_protocol() {
    let appservice = FakeAppservice::scripted(|request| {
        Box::pin(async move {
            let body = match request.path.as_str() {
                "/_matrix/app/v1/thirdparty/protocol/irc" => {
                    json!({"user_fields": ["nick"], "instances": [{"network_id": "freenode"}]})
                }
                "/_matrix/app/v1/thirdparty/user/irc" if request.query.contains("nick=Bob%20B") => {
                    json!([{"userid": "@ghost_bob:hs.test", "protocol": "irc", "fields": {}}])
                }
                "/_matrix/app/v1/thirdparty/location" => json!([{"alias": "#ghost_x:hs.test"}]),
                _ => return (StatusCode::NOT_FOUND, json!({"errcode": "M_NOT_FOUND", "error": "no"})),
            };
            (StatusCode::OK, body)
        })
    })
    .await;
    let mut registration = appservice.registration();
    registration.protocols.push("irc".into());
    let server = Server::with(|b| b.registration(registration)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let lookup = |path: &'static str| alice.get(path);
    let protocols = lookup("/_matrix/client/v3/thirdparty/protocols").await.unwrap();
    let instances = json!([{"network_id": "freenode", "instance_id": "test|freenode"}]);
    assert_eq!(protocols["irc"]["instances"], instances);
    assert_eq!(lookup("/_matrix/client/v3/thirdparty/protocol/irc").await.unwrap(), protocols["irc"]);
    let found = lookup("/_matrix/client/v3/thirdparty/user/irc?nick=Bob%20B").await.unwrap();
    assert_eq!(found[0]["userid"], "@ghost_bob:hs.test");
    let found = lookup("/_matrix/client/v3/thirdparty/location?alias=%23ghost_x%3Ahs.test").await.unwrap();
    assert_eq!(found[0]["alias"], "#ghost_x:hs.test");
    let none = lookup("/_matrix/client/v3/thirdparty/protocol/xmpp").await.unwrap_err();
    assert_eq!(none.errcode(), Some("M_NOT_FOUND"));
}

#[tokio::test]
async fn what_several_appservices_know_of_a_protocol_is_put_together_and_kept_for_a_while() {
    let bridging = |network: &'static str| {
        FakeAppservice::scripted(move |request| {
            let known = request.path.ends_with("/thirdparty/protocol/irc");
            let body =
                json!({"user_fields": ["nick"], "instances": [{"network_id": network, "desc": network}]});
            Box::pin(async move {
                if known { (StatusCode::OK, body) } else { (StatusCode::NOT_FOUND, json!({})) }
            })
        })
    };
    let (one, other) = (bridging("libera").await, bridging("oftc").await);
    let mut first = one.registration();
    first.protocols.push("irc".into());
    let mut second = second_registration(&other.url, Namespace::exclusive("@oftc_.*"));
    second.protocols.push("irc".into());
    let server = Server::with(|b| b.registration(first).registration(second)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let protocol = alice.get("/_matrix/client/v3/thirdparty/protocol/irc").await.unwrap();
    let ids: Vec<_> = protocol["instances"].as_array().unwrap().iter().map(|it| &it["instance_id"]).collect();
    assert_eq!(ids, ["test|libera", "second|oftc"]);
    one.next(|request| request.path.contains("/thirdparty/")).await;
    assert_eq!(alice.get("/_matrix/client/v3/thirdparty/protocols").await.unwrap()["irc"], protocol);
    // Whatever is asked after this comes after anything that the two requests before have led to.
    alice.get("/_matrix/client/v3/thirdparty/user/irc?nick=x").await.unwrap();
    let asked = one.next(|request| request.path.contains("/thirdparty/")).await;
    assert!(asked.path.contains("/thirdparty/user/"), "the protocol is not asked for twice: {}", asked.path);
}

#[tokio::test]
async fn an_appservice_lists_rooms_on_its_network() {
    let server = Server::with(|b| b.registration(registration(None))).await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({"name": "bridged"})).await.unwrap();
    let path = format!("{V3}/directory/list/appservice/freenode/{room}");
    server.put(&path, AS_TOKEN, json!({"visibility": "public"})).await.ok();
    let search = |query: Value| alice.post("/_matrix/client/v3/publicRooms", query);
    assert_eq!(search(json!({})).await.unwrap()["chunk"], json!([]));
    let on_network = search(json!({"third_party_instance_id": "test|freenode"})).await.unwrap();
    assert_eq!(on_network["chunk"][0]["name"], "bridged");
    assert_eq!(search(json!({"include_all_networks": true})).await.unwrap()["total_room_count_estimate"], 1);
    let refused = alice.put(&path, json!({"visibility": "public"})).await.unwrap_err();
    assert_eq!(refused.errcode(), Some("M_FORBIDDEN"));
}

#[tokio::test]
async fn registrations_that_contradict_each_other_do_not_start() {
    let start = |other: Registration| {
        matrix_homeserver::Homeserver::builder("hs.test")
            .registration(registration(None))
            .registration(other)
            .start()
    };
    let mut same_token = registration(None);
    same_token.id = "second".into();
    assert!(start(registration(None)).await.is_err());
    assert!(start(same_token).await.is_err());
}
