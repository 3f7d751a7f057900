//! Syncing: what a client sees, and when.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

#[tokio::test]
async fn a_long_poll_wakes_for_messages_invitations_typing_receipts_and_account_data() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({"name": "here"})).await.unwrap();
    alice.sync(Duration::ZERO).await.unwrap();
    bob.sync(Duration::ZERO).await.unwrap();
    let invited = bob.wait_for_membership(&room, "@bob:hs.test", "invite");
    let ((), invited) = tokio::join!(async { alice.invite(&room, "@bob:hs.test").await.unwrap() }, invited);
    invited.unwrap();
    bob.join(&room).await.unwrap();
    alice.wait_for_membership(&room, "@bob:hs.test", "join").await.unwrap();
    let wait = bob.wait_for_text(&room, "hi");
    let (event_id, seen) = tokio::join!(async { alice.send_text(&room, "hi").await.unwrap() }, wait);
    assert_eq!(seen.unwrap()["event_id"], event_id.as_str());
    let path = format!("{V3}/rooms/{room}/typing/@alice:hs.test");
    let typing = |users: serde_json::Value| {
        let bob = bob.clone();
        async move {
            bob.wait_for(|event| event["type"] == "m.typing" && event["content"]["user_ids"] == users).await
        }
    };
    let (_, seen) = tokio::join!(
        async { alice.put(&path, json!({"typing": true, "timeout": 150})).await.unwrap() },
        typing(json!(["@alice:hs.test"])),
    );
    seen.unwrap();
    typing(json!([])).await.unwrap();
    let receipt = format!("{V3}/rooms/{room}/receipt/m.read/{event_id}");
    let wait = alice.wait_for(|event| event["type"] == "m.receipt");
    let (_, seen) = tokio::join!(async { bob.post(&receipt, json!({})).await.unwrap() }, wait);
    assert!(seen.unwrap()["content"][event_id.as_str()]["m.read"]["@bob:hs.test"]["ts"].is_number());
    let data = format!("{V3}/user/@alice:hs.test/account_data/x.y");
    let wait = alice.wait_for(|event| event["type"] == "x.y");
    let (_, seen) = tokio::join!(async { alice.put(&data, json!({"a": 1})).await.unwrap() }, wait);
    assert_eq!(seen.unwrap()["content"], json!({"a": 1}));
}

#[tokio::test]
async fn a_name_that_changes_and_presence_reach_others() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    bob.join(&room).await.unwrap();
    bob.sync(Duration::ZERO).await.unwrap();
    let status = format!("{V3}/presence/@alice:hs.test/status");
    alice.put(&status, json!({"presence": "unavailable"})).await.unwrap();
    let seen = bob
        .wait_for(|event| event["type"] == "m.presence" && event["content"]["presence"] == "unavailable")
        .await
        .unwrap();
    assert_eq!(seen["sender"], "@alice:hs.test");
    let path = format!("{V3}/profile/@alice:hs.test/displayname");
    alice.put(&path, json!({"displayname": "Alice"})).await.unwrap();
    bob.wait_for(|event| event["content"]["displayname"] == "Alice").await.unwrap();
}

#[tokio::test]
async fn nothing_to_tell_is_told_after_the_timeout() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let first = alice.get(&format!("{V3}/sync")).await.unwrap();
    let since = first["next_batch"].as_str().unwrap();
    let start = Instant::now();
    let path = format!("{V3}/sync?since={since}&timeout=200&set_presence=offline");
    alice.get(&path).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(180), "{:?}", start.elapsed());
}

