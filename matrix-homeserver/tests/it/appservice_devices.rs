//! What application services are told of devices: messages to those of their users, keys.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use matrix_appservice::Registration;
use matrix_homeserver::testing::TestUser;
use serde_json::{Value, json};

use crate::{
    fake_appservice::{AS_TOKEN, FakeAppservice, Request},
    support::Server,
};

const V3: &str = "/_matrix/client/v3";
const GHOST: &str = "@ghost_1:hs.test";

fn wanting_devices(appservice: &FakeAppservice) -> Registration {
    let mut registration = appservice.registration();
    registration.receive_ephemeral = true;
    registration.extra.insert("org.matrix.msc3202".into(), true.into());
    registration
}

async fn server_with(appservice: &FakeAppservice) -> Server {
    let registration = wanting_devices(appservice);
    Server::with(|b| b.registration(registration).appservice_backoff(Duration::from_millis(5))).await
}

/// A ghost with the device `D`, made by its application service.
async fn ghost_with_device(server: &Server) -> TestUser {
    let body = json!({"type": "m.login.application_service", "username": "ghost_1", "inhibit_login": true});
    server.post(&format!("{V3}/register"), AS_TOKEN, body).await.ok();
    let made = server.put(&format!("{V3}/devices/D?user_id={GHOST}"), AS_TOKEN, json!({})).await;
    assert_eq!(made.status, 201);
    TestUser::masqueraded(server.hs.url(), ruma::user_id!("@ghost_1:hs.test"), AS_TOKEN)
}

async fn send_message(from: &TestUser, txn_id: &str, device: &str) {
    let path = format!("{V3}/sendToDevice/m.test/{txn_id}");
    from.put(&path, json!({"messages": {GHOST: {device: {"n": txn_id}}}})).await.unwrap();
}

fn messages(request: &Request) -> Vec<Value> {
    request.body["to_device"].as_array().cloned().unwrap_or_default()
}

/// Refuses the first transactions with messages in them, then accepts.
async fn refusing(times: usize) -> FakeAppservice {
    let refused = Arc::new(AtomicUsize::new(0));
    FakeAppservice::scripted(move |request| {
        let refuse = !messages(&request).is_empty() && refused.fetch_add(1, Ordering::SeqCst) < times;
        Box::pin(async move {
            if refuse { (StatusCode::BAD_GATEWAY, json!({})) } else { (StatusCode::OK, json!({})) }
        })
    })
    .await
}

#[tokio::test]
async fn messages_to_the_devices_of_ghosts_come_until_they_are_acknowledged() {
    let appservice = refusing(4).await;
    let server = server_with(&appservice).await;
    let ghost = ghost_with_device(&server).await;
    let alice = server.hs.user("alice").await.unwrap();
    send_message(&alice, "1", "D").await;
    let first = appservice.next(|request| !messages(request).is_empty()).await;
    let expected = json!([{
        "type": "m.test", "sender": "@alice:hs.test", "content": {"n": "1"},
        "to_user_id": GHOST, "to_device_id": "D",
    }]);
    assert_eq!(first.body["to_device"], expected);
    assert_eq!(first.body["de.sorunome.msc2409.to_device"], expected);
    send_message(&alice, "2", "*").await;
    for _ in 0..3 {
        let again = appservice.next(|request| !messages(request).is_empty()).await;
        assert_eq!((again.id(), again.raw), (first.id(), first.raw.clone()), "not a byte may differ");
    }
    let next = appservice.next(|request| messages(request).iter().any(|it| it["content"]["n"] == "2")).await;
    assert_eq!(messages(&next).len(), 1);
    // The next transaction shows that the one before was taken out of the queue; the device has nothing left either.
    send_message(&alice, "3", "D").await;
    appservice.next(|request| messages(request).iter().any(|it| it["content"]["n"] == "3")).await;
    let sync = ghost.get(&format!("{V3}/sync?device_id=D")).await.unwrap();
    let waiting = sync["to_device"]["events"].as_array().cloned().unwrap_or_default();
    assert!(waiting.iter().all(|message| message["content"]["n"] == "3"), "{waiting:?}");
}

