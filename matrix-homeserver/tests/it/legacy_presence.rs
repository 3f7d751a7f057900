//! The client-server API of 2014: presence and the presence list.

use std::time::Duration;

use matrix_homeserver::testing::encode;
use serde_json::{Value, json};

use crate::{
    legacy::{User, at},
    support::Server,
};

fn status(of: &User<'_>) -> String {
    format!("/presence/{}/status", encode(&of.id()))
}

fn roster(of: &User<'_>) -> String {
    format!("/presence/list/{}", encode(&of.id()))
}

#[tokio::test]
async fn states_that_only_2014_knows_are_kept() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let room = alice.create(json!({})).await;
    bob.post(&format!("{}/join", at(&room)), json!({})).await.ok();
    let today = format!("/_matrix/client/v3{}", status(&alice));
    for (state, to_others, to_self, now) in [
        ("free_for_chat", "free_for_chat", "free_for_chat", "online"),
        ("hidden", "offline", "hidden", "offline"),
        ("unavailable", "unavailable", "unavailable", "unavailable"),
    ] {
        alice.put(&status(&alice), json!({"presence": state, "status_msg": "m"})).await.ok();
        assert_eq!(bob.get(&status(&alice)).await.ok()["presence"], to_others);
        let own = alice.get(&status(&alice)).await.ok();
        assert_eq!((&own["presence"], &own["status_msg"]), (&json!(to_self), &json!("m")));
        assert_eq!(server.get(&today, bob.user.access_token()).await.ok()["presence"], now);
    }
    alice.put(&status(&alice), json!({"presence": "asleep"})).await.refused(400, "M_INVALID_PARAM");
    bob.put(&status(&alice), json!({"presence": "online"})).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn who_is_on_the_list_is_seen_without_a_common_room() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    alice.get(&status(&bob)).await.refused(403, "M_FORBIDDEN");
    let mut from = bob.get("/initialSync").await.ok()["end"].as_str().unwrap().to_owned();
    alice.post(&roster(&alice), json!({"invite": [bob.id()]})).await.ok();
    let waiting = json!([{"user_id": bob.id(), "accepted": false}]);
    assert_eq!(alice.get(&roster(&alice)).await.ok(), waiting);
    alice.get(&status(&bob)).await.refused(403, "M_FORBIDDEN");
    let invitation = stream(&bob, &mut from, |event| event["type"] == "m.presence_invite").await;
    let both = json!({"observer_user": alice.id(), "observed_user": bob.id()});
    assert_eq!(invitation["content"], both);
    // Who has missed it finds it where everything starts.
    let sync = bob.get("/initialSync").await.ok();
    assert!(sync["presence"].as_array().unwrap().contains(&invitation), "{}", sync["presence"]);
    let mut from = alice.get("/initialSync").await.ok()["end"].as_str().unwrap().to_owned();
    bob.post(&roster(&bob), json!({"accept": [alice.id()]})).await.ok();
    let accepted = stream(&alice, &mut from, |event| event["type"] == "m.presence_accept").await;
    assert_eq!(accepted["content"], both);
    bob.put(&status(&bob), json!({"presence": "free_for_chat"})).await.ok();
    let is_bob = |event: &Value| {
        event["type"] == "m.presence"
            && event["content"]["user_id"] == "@bob:hs.test"
            && event["content"]["presence"] == "free_for_chat"
    };
    stream(&alice, &mut from, is_bob).await;
    let list = alice.get(&roster(&alice)).await.ok();
    assert_eq!((&list[0]["presence"], &list[0]["accepted"]), (&json!("free_for_chat"), &json!(true)));
    alice
        .user
        .wait_for(|event| event["type"] == "m.presence" && event["sender"] == "@bob:hs.test")
        .await
        .unwrap();
    alice.post(&roster(&alice), json!({"drop": [bob.id()]})).await.ok();
    alice.get(&status(&bob)).await.refused(403, "M_FORBIDDEN");
}

async fn stream(user: &User<'_>, from: &mut String, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..50 {
        let part = user.get(&format!("/events?from={from}&timeout=20000")).await.ok();
        part["end"].as_str().unwrap().clone_into(from);
        if let Some(event) = part["chunk"].as_array().unwrap().iter().find(|event| wanted(event)) {
            return event.clone();
        }
    }
    panic!("what was waited for did not come");
}

#[tokio::test]
async fn a_reverse_invitation_accepts_and_a_denial_is_told() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    alice.post(&roster(&alice), json!({"invite": [bob.id()]})).await.ok();
    bob.post(&roster(&bob), json!({"invite": [alice.id()]})).await.ok();
    for user in [&alice, &bob] {
        assert_eq!(user.get(&roster(user)).await.ok()[0]["accepted"], true);
    }
    let carol = User::new(&server, "carol").await;
    carol.post(&roster(&carol), json!({"invite": [bob.id()]})).await.ok();
    let mut from = carol.get("/initialSync").await.ok()["end"].as_str().unwrap().to_owned();
    bob.post(&roster(&bob), json!({"deny": [carol.id()]})).await.ok();
    stream(&carol, &mut from, |event| event["type"] == "m.presence_deny").await;
    assert_eq!(carol.get(&roster(&carol)).await.ok(), json!([]));
    carol.get(&status(&bob)).await.refused(403, "M_FORBIDDEN");
}

#[tokio::test]
async fn lists_are_changed_by_their_owners_about_users_that_exist() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    bob.get(&roster(&alice)).await.refused(403, "M_FORBIDDEN");
    bob.post(&roster(&alice), json!({"drop": [bob.id()]})).await.refused(403, "M_FORBIDDEN");
    alice.post(&roster(&alice), json!({"invite": ["@nobody:hs.test"]})).await.refused(404, "M_NOT_FOUND");
    alice.post(&roster(&alice), json!({"accept": [bob.id()]})).await.refused(404, "M_NOT_FOUND");
    alice.post(&roster(&alice), json!({"invite": ["bob"]})).await.refused(400, "M_BAD_JSON");
    let many: Vec<_> = (0..101).map(|_| bob.id()).collect();
    alice.post(&roster(&alice), json!({"drop": many})).await.refused(400, "M_INVALID_PARAM");
    alice.post(&roster(&alice), json!({})).await.ok();
}

#[tokio::test]
async fn who_is_not_connected_any_more_is_offline_after_a_while() {
    let server = Server::with(|builder| builder.presence_timeout(Duration::from_millis(100))).await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let room = alice.create(json!({})).await;
    bob.post(&format!("{}/join", at(&room)), json!({})).await.ok();
    let mut from = bob.get("/initialSync").await.ok()["end"].as_str().unwrap().to_owned();
    alice.get("/events").await.ok();
    let alice_is = |state: &'static str| {
        move |event: &Value| {
            event["content"]["user_id"] == "@alice:hs.test" && event["content"]["presence"] == state
        }
    };
    stream(&bob, &mut from, alice_is("online")).await;
    stream(&bob, &mut from, alice_is("offline")).await;
    assert_eq!(bob.get(&status(&alice)).await.ok()["presence"], "offline");
}
