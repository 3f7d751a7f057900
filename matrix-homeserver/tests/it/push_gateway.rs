//! Push notifications, as a gateway hears of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use matrix_homeserver::testing::TestUser;
use serde_json::{Value, json};

use crate::{
    fake_appservice::{FakeAppservice, Request},
    support::Server,
};

const V3: &str = "/_matrix/client/v3";

/// A push gateway is told by the same kind of requests as an application service.
struct Gateway(FakeAppservice);

impl Gateway {
    async fn answering(answer: impl Fn(&Request) -> (StatusCode, Value) + Send + Sync + 'static) -> Self {
        let answered = move |request: Request| -> futures_util::future::BoxFuture<'static, _> {
            let answer = answer(&request);
            Box::pin(async move { answer })
        };
        Self(FakeAppservice::scripted(answered).await)
    }

    async fn start() -> Self {
        Self::answering(|_| (StatusCode::OK, json!({}))).await
    }

    fn pusher(&self, pushkey: &str, more: &Value) -> Value {
        let mut data = json!({"url": format!("{}/_matrix/push/v1/notify", self.0.url)});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"app_id": "test.app", "pushkey": pushkey, "kind": "http", "app_display_name": "App",
            "device_display_name": "Phone", "lang": "en", "data": data})
    }

    async fn next(&self) -> Value {
        let request = self.0.next(|request| request.path == "/_matrix/push/v1/notify").await;
        request.body["notification"].clone()
    }
}

async fn plain() -> Server {
    Server::with(|builder| builder.plain_push_gateways(true).push_backoff(Duration::from_millis(5))).await
}

async fn set(user: &TestUser, pusher: Value) {
    user.post(&format!("{V3}/pushers/set"), pusher).await.unwrap();
}

async fn pair(server: &Server) -> (TestUser, TestUser, String) {
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let options = json!({"preset": "public_chat", "name": "The Room"});
    let room = bob.create_room(options).await.unwrap().to_string();
    alice.join(&room).await.unwrap();
    (alice, bob, room)
}

#[tokio::test]
async fn a_gateway_is_told_of_what_the_rules_notify_of() {
    let server = plain().await;
    let gateway = Gateway::start().await;
    let (alice, bob, room) = pair(&server).await;
    // Between two everything is urgent.
    server.hs.user("carol").await.unwrap().join(&room).await.unwrap();
    bob.send_text(&room, "before the pusher").await.unwrap();
    set(&alice, gateway.pusher("key", &json!({"brand": "x"}))).await;
    alice.send_text(&room, "my own words").await.unwrap();
    bob.send_event(&room, "m.room.message", json!({"msgtype": "m.notice", "body": "quiet"})).await.unwrap();
    let event = bob.send_text(&room, "one").await.unwrap();
    let told = gateway.next().await;
    assert_eq!(told["event_id"], event.as_str());
    assert_eq!((&told["room_id"], &told["type"]), (&json!(room), &json!("m.room.message")));
    assert_eq!((&told["sender"], &told["sender_display_name"]), (&json!("@bob:hs.test"), &json!("bob")));
    assert_eq!((&told["room_name"], &told["prio"]), (&json!("The Room"), &json!("low")));
    assert_eq!(told["content"], json!({"msgtype": "m.text", "body": "one"}));
    assert_eq!(told["counts"]["unread"], 2);
    let device = &told["devices"][0];
    assert_eq!((&device["app_id"], &device["pushkey"]), (&json!("test.app"), &json!("key")));
    assert_eq!((&device["data"], &device["tweaks"]), (&json!({"brand": "x"}), &json!({})));
    assert!(device["pushkey_ts"].as_u64().unwrap() > 1_600_000_000);

    let mention =
        json!({"msgtype": "m.text", "body": "alice", "m.mentions": {"user_ids": ["@alice:hs.test"]}});
    bob.send_event(&room, "m.room.message", mention).await.unwrap();
    let told = gateway.next().await;
    assert_eq!((&told["prio"], &told["devices"][0]["tweaks"]["highlight"]), (&json!("high"), &json!(true)));
    assert_eq!(told["devices"][0]["tweaks"]["sound"], "default");
}

#[tokio::test]
async fn invitations_are_told_and_so_is_that_something_was_read() {
    let server = plain().await;
    let gateway = Gateway::start().await;
    let (alice, bob, room) = pair(&server).await;
    set(&alice, gateway.pusher("key", &json!({}))).await;
    bob.create_room(json!({"invite": ["@alice:hs.test"]})).await.unwrap();
    let told = gateway.next().await;
    assert_eq!((&told["type"], &told["user_is_target"]), (&json!("m.room.member"), &json!(true)));
    let event = bob.send_text(&room, "read me").await.unwrap();
    let unread = gateway.next().await["counts"]["unread"].as_u64().unwrap();
    assert!(unread > 0);
    alice.post(&format!("{V3}/rooms/{room}/receipt/m.read/{event}"), json!({})).await.unwrap();
    let told = gateway.next().await;
    assert_eq!(told["counts"]["unread"], 0);
    assert!(told.get("event_id").is_none(), "{told}");
}

