//! Searching the events of rooms.

use matrix_homeserver::testing::TestUser;
use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

async fn search(user: &TestUser, criteria: Value) -> Value {
    page(user, criteria, "").await
}

async fn page(user: &TestUser, criteria: Value, next_batch: &str) -> Value {
    let path = match next_batch {
        "" => format!("{V3}/search"),
        next_batch => format!("{V3}/search?next_batch={}", matrix_homeserver::testing::encode(next_batch)),
    };
    let found = user.post(&path, json!({"search_categories": {"room_events": criteria}})).await.unwrap();
    found["search_categories"]["room_events"].clone()
}

fn bodies(found: &Value) -> Vec<&str> {
    let results = found["results"].as_array().unwrap().iter();
    results.map(|result| result["result"]["content"]["body"].as_str().unwrap_or_default()).collect()
}

#[tokio::test]
async fn messages_names_and_topics_are_found_by_the_beginnings_of_their_words() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({"name": "Martian club", "topic": "All about Mars"})).await.unwrap();
    alice.send_text(&room, "Martians and men").await.unwrap();
    alice.send_text(&room, "men only").await.unwrap();
    let found = search(&alice, json!({"search_term": "MARTIAN men", "order_by": "recent"})).await;
    assert_eq!(bodies(&found), ["Martians and men"]);
    assert_eq!(found["count"], 1);
    assert_eq!(found["highlights"], json!(["martian", "martians", "men"]));
    let twice = json!({"search_term": "men", "filter": {"rooms": [room, room]}});
    assert_eq!(search(&alice, twice).await["count"], 2, "a room is searched once");
    assert!(found["results"][0]["rank"].is_number());
    let types = |found: &Value| {
        let results = found["results"].as_array().unwrap();
        results.iter().map(|result| result["result"]["type"].clone()).collect::<Vec<_>>()
    };
    let everywhere = search(&alice, json!({"search_term": "mar", "order_by": "recent"})).await;
    assert_eq!(types(&everywhere), ["m.room.message", "m.room.topic", "m.room.name"]);
    let names = search(&alice, json!({"search_term": "mar", "keys": ["content.name"]})).await;
    assert_eq!(types(&names), ["m.room.name"]);
    let filtered = json!({"search_term": "mar", "filter": {"types": ["m.room.topic"]}});
    assert_eq!(types(&search(&alice, filtered).await), ["m.room.topic"]);
    assert_eq!(search(&alice, json!({"search_term": ""})).await["count"], 0);
}

#[tokio::test]
async fn results_are_ordered_and_paged_by_time_or_by_rank() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let one = alice.create_room(json!({})).await.unwrap();
    let two = alice.create_room(json!({})).await.unwrap();
    for (number, room) in [&one, &two, &one, &two].into_iter().enumerate() {
        let text = format!("needle{}", " hay".repeat((number + 2) % 4));
        alice.send_text(room, &text).await.unwrap();
    }
    let texts = ["needle hay hay", "needle hay hay hay", "needle", "needle hay"];
    let by_time: Vec<&str> = texts.iter().rev().copied().collect();
    let by_rank = [texts[2], texts[3], texts[0], texts[1]];
    for (order, expected) in [("recent", by_time), ("rank", by_rank.to_vec())] {
        let criteria = json!({"search_term": "needle", "order_by": order, "filter": {"limit": 3}});
        let first = search(&alice, criteria.clone()).await;
        assert_eq!(bodies(&first), expected[..3], "{order}");
        assert_eq!(first["count"], 4);
        let second = page(&alice, criteria, first["next_batch"].as_str().unwrap()).await;
        assert_eq!(bodies(&second), expected[3..], "{order}");
        assert_eq!(second["next_batch"], Value::Null);
    }
    let grouped = json!({
        "search_term": "needle", "order_by": "recent", "filter": {"limit": 1},
        "groupings": {"group_by": [{"key": "room_id"}, {"key": "sender"}]},
    });
    let found = search(&alice, grouped.clone()).await;
    let group = &found["groups"]["room_id"][two.as_str()];
    assert_eq!(group["results"], json!([found["results"][0]["result"]["event_id"]]));
    assert!(found["groups"]["sender"]["@alice:hs.test"]["order"].is_number());
    let rest = page(&alice, grouped, group["next_batch"].as_str().unwrap()).await;
    assert_eq!(bodies(&rest), [texts[1]], "only the group goes on");
}

