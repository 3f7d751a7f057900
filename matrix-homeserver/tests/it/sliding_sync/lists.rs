//! Which rooms are in a list, and in which order.

use serde_json::{Value, json};

use super::{Connection, V3};
use crate::support::Server;

/// The rooms of the wanted part of the list.
fn listed(answer: &Value) -> Vec<&str> {
    let operations = answer["lists"]["all"]["ops"].as_array().unwrap();
    let rooms = operations.iter().flat_map(|operation| operation["room_ids"].as_array().unwrap());
    rooms.map(|room| room.as_str().unwrap()).collect()
}

#[tokio::test]
async fn rooms_are_sorted_by_when_something_last_happened() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let mut rooms = Vec::new();
    for _ in 0..4 {
        rooms.push(alice.create_room(json!({})).await.unwrap().to_string());
    }
    let mut alices = Connection::all(&alice, 1, &[]);
    let newest_first: Vec<_> = rooms.iter().rev().collect();
    assert_eq!(listed(&alices.next().await), newest_first);
    alice.send_text(&rooms[0], "first again").await.unwrap();
    let answer = alices.next().await;
    assert_eq!(listed(&answer), [&rooms[0], &rooms[3], &rooms[2], &rooms[1]]);
    assert_eq!(super::fields(&answer["rooms"]), [&rooms[0]]);
}

#[tokio::test]
async fn only_the_wanted_part_of_a_list_is_told_and_what_comes_into_it() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let mut rooms = Vec::new();
    for _ in 0..4 {
        rooms.push(alice.create_room(json!({})).await.unwrap().to_string());
    }
    let mut alices = Connection::all(&alice, 10, &[]);
    alices.body["lists"]["all"]["ranges"] = json!([[0, 1]]);
    let first = alices.next().await;
    assert_eq!(listed(&first), [&rooms[3], &rooms[2]]);
    assert_eq!(first["lists"]["all"]["count"], 4);
    assert_eq!(first["rooms"].as_object().unwrap().len(), 2);
    assert_eq!(alices.next().await["rooms"], json!({}));

    alice.send_text(&rooms[0], "up").await.unwrap();
    let moved = alices.next().await;
    assert_eq!(super::fields(&moved["rooms"]), [&rooms[0]]);
    assert_eq!(moved["rooms"][&rooms[0]]["initial"], true);
    assert_eq!(moved["rooms"][&rooms[0]]["num_live"], 1);
    // What happens beyond the part is not told, but not forgotten either: here room 2 has moved out.
    alice.send_text(&rooms[3], "first").await.unwrap();
    alices.next().await;
    alices.body["lists"]["all"]["ranges"] = json!([[0, 0], [2, 3]]);
    let grown = alices.next().await;
    assert_eq!(listed(&grown), [&rooms[3], &rooms[2], &rooms[1]]);
    assert_eq!(super::fields(&grown["rooms"]), [&rooms[1]], "room 2 is known already");
    assert_eq!(grown["rooms"][&rooms[1]]["initial"], true);
}

#[tokio::test]
async fn a_room_that_was_out_of_the_part_goes_on_where_it_was() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let other = bob.create_room(json!({})).await.unwrap().to_string();
    let mut bobs = Connection::all(&bob, 10, &[("m.room.topic", "")]);
    bobs.next().await;
    bobs.body["lists"]["all"]["ranges"] = json!([[0, 0]]);
    alice.send_text(&room, "seen").await.unwrap();
    assert_eq!(super::bodies(&bobs.room(&room).await), ["seen"]);
    for text in ["unseen", "unseen either"] {
        bob.send_text(&other, "over it").await.unwrap();
        bobs.next().await;
        alice.set_state(&room, "m.room.topic", "", json!({ "topic": text })).await.unwrap();
        alice.send_text(&room, text).await.unwrap();
        bob.send_text(&other, "over it").await.unwrap();
        assert_eq!(bobs.room(&room).await, Value::Null);
    }
    bobs.body["lists"]["all"]["ranges"] = json!([[0, 1]]);
    let back = bobs.room(&room).await;
    assert_eq!(back.get("initial"), None);
    assert_eq!(super::bodies(&back), ["unseen", "unseen either"]);
    assert_eq!(back["required_state"][0]["content"]["topic"], "unseen either");
    assert_eq!(back["num_live"], 0);
}