#[tokio::test]
async fn filters_are_stored_named_and_applied() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    alice.send_text(&room, "a").await.unwrap();
    alice.send_event(&room, "x.y", json!({})).await.unwrap();
    let filter = json!({"room": {"timeline": {"types": ["x.y"]}}});
    let path = format!("{V3}/user/@alice:hs.test/filter");
    let filter_id =
        alice.post(&path, filter.clone()).await.unwrap()["filter_id"].as_str().unwrap().to_owned();
    assert_eq!(alice.get(&format!("{path}/{filter_id}")).await.unwrap(), filter);
    for filter in [filter_id, matrix_homeserver::testing::encode(&filter.to_string())] {
        let answer = alice.get(&format!("{V3}/sync?filter={filter}")).await.unwrap();
        let events = answer["rooms"]["join"][room.as_str()]["timeline"]["events"].as_array().unwrap().clone();
        assert_eq!(events.iter().map(|event| &event["type"]).collect::<Vec<_>>(), ["x.y"]);
    }
    let unknown = alice.get(&format!("{V3}/sync?filter=nope")).await.unwrap_err();
    assert_eq!(unknown.errcode(), Some("M_INVALID_PARAM"));
    let foreign = alice.get(&format!("{V3}/user/@bob:hs.test/filter/x")).await.unwrap_err();
    assert_eq!(foreign.errcode(), Some("M_FORBIDDEN"));
    let bad = alice.post(&path, json!({"room": 7})).await.unwrap_err();
    assert_eq!(bad.errcode(), Some("M_BAD_JSON"));
}

#[tokio::test]
async fn tokens_that_are_not_ours_are_refused() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    for since in ["x", "s", "s-1", "s99999999999999999999999", "%00"] {
        let refused = alice.get(&format!("{V3}/sync?since={since}")).await.unwrap_err();
        assert_eq!(refused.errcode(), Some("M_INVALID_PARAM"), "{since}");
    }
}

#[tokio::test]
async fn stopping_the_server_ends_long_polls_at_once() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    alice.sync(Duration::ZERO).await.unwrap();
    let polling = tokio::spawn(async move { alice.sync(Duration::from_secs(60)).await });
    let start = Instant::now();
    server.stop().await;
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let _ = polling.await.unwrap();
}

#[tokio::test]
async fn members_are_loaded_as_they_are_needed_and_told_once() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let carol = server.hs.user("carol").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    bob.join(&room).await.unwrap();
    carol.join(&room).await.unwrap();
    for number in 0..3 {
        alice.send_text(&room, &number.to_string()).await.unwrap();
    }
    let lazily = |redundant: bool| {
        let lazy = json!({"lazy_load_members": true, "include_redundant_members": redundant});
        let filter = json!({"room": {"state": lazy, "timeline": {"limit": 2}}});
        matrix_homeserver::testing::encode(&filter.to_string())
    };
    let next = |filter: String, since: String| {
        let (alice, room) = (alice.clone(), room.clone());
        async move {
            let told = alice.get(&format!("{V3}/sync?timeout=0&filter={filter}{since}")).await.unwrap();
            let state = told["rooms"]["join"][room.as_str()]["state"]["events"].as_array().cloned();
            let members =
                state.unwrap_or_default().into_iter().filter(|event| event["type"] == "m.room.member");
            let keys: Vec<_> = members.map(|event| event["state_key"].clone()).collect();
            (keys, format!("&since={}", told["next_batch"].as_str().unwrap()))
        }
    };
    let (members, first) = next(lazily(false), String::new()).await;
    assert_eq!(members, ["@alice:hs.test"]);
    bob.send_text(&room, "hi").await.unwrap();
    let (members, second) = next(lazily(false), first.clone()).await;
    assert_eq!(members, ["@bob:hs.test"]);
    let (members, _) = next(lazily(false), first).await;
    assert_eq!(members, ["@bob:hs.test"], "the answer before may be lost");
    bob.send_text(&room, "again").await.unwrap();
    let (members, third) = next(lazily(false), second.clone()).await;
    assert_eq!(members, Vec::<serde_json::Value>::new());
    let (members, _) = next(lazily(true), second).await;
    assert_eq!(members, ["@bob:hs.test"]);
    bob.put(&format!("{V3}/profile/@bob:hs.test/displayname"), json!({"displayname": "B"})).await.unwrap();
    for number in 0..3 {
        bob.send_text(&room, &number.to_string()).await.unwrap();
    }
    let (members, _) = next(lazily(false), third).await;
    assert_eq!(members, ["@bob:hs.test"], "who has changed is told again");
}
