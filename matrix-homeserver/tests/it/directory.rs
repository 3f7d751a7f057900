//! Aliases and the list of public rooms.

use matrix_homeserver::testing::encode;
use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

fn alias_path(alias: &str) -> String {
    format!("{V3}/directory/room/{}", encode(alias))
}

#[tokio::test]
async fn an_alias_leads_to_its_room_until_it_is_deleted() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    let path = alias_path("#a/b#c:hs.test");
    alice.put(&path, json!({"room_id": room})).await.unwrap();
    assert_eq!(bob.get(&path).await.unwrap(), json!({"room_id": room, "servers": ["hs.test"]}));
    assert_eq!(bob.join("#a/b#c:hs.test").await.unwrap(), room);
    assert_eq!(
        bob.get(&format!("{V3}/rooms/{room}/aliases")).await.unwrap(),
        json!({"aliases": ["#a/b#c:hs.test"]})
    );
    let again = alice.put(&path, json!({"room_id": room})).await.unwrap_err();
    assert_eq!((again.status(), again.errcode()), (Some(409), Some("M_UNKNOWN")));
    assert_eq!(bob.delete(&path).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
    alice.delete(&path).await.unwrap();
    let gone = bob.get(&path).await.unwrap_err();
    assert_eq!((gone.status(), gone.errcode()), (Some(404), Some("M_NOT_FOUND")));
    assert_eq!(bob.join("#a/b#c:hs.test").await.unwrap_err().errcode(), Some("M_NOT_FOUND"));
}

#[tokio::test]
async fn aliases_that_cannot_be_are_refused() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let put = |alias: &str, body: Value| {
        let (path, alice) = (alias_path(alias), alice.clone());
        async move { alice.put(&path, body).await.unwrap_err() }
    };
    assert_eq!(put("#x:elsewhere", json!({"room_id": room})).await.errcode(), Some("M_INVALID_PARAM"));
    assert_eq!(put("nonsense", json!({"room_id": room})).await.errcode(), Some("M_INVALID_PARAM"));
    assert_eq!(put("#x:hs.test", json!({})).await.errcode(), Some("M_MISSING_PARAM"));
    assert_eq!(put("#x:hs.test", json!({"room_id": "x"})).await.errcode(), Some("M_BAD_JSON"));
    assert_eq!(put("#x:hs.test", json!({"room_id": "!none:hs.test"})).await.errcode(), Some("M_NOT_FOUND"));
}

#[tokio::test]
async fn public_rooms_are_listed_searched_and_paged() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    for number in 0..5 {
        let options = json!({"name": format!("room {number}"), "visibility": "public"});
        alice.create_room(options).await.unwrap();
    }
    let hidden = alice.create_room(json!({"name": "hidden"})).await.unwrap();
    let path = format!("{V3}/publicRooms");
    let all = server.get(&path, "").await.ok();
    assert_eq!(all["chunk"].as_array().unwrap().len(), 5);
    assert_eq!(all["total_room_count_estimate"], 5);
    let first = server.get(&format!("{path}?limit=3"), "").await.ok();
    let next = first["next_batch"].as_str().unwrap();
    let second = server.get(&format!("{path}?limit=3&since={next}"), "").await.ok();
    assert_eq!(second["chunk"].as_array().unwrap().len(), 2);
    assert!(second.get("next_batch").is_none());
    let found = alice.post(&path, json!({"filter": {"generic_search_term": "ROOM 3"}})).await.unwrap();
    assert_eq!(found["chunk"].as_array().unwrap().len(), 1);
    let visibility = format!("{V3}/directory/list/room/{hidden}");
    assert_eq!(server.get(&visibility, "").await.ok(), json!({"visibility": "private"}));
    let bob = server.hs.user("bob").await.unwrap();
    let foreign = bob.put(&visibility, json!({"visibility": "public"})).await.unwrap_err();
    assert_eq!(foreign.errcode(), Some("M_FORBIDDEN"));
    alice.put(&visibility, json!({"visibility": "public"})).await.unwrap();
    assert_eq!(server.get(&path, "").await.ok()["total_room_count_estimate"], 6);
}