#[tokio::test]
async fn lists_are_filtered() {
    let server = Server::start().await;
    let (alice, bob, _) = server.room_of_two().await;
    let plain = bob.create_room(json!({"name": "plain"})).await.unwrap().to_string();
    let encryption = json!({"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}});
    let encrypted = bob.create_room(json!({"initial_state": [encryption]})).await.unwrap().to_string();
    let space = json!({"creation_content": {"type": "m.space"}});
    let space = bob.create_room(space).await.unwrap().to_string();
    let child = json!({"via": ["hs.test"]});
    bob.set_state(&space, "m.space.child", &encrypted, child).await.unwrap();
    bob.set_state(&space, "m.space.child", &plain, json!({})).await.unwrap();
    let invited = alice.create_room(json!({"invite": ["@bob:hs.test"]})).await.unwrap().to_string();
    let data = format!("{V3}/user/@bob:hs.test/account_data/m.direct");
    bob.put(&data, json!({"@alice:hs.test": [plain, "nonsense", 7]})).await.unwrap();
    let tag = |room: &str, tag: &str| format!("{V3}/user/@bob:hs.test/rooms/{room}/tags/{tag}");
    bob.put(&tag(&plain, "m.favourite"), json!({})).await.unwrap();
    bob.put(&tag(&plain, "u.work"), json!({})).await.unwrap();
    bob.put(&tag(&encrypted, "u.work"), json!({})).await.unwrap();

    // The room of two is the fifth.
    for (filters, expected) in [
        (json!({}), 5),
        (json!({"is_dm": true}), 1),
        (json!({"is_dm": false}), 4),
        (json!({"is_encrypted": true}), 1),
        (json!({"is_encrypted": false}), 4),
        (json!({"is_invite": true}), 1),
        (json!({"is_invite": false}), 4),
        (json!({"room_types": ["m.space"]}), 1),
        (json!({"room_types": [null]}), 4),
        (json!({"room_types": [null, "m.space"]}), 5),
        (json!({"room_types": []}), 0),
        (json!({"not_room_types": ["m.space"]}), 4),
        (json!({"room_types": ["m.space"], "not_room_types": ["m.space"]}), 0),
        (json!({"tags": ["u.work"]}), 2),
        (json!({"tags": ["u.work", "m.favourite"]}), 2),
        (json!({"tags": []}), 0),
        (json!({"not_tags": ["m.favourite"]}), 4),
        (json!({"tags": ["u.work"], "not_tags": ["m.favourite"]}), 1),
        (json!({"spaces": [space]}), 1),
        (json!({"spaces": [plain, "nonsense"]}), 0),
        (json!({"is_dm": true, "is_encrypted": true}), 0),
    ] {
        let mut bobs = Connection::all(&bob, 0, &[]);
        bobs.body["lists"]["all"]["filters"] = filters.clone();
        let answer = bobs.next().await;
        assert_eq!(answer["lists"]["all"]["count"], expected, "{filters}");
        assert_eq!(answer["rooms"].as_object().unwrap().len(), expected, "{filters}");
        match filters.to_string().as_str() {
            r#"{"is_dm":true}"# => assert_eq!(answer["rooms"][&plain]["is_dm"], true),
            r#"{"is_invite":true}"# => assert!(answer["rooms"][&invited]["invite_state"].is_array()),
            r#"{"is_encrypted":true}"# => assert!(answer["rooms"][&encrypted].is_object()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn lists_without_ranges_are_wanted_whole() {
    let server = Server::start().await;
    let (alice, _, room) = server.room_of_two().await;
    let rest = json!({ "timeline_limit": 1, "required_state": [] });
    for change in [json!({}), json!({"ranges": []}), json!({"ranges": [[5, 6]], "slow_get_all_rooms": true})]
    {
        let mut list = rest.clone();
        list.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let mut alices = Connection::new(&alice, json!({ "lists": { "all": list } }));
        let answer = alices.next().await;
        assert_eq!(answer["lists"]["all"], json!({ "count": 1, "ops": [] }));
        assert!(answer["rooms"][&room].is_object());
    }
}

#[tokio::test]
async fn who_has_left_is_told_so_once_and_who_was_put_out_still_sees_the_room() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let other = alice.create_room(json!({"preset": "public_chat"})).await.unwrap().to_string();
    bob.join(&other).await.unwrap();
    let mut bobs = Connection::all(&bob, 5, &[("m.room.member", "$ME")]);
    bobs.next().await;
    bob.leave(&other).await.unwrap();
    alice.send_text(&other, "behind the back").await.unwrap();
    let left = bobs.next().await;
    assert_eq!(left["lists"]["all"]["count"], 2);
    let told = &left["rooms"][&other];
    assert_eq!(told["required_state"][0]["content"]["membership"], "leave");
    assert_eq!(told["timeline"].as_array().unwrap().len(), 1);
    let after = bobs.next().await;
    assert_eq!((&after["lists"]["all"]["count"], &after["rooms"]), (&json!(1), &json!({})));

    alice.kick(&room, "@bob:hs.test", "enough").await.unwrap();
    assert_eq!(bobs.room(&room).await["required_state"][0]["content"]["membership"], "leave");
    assert_eq!(bobs.next().await["lists"]["all"]["count"], 1);
    // Also on a new connection, which knows nothing of what he left by himself.
    let mut anew = Connection::all(&bob, 2, &[]);
    let answer = anew.next().await;
    assert_eq!(listed(&answer), [&room]);
    assert_eq!(answer["rooms"][&room].get("joined_count"), None);
    bob.post(&format!("{V3}/rooms/{room}/forget"), json!({})).await.unwrap();
    assert_eq!(anew.next().await["lists"]["all"]["count"], 0);
}
