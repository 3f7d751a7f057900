//! Threads: their roots, their summaries, and what is unread in them.

use matrix_homeserver::testing::TestUser;
use serde_json::{Value, json};

use crate::support::Server;

const V1: &str = "/_matrix/client/v1";
const V3: &str = "/_matrix/client/v3";

async fn reply(user: &TestUser, room: &str, root: &str, body: &str) -> String {
    let content = json!({
        "msgtype": "m.text", "body": body, "m.relates_to": {"rel_type": "m.thread", "event_id": root},
    });
    user.send_event(room, "m.room.message", content).await.unwrap().to_string()
}

fn roots(page: &Value) -> Vec<&str> {
    page["chunk"].as_array().unwrap().iter().map(|event| event["event_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn threads_are_listed_by_their_newest_event_page_by_page() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let mut started = Vec::new();
    for number in 0..3 {
        let root = alice.send_text(&room, &number.to_string()).await.unwrap().to_string();
        reply(&bob, &room, &root, "reply").await;
        started.push(root);
    }
    reply(&bob, &room, &started[0], "again").await;
    let path = format!("{V1}/rooms/{room}/threads");
    let first = alice.get(&format!("{path}?limit=2")).await.unwrap();
    assert_eq!(roots(&first), [&*started[0], &*started[2]]);
    let next = first["next_batch"].as_str().unwrap();
    let second = alice.get(&format!("{path}?limit=2&from={next}")).await.unwrap();
    assert_eq!(roots(&second), [&*started[1]]);
    assert_eq!(second["next_batch"], Value::Null);
    let thread = &first["chunk"][0]["unsigned"]["m.relations"]["m.thread"];
    assert_eq!(thread["count"], 2);
    assert_eq!(thread["latest_event"]["content"]["body"], "again");
    for query in ["include=some", "from=x", "limit=x"] {
        let refused = alice.get(&format!("{path}?{query}")).await.unwrap_err();
        assert_eq!(refused.errcode(), Some("M_INVALID_PARAM"), "{query}");
    }
    let eve = server.hs.user("eve").await.unwrap();
    assert_eq!(eve.get(&path).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
}

#[tokio::test]
async fn a_user_has_a_part_in_the_threads_that_he_started_or_replied_to() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let carol = server.hs.user("carol").await.unwrap();
    carol.join(&room).await.unwrap();
    let of_alice = alice.send_text(&room, "alice").await.unwrap().to_string();
    reply(&bob, &room, &of_alice, "bob").await;
    let of_bob = bob.send_text(&room, "bob").await.unwrap().to_string();
    reply(&bob, &room, &of_bob, "bob").await;
    let path = format!("{V1}/rooms/{room}/threads?include=participated");
    assert_eq!(roots(&alice.get(&path).await.unwrap()), [&*of_alice]);
    assert_eq!(roots(&bob.get(&path).await.unwrap()), [&*of_bob, &*of_alice]);
    assert_eq!(roots(&carol.get(&path).await.unwrap()), Vec::<&str>::new());
    let all = carol.get(&format!("{V1}/rooms/{room}/threads?include=all")).await.unwrap();
    let participated = &all["chunk"][0]["unsigned"]["m.relations"]["m.thread"]["current_user_participated"];
    assert_eq!(participated, &json!(false));
}

#[tokio::test]
async fn the_newest_event_of_a_thread_shows_its_own_edit_and_redacted_ones_do_not_count() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let root = alice.send_text(&room, "root").await.unwrap().to_string();
    let kept = reply(&bob, &room, &root, "kept").await;
    let gone = reply(&bob, &room, &root, "gone").await;
    bob.redact(&room, &gone, "").await.unwrap();
    let edit = json!({
        "msgtype": "m.text", "body": "* new", "m.new_content": {"msgtype": "m.text", "body": "new"},
        "m.relates_to": {"rel_type": "m.replace", "event_id": kept},
    });
    bob.send_event(&room, "m.room.message", edit).await.unwrap();
    let page = alice.get(&format!("{V1}/rooms/{room}/threads")).await.unwrap();
    let thread = &page["chunk"][0]["unsigned"]["m.relations"]["m.thread"];
    assert_eq!(thread["count"], 1);
    let latest = &thread["latest_event"];
    assert_eq!(latest["event_id"], kept.as_str());
    assert_eq!(latest["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"], "new");
    bob.redact(&room, &kept, "").await.unwrap();
    let page = alice.get(&format!("{V1}/rooms/{room}/threads")).await.unwrap();
    assert_eq!(page["chunk"], json!([]), "nothing is left of the thread");
}

#[tokio::test]
async fn the_root_of_an_ignored_user_is_shown_without_what_it_says() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let root = bob.send_text(&room, "root").await.unwrap().to_string();
    reply(&alice, &room, &root, "reply").await;
    let ignored = format!("{V3}/user/@alice:hs.test/account_data/m.ignored_user_list");
    alice.put(&ignored, json!({"ignored_users": {"@bob:hs.test": {}}})).await.unwrap();
    let page = alice.get(&format!("{V1}/rooms/{room}/threads")).await.unwrap();
    assert_eq!(page["chunk"][0]["event_id"], root.as_str());
    assert_eq!(page["chunk"][0]["content"], json!({}));
    assert_eq!(page["chunk"][0]["unsigned"]["m.relations"]["m.thread"]["count"], 1);
}

