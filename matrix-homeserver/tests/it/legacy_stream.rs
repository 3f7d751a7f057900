//! The client-server API of 2014: initial syncs and the event stream.

use matrix_homeserver::testing::encode;
use serde_json::{Value, json};

use crate::{
    legacy::{User, at, is_of_2014},
    support::Server,
};

fn list<'v>(of: &'v Value, field: &str) -> &'v [Value] {
    of[field].as_array().unwrap_or_else(|| panic!("{field} is a list: {of}"))
}

/// Reads the stream until something comes that is wanted.
async fn until(user: &User<'_>, from: &mut String, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..50 {
        let part = user.get(&format!("/events?from={from}&timeout=20000")).await.ok();
        assert_eq!(part["start"], from.as_str());
        part["end"].as_str().unwrap().clone_into(from);
        if let Some(event) = list(&part, "chunk").iter().find(|event| wanted(event)) {
            return event.clone();
        }
    }
    panic!("what was waited for did not come");
}

async fn now(user: &User<'_>) -> String {
    user.get("/events").await.ok()["end"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_initial_sync_shows_every_room_with_its_last_events() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let room = alice.create(json!({"name": "n"})).await;
    let invited = alice.create(json!({"visibility": "private", "invite": [bob.id()]})).await;
    let left = alice.create(json!({})).await;
    for room in [&room, &left] {
        bob.post(&format!("{}/join", at(room)), json!({})).await.ok();
    }
    bob.post(&format!("{}/leave", at(&left)), json!({})).await.ok();
    alice.say(&room, "one").await;
    let last = alice.say(&room, "two").await;
    bob.post(&format!("{}/receipt/m.read/{}", at(&room), encode(&last)), json!({})).await.ok();
    let sync = bob.get("/initialSync?limit=1").await.ok();
    assert_eq!(list(&sync, "rooms").len(), 2);
    let find = |sync: &Value, room: &str| {
        list(sync, "rooms").iter().find(|found| found["room_id"] == room).cloned().expect("the room is there")
    };
    let joined = find(&sync, &room);
    assert_eq!((&joined["membership"], &joined["visibility"]), (&json!("join"), &json!("public")));
    assert_eq!(joined["account_data"], json!([]));
    let chunk = list(&joined["messages"], "chunk");
    assert_eq!(chunk.len(), 1);
    assert_eq!(chunk[0]["content"]["body"], "two");
    chunk.iter().chain(list(&joined, "state")).for_each(is_of_2014);
    // What is before is to be had from where the chunk starts.
    let start = joined["messages"]["start"].as_str().unwrap();
    let before = bob.get(&format!("{}/messages?dir=b&limit=1&from={start}", at(&room))).await.ok();
    assert_eq!(before["chunk"][0]["content"]["body"], "one");
    let invitation = find(&sync, &invited);
    assert_eq!((&invitation["membership"], &invitation["inviter"]), (&json!("invite"), &json!(alice.id())));
    is_of_2014(&invitation["invite"]);
    assert_eq!(sync["receipts"][0]["room_id"], room.as_str());
    assert!(sync["receipts"][0]["content"][&last]["m.read"][bob.id()]["ts"].is_u64(), "{}", sync["receipts"]);
    let all = bob.get("/initialSync?limit=1&archived=true").await.ok();
    assert_eq!(find(&all, &left)["membership"], "leave");
    bob.get("/initialSync?limit=x").await.refused(400, "M_BAD_PAGINATION");
}

#[tokio::test]
async fn an_initial_sync_of_one_room_shows_who_is_there() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let room = alice.create(json!({})).await;
    bob.get(&format!("{}/initialSync", at(&room))).await.refused(403, "M_FORBIDDEN");
    bob.post(&format!("{}/join", at(&room)), json!({})).await.ok();
    alice.say(&room, "hi").await;
    let sync = bob.get(&format!("{}/initialSync?limit=2", at(&room))).await.ok();
    assert_eq!((&sync["room_id"], &sync["membership"]), (&json!(room), &json!("join")));
    assert_eq!(list(&sync["messages"], "chunk").len(), 2);
    let there: Vec<_> = list(&sync, "presence").iter().map(|event| &event["content"]["user_id"]).collect();
    assert_eq!(there, [&json!(alice.id()), &json!(bob.id())]);
    bob.post(&format!("{}/leave", at(&room)), json!({})).await.ok();
    alice.say(&room, "unheard").await;
    let sync = bob.get(&format!("{}/initialSync?limit=1", at(&room))).await.ok();
    assert_eq!(sync["membership"], "leave");
    assert_eq!(sync["messages"]["chunk"][0]["content"]["membership"], "leave");
}

