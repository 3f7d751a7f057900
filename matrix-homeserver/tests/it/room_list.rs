//! The list of public rooms.

use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

fn names(page: &Value) -> Vec<&str> {
    page["chunk"].as_array().unwrap().iter().map(|room| room["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_list_is_read_forwards_and_backwards_page_by_page() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    for number in 0..5 {
        let options = json!({"name": number.to_string(), "visibility": "public"});
        alice.create_room(options).await.unwrap();
    }
    let whole = server.get(&format!("{V3}/publicRooms"), "").await.ok();
    let all = names(&whole);
    assert_eq!((all.len(), &whole["total_room_count_estimate"]), (5, &json!(5)));
    assert!(whole["next_batch"].is_null() && whole["prev_batch"].is_null());
    let page = |since: Value| {
        let mut query = json!({"limit": 2});
        if since.is_string() {
            query["since"] = since;
        }
        alice.post("/_matrix/client/v3/publicRooms", query)
    };
    let first = page(Value::Null).await.unwrap();
    assert_eq!(names(&first), all[..2]);
    assert!(first["prev_batch"].is_null());
    let second = page(first["next_batch"].clone()).await.unwrap();
    assert_eq!(names(&second), all[2..4]);
    let third = page(second["next_batch"].clone()).await.unwrap();
    assert_eq!(names(&third), all[4..]);
    assert!(third["next_batch"].is_null());
    let back = page(third["prev_batch"].clone()).await.unwrap();
    assert_eq!(names(&back), all[2..4]);
    let back = page(back["prev_batch"].clone()).await.unwrap();
    assert_eq!(names(&back), all[..2]);
    for path in ["publicRooms?since=x", "publicRooms?limit=x"] {
        server.get(&format!("{V3}/{path}"), "").await.refused(400, "M_INVALID_PARAM");
    }
    server.get(&format!("{V3}/publicRooms?server=other.test"), "").await.refused(404, "M_NOT_FOUND");
    assert_eq!(names(&server.get(&format!("{V3}/publicRooms?server=hs.test"), "").await.ok()).len(), 5);
}

#[tokio::test]
async fn rooms_are_found_by_term_and_type_and_the_fullest_comes_first() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let public = |name: &str, more: Value| {
        let mut options = json!({"name": name, "visibility": "public", "preset": "public_chat"});
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        alice.create_room(options)
    };
    public("Apples", json!({"topic": "Fruit"})).await.unwrap();
    let pears = public("Pears", json!({"topic": "fruit, too"})).await.unwrap();
    public("Garden", json!({"creation_content": {"type": "m.space"}})).await.unwrap();
    bob.join(&pears).await.unwrap();
    let found = |filter: Value| alice.post("/_matrix/client/v3/publicRooms", json!({"filter": filter}));
    assert_eq!(names(&found(json!({"generic_search_term": "FRUIT"})).await.unwrap()), ["Pears", "Apples"]);
    assert_eq!(names(&found(json!({"room_types": ["m.space"]})).await.unwrap()), ["Garden"]);
    let without_type = found(json!({"room_types": [null]})).await.unwrap();
    assert_eq!(names(&without_type), ["Pears", "Apples"]);
    assert_eq!(
        found(json!({"room_types": ["m.space", null]})).await.unwrap()["total_room_count_estimate"],
        3
    );
    assert_eq!(names(&found(json!({"generic_search_term": "nothing"})).await.unwrap()), Vec::<&str>::new());
    let both = json!({"include_all_networks": true, "third_party_instance_id": "x"});
    server
        .post(&format!("{V3}/publicRooms"), alice.access_token(), both)
        .await
        .refused(400, "M_INVALID_PARAM");
}
