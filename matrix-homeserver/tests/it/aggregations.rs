//! What the server tells about an event from the events that relate to it.

use matrix_homeserver::testing::{PASSWORD, TestUser};
use serde_json::{Value, json};

use crate::support::Server;

const V1: &str = "/_matrix/client/v1";
const V3: &str = "/_matrix/client/v3";

async fn relate(user: &TestUser, room: &str, rel_type: &str, parent: &str, body: &str) -> String {
    let mut content = json!({
        "msgtype": "m.text", "body": body, "m.relates_to": {"rel_type": rel_type, "event_id": parent},
    });
    if rel_type == "m.replace" {
        content["m.new_content"] = json!({"msgtype": "m.text", "body": body});
    }
    user.send_event(room, "m.room.message", content).await.unwrap().to_string()
}

async fn event(user: &TestUser, room: &str, event_id: &str) -> Value {
    user.get(&format!("{V3}/rooms/{room}/event/{event_id}")).await.unwrap()
}

fn with_id<'v>(events: &'v Value, event_id: &str) -> &'v Value {
    let events = events.as_array().unwrap();
    events.iter().find(|event| event["event_id"] == event_id).expect("the event is in the list")
}

#[tokio::test]
async fn the_newest_edit_of_the_same_sender_is_bundled_wherever_the_event_is_shown() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let original = alice.send_text(&room, "first").await.unwrap().to_string();
    let mut edits = Vec::new();
    for body in ["second", "third"] {
        let edit = relate(&alice, &room, "m.replace", &original, body).await;
        let sent = event(&alice, &room, &edit).await["origin_server_ts"].as_u64().unwrap();
        edits.push((sent, edit));
    }
    // The time decides, and the ID between edits of the same millisecond.
    let (_, newest) = edits.into_iter().max().unwrap();
    relate(&bob, &room, "m.replace", &original, "forged").await;
    let is_newest = |event: &Value| {
        let edit = &event["unsigned"]["m.relations"]["m.replace"];
        assert_eq!(edit["event_id"], newest.as_str(), "{event}");
        assert_eq!(edit["sender"], "@alice:hs.test");
        assert_eq!(event["content"]["body"], "first", "the event itself stays as it was");
    };
    is_newest(&event(&bob, &room, &original).await);
    let messages = bob.get(&format!("{V3}/rooms/{room}/messages?dir=b&limit=50")).await.unwrap();
    is_newest(with_id(&messages["chunk"], &original));
    let context = bob.get(&format!("{V3}/rooms/{room}/context/{original}")).await.unwrap();
    is_newest(&context["event"]);
    let sync = bob.get(&format!("{V3}/sync?timeout=0")).await.unwrap();
    is_newest(with_id(&sync["rooms"]["join"][&room]["timeline"]["events"], &original));
}

#[tokio::test]
async fn an_edit_that_is_redacted_or_of_another_kind_does_not_count() {
    let server = Server::start().await;
    let (alice, _, room) = server.room_of_two().await;
    let original = alice.send_text(&room, "first").await.unwrap().to_string();
    let second = relate(&alice, &room, "m.replace", &original, "second").await;
    let third = relate(&alice, &room, "m.replace", &original, "third").await;
    let other_type =
        json!({"m.new_content": {}, "m.relates_to": {"rel_type": "m.replace", "event_id": original}});
    alice.send_event(&room, "x.y", other_type).await.unwrap();
    alice.redact(&room, &third, "").await.unwrap();
    let shown = event(&alice, &room, &original).await;
    assert_eq!(shown["unsigned"]["m.relations"]["m.replace"]["event_id"], second.as_str());
    alice.redact(&room, &original, "").await.unwrap();
    let shown = event(&alice, &room, &original).await;
    assert_eq!(shown["unsigned"]["m.relations"], Value::Null, "{shown}");
}

#[tokio::test]
async fn references_are_listed_and_annotations_are_not() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let parent = alice.send_text(&room, "x").await.unwrap().to_string();
    let first = relate(&bob, &room, "m.reference", &parent, "a").await;
    let second = relate(&alice, &room, "m.reference", &parent, "b").await;
    let reaction = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": parent, "key": "+"}});
    bob.send_event(&room, "m.reaction", reaction).await.unwrap();
    let relations = event(&alice, &room, &parent).await["unsigned"]["m.relations"].clone();
    assert_eq!(relations, json!({"m.reference": {"chunk": [{"event_id": first}, {"event_id": second}]}}));
}

#[tokio::test]
async fn the_same_annotation_is_accepted_once() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let parent = alice.send_text(&room, "x").await.unwrap().to_string();
    let reaction =
        |key: &str| json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": parent, "key": key}});
    let first = bob.send_event_as(&room, "m.reaction", "t", reaction("+")).await.unwrap();
    let again = bob.send_event(&room, "m.reaction", reaction("+")).await.unwrap_err();
    assert_eq!((again.status(), again.errcode()), (Some(400), Some("M_DUPLICATE_ANNOTATION")));
    let repeated = bob.send_event_as(&room, "m.reaction", "t", reaction("+")).await.unwrap();
    assert_eq!(repeated, first, "the same request is not another annotation");
    bob.send_event(&room, "m.reaction", reaction("-")).await.unwrap();
    alice.send_event(&room, "m.reaction", reaction("+")).await.unwrap();
    bob.redact(&room, &first, "").await.unwrap();
    bob.send_event(&room, "m.reaction", reaction("+")).await.unwrap();
}