#[tokio::test]
async fn the_stream_tells_what_happens_in_all_rooms_in_order() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let (one, two) = (alice.create(json!({})).await, alice.create(json!({})).await);
    for room in [&one, &two] {
        bob.post(&format!("{}/join", at(room)), json!({})).await.ok();
    }
    let from = bob.get("/initialSync?limit=0").await.ok()["end"].as_str().unwrap().to_owned();
    for (room, text) in [(&one, "a"), (&two, "b"), (&one, "c"), (&two, "d")] {
        alice.say(room, text).await;
    }
    let mut texts = Vec::new();
    let mut token = from.clone();
    while texts.len() < 4 {
        let part = bob.get(&format!("/events?from={token}&timeout=0&limit=3")).await.ok();
        let said = list(&part, "chunk").iter().filter(|event| event["type"] == "m.room.message");
        said.clone().for_each(is_of_2014);
        texts.extend(said.map(|event| event["content"]["body"].as_str().unwrap().to_owned()));
        part["end"].as_str().unwrap().clone_into(&mut token);
    }
    assert_eq!(texts, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn the_stream_waits_for_what_comes() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let room = alice.create(json!({})).await;
    bob.post(&format!("{}/join", at(&room)), json!({})).await.ok();
    let mut from = now(&bob).await;
    let said = |text: &'static str| move |event: &Value| event["content"]["body"] == text;
    let (event, _) = tokio::join!(until(&bob, &mut from, said("hi")), alice.say(&room, "hi"));
    is_of_2014(&event);
    let typing = format!("{}/typing/{}", at(&room), encode(&alice.id()));
    let types = |event: &Value| event["type"] == "m.typing";
    let (event, _) = tokio::join!(
        until(&bob, &mut from, types),
        alice.put(&typing, json!({"typing": true, "timeout": 30000}))
    );
    assert_eq!(event["content"]["user_ids"], json!([alice.id()]));
    assert_eq!(event["room_id"], room.as_str());
    // What is said ends the typing.
    let silent = |event: &Value| event["type"] == "m.typing" && event["content"]["user_ids"] == json!([]);
    tokio::join!(until(&bob, &mut from, silent), alice.say(&room, "done"));
    let feedback = json!({"type": "delivered", "target_event_id": "e3b2icys"});
    let path = format!("{}/send/m.room.message.feedback/f1", at(&room));
    let is_feedback = |event: &Value| event["type"] == "m.room.message.feedback";
    let (event, _) = tokio::join!(until(&bob, &mut from, is_feedback), alice.put(&path, feedback.clone()));
    assert_eq!(event["content"], feedback);
}

#[tokio::test]
async fn the_stream_shows_only_what_happened_while_the_user_was_there() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let from = now(&bob).await;
    let room = alice.create(json!({"visibility": "private"})).await;
    alice.say(&room, "before").await;
    alice.post(&format!("{}/invite", at(&room)), json!({"user_id": bob.id()})).await.ok();
    alice.say(&room, "invited").await;
    bob.post(&format!("{}/join", at(&room)), json!({})).await.ok();
    alice.say(&room, "during").await;
    bob.post(&format!("{}/leave", at(&room)), json!({})).await.ok();
    alice.say(&room, "after").await;
    let part = bob.get(&format!("/events?from={from}&timeout=0")).await.ok();
    let in_room = list(&part, "chunk").iter().filter(|event| event["room_id"] == room.as_str());
    let seen: Vec<_> = in_room
        .map(|event| event["content"]["body"].as_str().or(event["content"]["membership"].as_str()).unwrap())
        .collect();
    assert_eq!(seen, ["invite", "join", "during", "leave"]);
}