#[tokio::test]
async fn results_come_with_what_was_around_them_and_with_the_state_of_their_rooms() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    alice
        .put(&format!("{V3}/profile/@alice:hs.test/displayname"), json!({"displayname": "A"}))
        .await
        .unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    for text in ["a", "b", "needle", "c", "d"] {
        alice.send_text(&room, text).await.unwrap();
    }
    let criteria = json!({
        "search_term": "needle", "include_state": true,
        "event_context": {"before_limit": 1, "after_limit": 2, "include_profile": true},
    });
    let found = search(&alice, criteria).await;
    let context = &found["results"][0]["context"];
    let texts = |list: &Value| {
        list.as_array().unwrap().iter().map(|event| event["content"]["body"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&context["events_before"]), ["b"]);
    assert_eq!(texts(&context["events_after"]), ["c", "d"]);
    assert_eq!(context["profile_info"]["@alice:hs.test"]["displayname"], "A");
    let state = found["state"][room.as_str()].as_array().unwrap();
    assert!(state.iter().any(|event| event["type"] == "m.room.create"));
    let start = context["start"].as_str().unwrap();
    let before = alice.get(&format!("{V3}/rooms/{room}/messages?dir=b&limit=1&from={start}")).await.unwrap();
    assert_eq!(before["chunk"][0]["content"]["body"], "a");
}

#[tokio::test]
async fn nobody_finds_what_he_may_not_see() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice
        .create_room(json!({
            "preset": "public_chat",
            "initial_state": [{"type": "m.room.history_visibility", "content": {"history_visibility": "joined"}}],
        }))
        .await
        .unwrap();
    alice.send_text(&room, "needle before").await.unwrap();
    assert_eq!(search(&bob, json!({"search_term": "needle"})).await["count"], 0);
    bob.join(&room).await.unwrap();
    let gone = alice.send_text(&room, "needle gone").await.unwrap();
    alice.redact(&room, &gone, "").await.unwrap();
    alice.send_text(&room, "needle during").await.unwrap();
    assert_eq!(bodies(&search(&bob, json!({"search_term": "needle"})).await), ["needle during"]);
    bob.leave(&room).await.unwrap();
    alice.send_text(&room, "needle after").await.unwrap();
    assert_eq!(search(&bob, json!({"search_term": "needle"})).await["count"], 0, "rooms that were left");
    let named = json!({"search_term": "needle", "filter": {"rooms": [room]}});
    assert_eq!(bodies(&search(&bob, named).await), ["needle during"], "are searched when they are named");
}

#[tokio::test]
async fn a_search_that_makes_no_sense_is_refused() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let post = |path: &'static str, body: Value| server.post(path, alice.access_token(), body);
    let path = "/_matrix/client/v3/search";
    for body in [
        json!({}),
        json!({"search_categories": {"room_events": {}}}),
        json!({"search_categories": {"room_events": {"search_term": "x", "order_by": "size"}}}),
        json!({"search_categories": {"room_events": {"search_term": "x", "keys": ["content.url"]}}}),
    ] {
        post(path, body).await.refused(400, "M_BAD_JSON");
    }
    let body = json!({"search_categories": {"room_events": {"search_term": "x"}}});
    post("/_matrix/client/v3/search?next_batch=x", body.clone()).await.refused(400, "M_INVALID_PARAM");
    post("/_matrix/client/v3/search?next_batch=s1", body).await.refused(400, "M_INVALID_PARAM");
    assert_eq!(post(path, json!({"search_categories": {}})).await.ok(), json!({"search_categories": {}}));
}