#[tokio::test]
async fn a_pusher_may_want_the_event_id_and_no_more() {
    let server = plain().await;
    let gateway = Gateway::start().await;
    let (alice, bob, room) = pair(&server).await;
    set(&alice, gateway.pusher("key", &json!({"format": "event_id_only"}))).await;
    let event = bob.send_text(&room, "secret").await.unwrap();
    let told = gateway.next().await;
    assert_eq!(told["event_id"], event.as_str());
    for name in ["content", "sender", "type", "room_name", "sender_display_name"] {
        assert!(told.get(name).is_none(), "{name} in {told}");
    }
}

#[tokio::test]
async fn what_a_gateway_does_not_take_is_sent_again_until_it_does() {
    let server = plain().await;
    let attempts = Arc::new(AtomicUsize::new(0));
    let counter = attempts.clone();
    let gateway = Gateway::answering(move |_| match counter.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => (StatusCode::BAD_GATEWAY, json!({})),
        _ => (StatusCode::OK, json!({})),
    })
    .await;
    let (alice, bob, room) = pair(&server).await;
    set(&alice, gateway.pusher("key", &json!({}))).await;
    let first = bob.send_text(&room, "one").await.unwrap();
    let second = bob.send_text(&room, "two").await.unwrap();
    for _ in 0..3 {
        assert_eq!(gateway.next().await["event_id"], first.as_str());
    }
    assert_eq!(gateway.next().await["event_id"], second.as_str());
}

#[tokio::test]
async fn a_pushkey_that_the_gateway_rejects_is_forgotten() {
    let server = plain().await;
    let gateway = Gateway::answering(|request| {
        let key = request.body["notification"]["devices"][0]["pushkey"].clone();
        let rejected = if key == "stale" { json!([key]) } else { json!([]) };
        (StatusCode::OK, json!({ "rejected": rejected }))
    })
    .await;
    let (alice, bob, room) = pair(&server).await;
    set(&alice, gateway.pusher("stale", &json!({}))).await;
    set(&alice, gateway.pusher("good", &json!({}))).await;
    bob.send_text(&room, "one").await.unwrap();
    gateway.next().await;
    gateway.next().await;
    bob.send_text(&room, "two").await.unwrap();
    assert_eq!(gateway.next().await["devices"][0]["pushkey"], "good");
    let pushers = alice.get(&format!("{V3}/pushers")).await.unwrap();
    assert_eq!(pushers["pushers"].as_array().unwrap().len(), 1);
    assert_eq!(pushers["pushers"][0]["pushkey"], "good");
}

#[tokio::test]
async fn a_key_is_one_users_unless_it_is_to_be_anothers_too() {
    let server = plain().await;
    let gateway = Gateway::start().await;
    let (alice, bob, _) = pair(&server).await;
    let count = |user: TestUser| async move {
        user.get(&format!("{V3}/pushers")).await.unwrap()["pushers"].as_array().unwrap().len()
    };
    set(&alice, gateway.pusher("key", &json!({}))).await;
    let mut beside = gateway.pusher("key", &json!({}));
    beside["append"] = true.into();
    set(&bob, beside).await;
    assert_eq!((count(alice.clone()).await, count(bob.clone()).await), (1, 1));
    set(&bob, gateway.pusher("key", &json!({}))).await;
    assert_eq!((count(alice.clone()).await, count(bob.clone()).await), (0, 1));
    // The pusher goes with the session that asked for it.
    bob.post(&format!("{V3}/logout"), json!({})).await.unwrap();
    let again = server.hs.user("bob").await.unwrap();
    assert_eq!(count(again).await, 0);
}

#[tokio::test]
async fn nothing_is_missed_while_the_server_is_down_or_the_gateway_is() {
    let directory = tempfile::tempdir().unwrap();
    let start = || {
        let path = directory.path();
        Server::with(move |builder| {
            builder.data_dir(path).plain_push_gateways(true).push_backoff(Duration::from_millis(5))
        })
    };
    let gateway = Gateway::answering({
        let down = Arc::new(AtomicUsize::new(0));
        move |_| match down.fetch_add(1, Ordering::SeqCst) {
            0..5 => (StatusCode::SERVICE_UNAVAILABLE, json!({})),
            _ => (StatusCode::OK, json!({})),
        }
    })
    .await;
    let server = start().await;
    let event = {
        let (alice, bob, room) = pair(&server).await;
        set(&alice, gateway.pusher("key", &json!({}))).await;
        let event = bob.send_text(&room, "while it is down").await.unwrap();
        gateway.next().await;
        event
    };
    server.stop().await;
    let _server = start().await;
    assert_eq!(gateway.next().await["event_id"], event.as_str());
}
