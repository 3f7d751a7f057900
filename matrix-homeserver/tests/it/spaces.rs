//! Spaces and what is told of rooms to those who are not in them.

use matrix_homeserver::testing::TestUser;
use serde_json::{Value, json};

use crate::support::Server;

const V1: &str = "/_matrix/client/v1";

async fn space(user: &TestUser, name: &str) -> String {
    let options = json!({"name": name, "preset": "public_chat", "creation_content": {"type": "m.space"}});
    user.create_room(options).await.unwrap().to_string()
}

async fn room(user: &TestUser, name: &str) -> String {
    user.create_room(json!({"name": name, "preset": "public_chat"})).await.unwrap().to_string()
}

async fn adopt(user: &TestUser, parent: &str, child: &str, content: Value) {
    let mut all = json!({"via": ["hs.test"]});
    all.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
    user.set_state(parent, "m.space.child", child, all).await.unwrap();
}

async fn hierarchy(user: &TestUser, root: &str, query: &str) -> Value {
    user.get(&format!("{V1}/rooms/{root}/hierarchy?{query}")).await.unwrap()
}

fn names(page: &Value) -> Vec<&str> {
    page["rooms"].as_array().unwrap().iter().map(|room| room["name"].as_str().unwrap()).collect()
}

/// A space with an inner space between two rooms.
async fn tree(user: &TestUser) -> String {
    let root = space(user, "root").await;
    let inner = space(user, "inner").await;
    let (first, last, deep) = (room(user, "first").await, room(user, "last").await, room(user, "deep").await);
    adopt(user, &root, &last, json!({})).await;
    adopt(user, &root, &inner, json!({"order": "b", "suggested": true})).await;
    adopt(user, &root, &first, json!({"order": "a"})).await;
    adopt(user, &inner, &deep, json!({"suggested": true})).await;
    // Round in a circle.
    adopt(user, &inner, &root, json!({})).await;
    root
}

#[tokio::test]
async fn the_rooms_of_a_space_are_walked_depth_first_in_the_order_of_the_space() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let root = tree(&alice).await;
    let all = hierarchy(&alice, &root, "").await;
    assert_eq!(names(&all), ["root", "first", "inner", "deep", "last"]);
    assert_eq!(all["next_batch"], Value::Null);
    let top = &all["rooms"][0];
    assert_eq!(top["room_type"], "m.space");
    assert_eq!(top["room_version"], "12");
    assert_eq!(top["num_joined_members"], 1);
    let child = &top["children_state"][0];
    assert_eq!(child["content"], json!({"via": ["hs.test"], "order": "a"}));
    assert!(child["origin_server_ts"].is_number() && child["sender"] == "@alice:hs.test");
    assert_eq!(all["rooms"][1]["children_state"], json!([]));
    assert_eq!(names(&hierarchy(&alice, &root, "max_depth=1").await), ["root", "first", "inner", "last"]);
    assert_eq!(names(&hierarchy(&alice, &root, "max_depth=0").await), ["root"]);
    let suggested = hierarchy(&alice, &root, "suggested_only=true").await;
    assert_eq!(names(&suggested), ["root", "inner", "deep"]);
}

#[tokio::test]
async fn a_hierarchy_is_read_page_by_page() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let root = tree(&alice).await;
    let first = hierarchy(&alice, &root, "limit=2&max_depth=3").await;
    assert_eq!(names(&first), ["root", "first"]);
    let next = first["next_batch"].as_str().unwrap();
    let second = hierarchy(&alice, &root, &format!("limit=10&max_depth=3&from={next}")).await;
    assert_eq!(names(&second), ["inner", "deep", "last"]);
    assert_eq!(second["next_batch"], Value::Null);
    let other = [format!("from={next}"), format!("max_depth=3&suggested_only=true&from={next}")];
    let nonsense = ["from=x", "limit=0", "limit=x", "max_depth=-1"].map(str::to_owned);
    for query in other.iter().chain(&nonsense) {
        let refused = alice.get(&format!("{V1}/rooms/{root}/hierarchy?{query}")).await.unwrap_err();
        assert_eq!(refused.errcode(), Some("M_INVALID_PARAM"), "{query}");
    }
}

#[tokio::test]
async fn only_rooms_that_one_may_join_or_read_are_told() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let root = space(&alice, "root").await;
    let hidden = alice.create_room(json!({"name": "hidden"})).await.unwrap();
    let restricted = alice
        .create_room(json!({
            "name": "restricted",
            "initial_state": [{"type": "m.room.join_rules", "content": {
                "join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": root}],
            }}],
        }))
        .await
        .unwrap();
    let (nowhere, unreachable) = ("!nowhere:hs.test", room(&alice, "unreachable").await);
    for child in [hidden.as_str(), restricted.as_str(), nowhere] {
        adopt(&alice, &root, child, json!({})).await;
    }
    alice.set_state(&root, "m.space.child", &unreachable, json!({"via": []})).await.unwrap();
    assert_eq!(names(&hierarchy(&alice, &root, "").await), ["root", "hidden", "restricted"]);
    assert_eq!(names(&hierarchy(&bob, &root, "").await), ["root"]);
    bob.join(&root).await.unwrap();
    let seen = hierarchy(&bob, &root, "").await;
    assert_eq!(names(&seen), ["root", "restricted"]);
    assert_eq!(seen["rooms"][1]["allowed_room_ids"], json!([root]));
    bob.join(&restricted).await.unwrap();
    let refused = bob.get(&format!("{V1}/rooms/{hidden}/hierarchy")).await.unwrap_err();
    assert_eq!((refused.status(), refused.errcode()), (Some(403), Some("M_FORBIDDEN")));
    let refused = bob.get(&format!("{V1}/rooms/{nowhere}/hierarchy")).await.unwrap_err();
    assert_eq!(refused.errcode(), Some("M_FORBIDDEN"));
}

#[tokio::test]
async fn a_summary_is_told_to_anybody_of_a_room_that_is_open_to_anybody() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let open = alice
        .create_room(json!({
            "preset": "public_chat", "name": "open", "room_version": "11",
            "initial_state": [{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}],
        }))
        .await
        .unwrap();
    let closed = alice.create_room(json!({})).await.unwrap();
    let summary = server.get(&format!("{V1}/room_summary/{open}"), "").await.ok();
    assert_eq!(summary["name"], "open");
    assert_eq!(summary["room_version"], "11");
    assert_eq!(summary["encryption"], "m.megolm.v1.aes-sha2");
    assert_eq!(summary["membership"], Value::Null);
    let own = alice.get(&format!("{V1}/room_summary/{closed}")).await.unwrap();
    assert_eq!(own["membership"], "join");
    server.get(&format!("{V1}/room_summary/{closed}"), "").await.refused(404, "M_NOT_FOUND");
}