#[tokio::test]
async fn no_thread_starts_from_an_event_in_a_thread() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let root = alice.send_text(&room, "root").await.unwrap().to_string();
    let inside = reply(&bob, &room, &root, "reply").await;
    let content = json!({
        "msgtype": "m.text", "body": "deeper", "m.relates_to": {"rel_type": "m.thread", "event_id": inside},
    });
    let refused = bob.send_event(&room, "m.room.message", content).await.unwrap_err();
    assert_eq!((refused.status(), refused.errcode()), (Some(400), Some("M_UNKNOWN")));
}

#[tokio::test]
async fn what_is_unread_is_counted_thread_by_thread_for_those_who_ask() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let root = alice.send_text(&room, "root").await.unwrap().to_string();
    let main = bob.send_text(&room, "main").await.unwrap().to_string();
    let first = reply(&bob, &room, &root, "first").await;
    reply(&bob, &room, &root, "second").await;
    let filter = r#"{"room":{"timeline":{"unread_thread_notifications":true}}}"#;
    let filter = matrix_homeserver::testing::encode(filter);
    let counts = || async {
        let told = alice.get(&format!("{V3}/sync?timeout=0&filter={filter}")).await.unwrap();
        let told = &told["rooms"]["join"][&room];
        (
            told["unread_notifications"]["notification_count"].clone(),
            told["unread_thread_notifications"][&root]["notification_count"].clone(),
        )
    };
    assert_eq!(counts().await, (json!(1), json!(2)));
    let receipt = |event_id: &str| format!("{V3}/rooms/{room}/receipt/m.read/{event_id}");
    alice.post(&receipt(&first), json!({"thread_id": root})).await.unwrap();
    assert_eq!(counts().await, (json!(1), json!(1)));
    alice.post(&receipt(&main), json!({"thread_id": "main"})).await.unwrap();
    assert_eq!(counts().await, (json!(0), json!(1)));
    let all = alice.get(&format!("{V3}/sync?timeout=0")).await.unwrap();
    let all = &all["rooms"]["join"][&room];
    assert_eq!(all["unread_notifications"]["notification_count"], 1);
    assert_eq!(all["unread_thread_notifications"], Value::Null);
    for (event_id, thread) in [(&first, "main"), (&main, &*root), (&main, "x"), (&main, "")] {
        let refused = alice.post(&receipt(event_id), json!({"thread_id": thread})).await.unwrap_err();
        assert_eq!(refused.errcode(), Some("M_INVALID_PARAM"), "{thread}");
    }
}