#[tokio::test]
async fn those_who_did_not_ask_for_ephemeral_data_get_no_messages() {
    let appservice = FakeAppservice::start().await;
    let registration = appservice.registration();
    let server = Server::with(|b| b.registration(registration)).await;
    let ghost = ghost_with_device(&server).await;
    let alice = server.hs.user("alice").await.unwrap();
    send_message(&alice, "1", "D").await;
    let room = ghost.create_room(json!({})).await.unwrap();
    ghost.send_text(&room, "last").await.unwrap();
    let last = |request: &Request| request.events().iter().any(|event| event["content"]["body"] == "last");
    let seen = appservice.next(|request| request.body.get("to_device").is_some() || last(request)).await;
    assert!(last(&seen), "{}", seen.body);
    let sync = ghost.get(&format!("{V3}/sync?device_id=D")).await.unwrap();
    assert_eq!(
        sync["to_device"]["events"][0]["content"]["n"], "1",
        "it waits for the device as for any other"
    );
}

#[tokio::test]
async fn a_message_that_was_not_acknowledged_comes_again_after_a_restart() {
    let accept = Arc::new(AtomicBool::new(false));
    let accepting = accept.clone();
    let appservice = FakeAppservice::scripted(move |_| {
        let accept = accepting.load(Ordering::SeqCst);
        Box::pin(async move { (if accept { StatusCode::OK } else { StatusCode::BAD_GATEWAY }, json!({})) })
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        let registration = wanting_devices(&appservice);
        let path = directory.path().to_owned();
        Server::with(move |b| {
            b.registration(registration).data_dir(path).appservice_backoff(Duration::from_millis(5))
        })
    };
    let server = start().await;
    ghost_with_device(&server).await;
    let alice = server.hs.user("alice").await.unwrap();
    send_message(&alice, "1", "D").await;
    let before = appservice.next(|request| !messages(request).is_empty()).await;
    send_message(&alice, "2", "D").await;
    server.stop().await;
    accept.store(true, Ordering::SeqCst);
    let _server = start().await;
    let second = |request: &Request| messages(request).iter().any(|message| message["content"]["n"] == "2");
    let again = appservice.next(|request| request.id() == before.id()).await;
    assert_eq!(again.raw, before.raw);
    appservice.next(second).await;
}

fn one_time_keys(numbers: std::ops::Range<u32>) -> Value {
    numbers.map(|n| (format!("signed_curve25519:{n}"), json!({"key": n.to_string()}))).collect()
}

#[tokio::test]
async fn what_is_left_of_the_keys_of_ghosts_is_told_when_it_changes() {
    let appservice = FakeAppservice::start().await;
    let server = server_with(&appservice).await;
    ghost_with_device(&server).await;
    let alice = server.hs.user("alice").await.unwrap();
    let upload = format!("{V3}/keys/upload?user_id={GHOST}");
    server.post(&upload, AS_TOKEN, json!({})).await.refused(400, "M_MISSING_PARAM");
    let upload = format!("{upload}&device_id=D");
    let fallback = json!({"signed_curve25519:f": {"key": "f", "fallback": true}});
    let keys = json!({"one_time_keys": one_time_keys(0..2), "fallback_keys": fallback});
    server.post(&upload, AS_TOKEN, keys).await.ok();
    let count = |request: &Request| {
        let counts = &request.body["device_one_time_keys_count"];
        assert_eq!(*counts, request.body["org.matrix.msc3202.device_one_time_keys_count"]);
        counts[GHOST]["D"]["signed_curve25519"].as_u64()
    };
    let unused = |request: &Request| {
        let types = &request.body["device_unused_fallback_key_types"];
        assert_eq!(*types, request.body["org.matrix.msc3202.device_unused_fallback_key_types"]);
        types[GHOST]["D"].clone()
    };
    let told = appservice.next(|request| count(request) == Some(2)).await;
    assert_eq!(unused(&told), json!(["signed_curve25519"]));
    let claim = json!({"one_time_keys": {GHOST: {"D": "signed_curve25519"}}});
    for left in [1, 0] {
        alice.post(&format!("{V3}/keys/claim"), claim.clone()).await.unwrap();
        appservice.next(|request| count(request) == Some(left)).await;
    }
    alice.post(&format!("{V3}/keys/claim"), claim).await.unwrap();
    let told = appservice.next(|request| count(request) == Some(0)).await;
    assert_eq!(unused(&told), json!([]));
}

fn device_keys(user_id: &str, device_id: &str) -> Value {
    json!({"device_keys": {
        "user_id": user_id, "device_id": device_id, "algorithms": ["m.olm.v1"],
        "keys": {format!("ed25519:{device_id}"): "x"},
    }})
}

#[tokio::test]
async fn changes_of_keys_are_told_of_those_who_share_rooms_with_ghosts() {
    let appservice = FakeAppservice::start().await;
    let server = server_with(&appservice).await;
    let ghost = ghost_with_device(&server).await;
    let alice = server.hs.user("alice").await.unwrap();
    let stranger = server.hs.user("stranger").await.unwrap();
    let encryption = json!([{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]);
    let room =
        ghost.create_room(json!({"preset": "public_chat", "initial_state": encryption})).await.unwrap();
    alice.join(&room).await.unwrap();
    let lists = |request: &Request| {
        assert_eq!(request.body["device_lists"], request.body["org.matrix.msc3202.device_lists"]);
        request.body["device_lists"].clone()
    };
    let names =
        |list: &Value, user_id: &str| list.as_array().is_some_and(|list| list.iter().any(|it| it == user_id));
    // Alice is new among those whom the ghosts encrypt for.
    appservice.next(|request| names(&lists(request)["changed"], "@alice:hs.test")).await;
    let upload = |user: &TestUser| {
        let user = user.clone();
        async move {
            let device = user.get(&format!("{V3}/account/whoami")).await.unwrap()["device_id"].clone();
            let body = device_keys(user.user_id().as_str(), device.as_str().unwrap());
            user.post(&format!("{V3}/keys/upload"), body).await.unwrap()
        }
    };
    upload(&stranger).await;
    upload(&alice).await;
    let told = appservice.next(|request| names(&lists(request)["changed"], "@alice:hs.test")).await;
    assert!(!names(&lists(&told)["changed"], "@stranger:hs.test"));
    alice.leave(&room).await.unwrap();
    let told = appservice.next(|request| names(&lists(request)["left"], "@alice:hs.test")).await;
    assert!(!names(&lists(&told)["changed"], "@alice:hs.test"));
}

#[tokio::test]
async fn an_appservice_may_hold_the_keys_of_its_ghosts_itself() {
    let appservice = FakeAppservice::scripted(|request| {
        let claims = request.path.ends_with("/org.matrix.msc3983/keys/claim");
        let asked = request.body[GHOST]["D"] == json!(["signed_curve25519"]);
        let body = match (claims, asked) {
            (true, true) => json!({GHOST: {"D": {"signed_curve25519:AAAA": {"key": "k"}}}}),
            (true, false) => json!({GHOST: "nonsense"}),
            (false, _) => json!({}),
        };
        Box::pin(async move { (StatusCode::OK, body) })
    })
    .await;
    let server = server_with(&appservice).await;
    ghost_with_device(&server).await;
    let alice = server.hs.user("alice").await.unwrap();
    let claim = |device: &str| {
        let body = json!({"one_time_keys": {GHOST: {device: "signed_curve25519"}}});
        let alice = alice.clone();
        async move { alice.post(&format!("{V3}/keys/claim"), body).await.unwrap()["one_time_keys"].clone() }
    };
    assert_eq!(claim("D").await, json!({GHOST: {"D": {"signed_curve25519:AAAA": {"key": "k"}}}}));
    assert_eq!(claim("E").await, json!({}));
    let upload = format!("{V3}/keys/upload?user_id={GHOST}&device_id=D");
    server.post(&upload, AS_TOKEN, json!({"one_time_keys": one_time_keys(7..8)})).await.ok();
    assert_eq!(claim("D").await[GHOST]["D"]["signed_curve25519:7"]["key"], "7", "its own come first");
}