#[tokio::test]
async fn a_world_readable_room_is_watched_from_outside() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let room = alice.create(json!({})).await;
    let path = format!("/events?room_id={}", encode(&room));
    bob.get(&path).await.refused(403, "M_FORBIDDEN");
    let body = json!({"history_visibility": "world_readable"});
    alice.put(&format!("{}/state/m.room.history_visibility", at(&room)), body).await.ok();
    let from = bob.get(&path).await.ok()["end"].as_str().unwrap().to_owned();
    let path = format!("{path}&from={from}&timeout=20000");
    let (part, _) = tokio::join!(bob.get(&path), alice.say(&room, "seen"));
    assert_eq!(part.ok()["chunk"][0]["content"]["body"], "seen");
}

#[tokio::test]
async fn single_events_are_found_by_those_who_may_see_them() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let room = alice.create(json!({})).await;
    let event = alice.say(&room, "hi").await;
    let path = format!("/events/{}", encode(&event));
    is_of_2014(&alice.get(&path).await.ok());
    bob.get(&path).await.refused(404, "M_NOT_FOUND");
    alice.get("/events/%24nothing").await.refused(404, "M_NOT_FOUND");
    alice.get("/events/nonsense").await.refused(404, "M_NOT_FOUND");
    let today = server.get(&format!("/_matrix/client/v3{path}"), alice.user.access_token()).await.ok();
    assert_eq!((&today["user_id"], &today["content"]["body"]), (&Value::Null, &json!("hi")));
}

#[tokio::test]
async fn bad_tokens_of_the_stream_have_a_code_of_their_own() {
    let server = Server::start().await;
    let alice = User::new(&server, "alice").await;
    for bad in ["x", "s", "s-1", "s1_2", "%00", "s99999999999999999999999"] {
        alice.get(&format!("/events?from={bad}")).await.refused(400, "M_BAD_PAGINATION");
    }
    alice.get("/events?timeout=x").await.refused(400, "M_INVALID_PARAM");
    alice.get("/events?timeout=-1").await.refused(400, "M_INVALID_PARAM");
    alice.get("/events?room_id=x").await.refused(400, "M_INVALID_PARAM");
    // A token of before the server lost its memory is ahead of everything.
    alice.get("/events?from=s999999999&timeout=0").await.ok();
    for path in ["/initialSync", "/events"] {
        server.get(&format!("/_matrix/client/r0{path}"), alice.user.access_token()).await.ok();
    }
}

#[tokio::test]
async fn those_who_are_ignored_are_not_heard() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let room = alice.create(json!({})).await;
    bob.post(&format!("{}/join", at(&room)), json!({})).await.ok();
    let ignored = format!("/_matrix/client/v3/user/{}/account_data/m.ignored_user_list", encode(&bob.id()));
    let body = json!({"ignored_users": {alice.id(): {}}});
    server.put(&ignored, bob.user.access_token(), body).await.ok();
    let from = now(&bob).await;
    alice.say(&room, "unheard").await;
    let said = alice.say(&room, "unheard").await;
    alice.put(&format!("{}/typing/{}", at(&room), encode(&alice.id())), json!({"typing": true})).await.ok();
    alice.post(&format!("{}/receipt/m.read/{}", at(&room), encode(&said)), json!({})).await.ok();
    alice.create(json!({"invite": [bob.id()]})).await;
    let part = bob.get(&format!("/events?from={from}&timeout=0")).await.ok();
    assert!(list(&part, "chunk").iter().all(|event| event["sender"] != alice.id().as_str()), "{part}");
    let typing_or_read = |event: &&Value| ["m.typing", "m.receipt"].iter().any(|kind| event["type"] == *kind);
    for event in list(&part, "chunk").iter().filter(typing_or_read) {
        assert!(!event["content"].to_string().contains(&alice.id()), "{part}");
    }
    let sync = bob.get("/initialSync?limit=1").await.ok();
    assert_eq!(list(&sync, "rooms").len(), 1, "{sync}");
    assert!(!sync["receipts"].to_string().contains(&alice.id()), "{sync}");
}