#[tokio::test]
async fn related_events_are_paged_both_ways_between_two_points_and_followed() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let parent = alice.send_text(&room, "x").await.unwrap().to_string();
    let mut replies = Vec::new();
    for number in 0..5 {
        replies.push(relate(&bob, &room, "m.thread", &parent, &number.to_string()).await);
    }
    let reaction = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": replies[4], "key": "+"}});
    let reaction = alice.send_event(&room, "m.reaction", reaction).await.unwrap().to_string();
    let path = format!("{V1}/rooms/{room}/relations/{parent}");
    let ids = |page: &Value| {
        let events = page["chunk"].as_array().unwrap().iter();
        events.map(|event| event["event_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let newest: Vec<_> = replies.iter().rev().cloned().collect();
    let first = alice.get(&format!("{path}?limit=2")).await.unwrap();
    assert_eq!(ids(&first), newest[..2]);
    let next = first["next_batch"].as_str().unwrap();
    let second = alice.get(&format!("{path}/m.thread?limit=10&from={next}")).await.unwrap();
    assert_eq!(ids(&second), newest[2..]);
    assert_eq!(second["next_batch"], Value::Null);
    assert_eq!(second["prev_batch"], next);
    let between = alice.get(&format!("{path}?limit=10&to={next}")).await.unwrap();
    assert_eq!(ids(&between), newest[..2]);
    let forward = alice.get(&format!("{path}/m.thread/m.room.message?dir=f&limit=3")).await.unwrap();
    assert_eq!(ids(&forward), replies[..3]);
    let all = alice.get(&format!("{path}?recurse=true&limit=50")).await.unwrap();
    assert_eq!(ids(&all)[0], reaction);
    assert!(all["recursion_depth"].as_u64().unwrap() >= 2);
    let none = alice.get(&format!("{path}/m.annotation")).await.unwrap();
    assert_eq!(none["chunk"], json!([]));
    let sync = alice.get(&format!("{V3}/sync?timeout=0")).await.unwrap();
    let token = sync["next_batch"].as_str().unwrap();
    let from_sync = alice.get(&format!("{path}?limit=1&from={token}")).await.unwrap();
    assert_eq!(ids(&from_sync), newest[..1], "tokens of /sync are understood");
    for query in ["dir=x", "from=x", "to=x", "limit=x"] {
        let refused = alice.get(&format!("{path}?{query}")).await.unwrap_err();
        assert_eq!(refused.errcode(), Some("M_INVALID_PARAM"), "{query}");
    }
}

#[tokio::test]
async fn events_of_ignored_users_are_not_shown_and_not_counted() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let root = alice.send_text(&room, "root").await.unwrap().to_string();
    let own = relate(&alice, &room, "m.thread", &root, "own").await;
    let theirs = relate(&bob, &room, "m.thread", &root, "theirs").await;
    relate(&bob, &room, "m.reference", &root, "theirs").await;
    let ignored = format!("{V3}/user/@alice:hs.test/account_data/m.ignored_user_list");
    alice.put(&ignored, json!({"ignored_users": {"@bob:hs.test": {}}})).await.unwrap();
    let relations = event(&alice, &room, &root).await["unsigned"]["m.relations"].clone();
    assert_eq!(relations["m.thread"]["count"], 1);
    assert_eq!(relations["m.thread"]["latest_event"]["event_id"], own.as_str());
    assert_eq!(relations["m.reference"], Value::Null);
    let hidden = alice.get(&format!("{V3}/rooms/{room}/event/{theirs}")).await.unwrap_err();
    assert_eq!(hidden.errcode(), Some("M_NOT_FOUND"));
    let messages = alice.messages(&room, 50).await.unwrap();
    assert!(messages.iter().all(|event| event["event_id"] != theirs.as_str()));
    let count = event(&bob, &room, &root).await["unsigned"]["m.relations"]["m.thread"]["count"].clone();
    assert_eq!(count, 2, "others see everything");
}

#[tokio::test]
async fn who_has_left_learns_nothing_of_later_edits() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let original = alice.send_text(&room, "first").await.unwrap().to_string();
    bob.leave(&room).await.unwrap();
    relate(&alice, &room, "m.replace", &original, "second").await;
    assert_eq!(event(&bob, &room, &original).await["unsigned"]["m.relations"], Value::Null);
}

#[tokio::test]
async fn what_an_erased_user_said_is_kept_from_those_who_come_later() {
    let server = Server::start().await;
    let (alice, _, room) = server.room_of_two().await;
    let gone = server.hs.user("gone").await.unwrap();
    gone.join(&room).await.unwrap();
    let said = gone.send_text(&room, "remember me not").await.unwrap().to_string();
    let path = format!("{V3}/account/deactivate");
    let challenge = server.post(&path, gone.access_token(), json!({"erase": true})).await;
    assert_eq!(challenge.status, 401, "{}", challenge.body);
    let auth = json!({
        "type": "m.login.password", "session": challenge.body["session"], "password": PASSWORD,
        "identifier": {"type": "m.id.user", "user": "gone"},
    });
    server.post(&path, gone.access_token(), json!({"erase": true, "auth": auth})).await.ok();
    let late = server.hs.user("late").await.unwrap();
    late.join(&room).await.unwrap();
    assert_eq!(event(&late, &room, &said).await["content"], json!({}));
    assert_eq!(event(&alice, &room, &said).await["content"]["body"], "remember me not");
}
