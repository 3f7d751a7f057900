//! What somebody sees of a room who is not in it any more, or was not yet.

use matrix_homeserver::testing::TestUser;
use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";
const OF_2014: &str = "/_matrix/client/api/v1";

/// The topic that somebody reads in an answer with state.
fn topics(state: &Value) -> Vec<&str> {
    let events = state.as_array().into_iter().flatten();
    events.filter_map(|event| event["content"]["topic"].as_str()).collect()
}

async fn token(user: &TestUser) -> String {
    user.get(&format!("{V3}/sync")).await.unwrap()["next_batch"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_is_banned_after_leaving_sees_the_room_as_it_was_when_they_left() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    alice.set_state(&room, "m.room.topic", "", json!({"topic": "before"})).await.unwrap();
    let since = token(&bob).await;
    bob.leave(&room).await.unwrap();
    alice.set_state(&room, "m.room.topic", "", json!({"topic": "after"})).await.unwrap();
    server.hs.user("carol").await.unwrap().join(&room).await.unwrap();
    alice.ban(&room, bob.user_id(), "spam").await.unwrap();
    alice.set_state(&room, "m.room.name", "", json!({"name": "later"})).await.unwrap();

    let at = format!("{V3}/rooms/{room}");
    assert_eq!(bob.state(&room, "m.room.topic", "").await.unwrap().unwrap()["topic"], "before");
    assert_eq!(topics(&bob.get(&format!("{at}/state")).await.unwrap()), ["before"]);
    let now = token(&alice).await;
    for query in [String::new(), format!("?at={now}")] {
        let members = bob.get(&format!("{at}/members{query}")).await.unwrap();
        assert!(!members.to_string().contains("@carol:hs.test"), "{members}");
    }
    let messages = bob.messages(&room, 100).await.unwrap();
    let ban = messages.iter().find(|event| event["content"]["membership"] == "ban").expect("one's own ban");
    let context = bob.get(&format!("{at}/context/{}", ban["event_id"].as_str().unwrap())).await.unwrap();
    assert_eq!(topics(&context["state"]), ["before"]);

    let include_leave = "filter={\"room\":{\"include_leave\":true}}";
    for query in
        [format!("since={since}"), include_leave.to_owned(), format!("{include_leave}&since={since}")]
    {
        let told = bob.get(&format!("{V3}/sync?{query}")).await.unwrap();
        let left = &told["rooms"]["leave"][&room];
        assert!(left.is_object(), "{query}: {told}");
        let left = left.to_string();
        assert!(!left.contains("after") && !left.contains("@carol:hs.test"), "{query}: {left}");
    }
}

#[tokio::test]
async fn who_was_not_there_does_not_learn_who_was() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let open = json!({"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}});
    let room = alice.create_room(json!({"preset": "public_chat", "initial_state": [open]})).await.unwrap();
    let eve = server.hs.user("eve").await.unwrap();
    eve.join(&room).await.unwrap();
    let then = token(&eve).await;
    eve.leave(&room).await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    bob.join(&room).await.unwrap();
    let members = |user: &TestUser, at: &str| {
        let (path, token) = (format!("{V3}/rooms/{room}/members?at={at}"), user.access_token().to_owned());
        let server = &server;
        async move { server.get(&path, &token).await }
    };
    members(&bob, &then).await.refused(403, "M_FORBIDDEN");
    assert!(members(&alice, &then).await.ok().to_string().contains("@eve:hs.test"));
    members(&bob, &token(&bob).await).await.ok();
}

#[tokio::test]
async fn who_has_left_hears_no_more_of_who_types_and_reads() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let said = alice.send_text(&room, "hello").await.unwrap();
    bob.leave(&room).await.unwrap();
    let from = bob.get(&format!("{OF_2014}/events")).await.unwrap()["end"].as_str().unwrap().to_owned();
    let typing = format!("{V3}/rooms/{room}/typing/@alice:hs.test");
    alice.put(&typing, json!({"typing": true})).await.unwrap();
    alice.post(&format!("{V3}/rooms/{room}/receipt/m.read/{said}"), json!({})).await.unwrap();
    let seen = |user: &TestUser| {
        let (path, user) = (format!("{OF_2014}/events?room_id={room}&from={from}"), user.clone());
        async move { user.get(&path).await.unwrap()["chunk"].to_string() }
    };
    let by_alice = seen(&alice).await;
    assert!(by_alice.contains("m.typing") && by_alice.contains("m.receipt"), "{by_alice}");
    let by_bob = seen(&bob).await;
    assert!(!by_bob.contains("m.typing") && !by_bob.contains("m.receipt"), "{by_bob}");
}

#[tokio::test]
async fn an_invitation_that_was_declined_hides_no_other_room_that_was_left() {
    let server = Server::start().await;
    let (alice, bob, left) = server.room_of_two().await;
    let declined = alice.create_room(json!({"invite": ["@bob:hs.test"]})).await.unwrap();
    for room in [left.as_str(), declined.as_str()] {
        bob.leave(room).await.unwrap();
    }
    let seen = bob.get(&format!("{V3}/initialSync?archived=true")).await.unwrap();
    let rooms: Vec<_> = seen["rooms"].as_array().unwrap().iter().map(|room| &room["room_id"]).collect();
    assert_eq!(rooms, [&json!(left)]);
}
