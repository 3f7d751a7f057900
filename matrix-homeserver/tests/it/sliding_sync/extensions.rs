//! What a client is told beside rooms.

use serde_json::{Value, json};

use super::{Connection, V3, fields};
use crate::support::Server;

#[tokio::test]
async fn only_extensions_that_are_asked_for_are_told() {
    let server = Server::start().await;
    let (_, bob, _) = server.room_of_two().await;
    let mut bobs = Connection::all(&bob, 1, &[]);
    assert_eq!(bobs.next().await["extensions"], json!({}));
    bobs.body["extensions"] = json!({ "typing": { "enabled": true }, "receipts": { "enabled": false } });
    assert_eq!(bobs.next().await["extensions"], json!({ "typing": { "rooms": {} } }));
    let mut bobs = bobs.extended();
    let told = bobs.next().await;
    assert_eq!(fields(&told["extensions"]), ["account_data", "e2ee", "receipts", "to_device", "typing"]);
    let keys = &told["extensions"]["e2ee"];
    assert_eq!(keys["device_unused_fallback_key_types"], json!([]));
    assert!(keys["device_one_time_keys_count"].is_object());
}

#[tokio::test]
async fn messages_to_the_device_come_until_they_have_arrived() {
    let server = Server::start().await;
    let (alice, bob, _) = server.room_of_two().await;
    for number in 0..5 {
        let path = format!("{V3}/sendToDevice/x.y/txn{number}");
        let messages = json!({ "messages": { "@bob:hs.test": { "*": { "n": number } } } });
        alice.put(&path, messages).await.unwrap();
    }
    let told = async |since: Option<&str>| {
        let config = json!({ "enabled": true, "limit": 2, "since": since });
        let mut bobs = Connection::new(&bob, json!({ "extensions": { "to_device": config } }));
        let answer = bobs.next().await["extensions"]["to_device"].clone();
        let events = answer["events"].as_array().unwrap();
        let numbers: Vec<_> = events.iter().map(|event| event["content"]["n"].as_u64().unwrap()).collect();
        (numbers, answer["next_batch"].as_str().unwrap().to_owned())
    };
    let (numbers, first) = told(None).await;
    assert_eq!(numbers, [0, 1]);
    assert_eq!(told(None).await, (numbers, first.clone()), "nobody has said that they have arrived");
    let (numbers, second) = told(Some(&first)).await;
    assert_eq!(numbers, [2, 3]);
    let (numbers, third) = told(Some(&second)).await;
    assert_eq!(numbers, [4]);
    let (numbers, _) = told(Some(&third)).await;
    assert_eq!(numbers, [0_u64; 0]);
    // They are gone for good.
    assert_eq!(told(None).await.0, [0_u64; 0]);
}

#[tokio::test]
async fn changed_keys_are_told_to_those_who_share_a_room() {
    let server = Server::start().await;
    let (alice, bob, _) = server.room_of_two().await;
    let mut bobs = Connection::all(&bob, 1, &[]).extended();
    let first = bobs.next().await;
    assert_eq!(first["extensions"]["e2ee"].get("device_lists"), None);
    let device = alice.get(&format!("{V3}/account/whoami")).await.unwrap()["device_id"].clone();
    let id = device.as_str().unwrap();
    let keys = json!({
        "user_id": "@alice:hs.test", "device_id": id, "algorithms": [], "signatures": {},
        "keys": { format!("ed25519:{id}"): "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
    });
    let upload = format!("{V3}/keys/upload");
    let (told, uploaded) =
        tokio::join!(bobs.ask(20_000), alice.post(&upload, json!({ "device_keys": keys })));
    uploaded.unwrap();
    let lists = &told.unwrap()["extensions"]["e2ee"]["device_lists"];
    assert_eq!(*lists, json!({ "changed": ["@alice:hs.test"], "left": [] }));
}

#[tokio::test]
async fn account_data_is_told_for_the_account_and_for_wanted_rooms() {
    let server = Server::start().await;
    let (_, bob, room) = server.room_of_two().await;
    let other = bob.create_room(json!({})).await.unwrap().to_string();
    for room in [&room, &other] {
        let path = format!("{V3}/user/@bob:hs.test/rooms/{room}/tags/u.work");
        bob.put(&path, json!({})).await.unwrap();
    }
    let rule = json!({ "timeline_limit": 1, "required_state": [] });
    let mut bobs = Connection::new(&bob, json!({ "room_subscriptions": { &room: rule } })).extended();
    let first = bobs.next().await["extensions"]["account_data"].clone();
    assert!(first["global"].as_array().unwrap().iter().any(|event| event["type"] == "m.push_rules"));
    assert_eq!(first["rooms"][&room][0]["content"]["tags"], json!({ "u.work": {} }));
    assert_eq!(first["rooms"].get(&other), None);
    let nothing = json!({ "global": [], "rooms": {} });
    assert_eq!(bobs.next().await["extensions"]["account_data"], nothing);
    // A room that comes in later is told whole, and so is one for which the extension comes in later.
    bobs.body["room_subscriptions"][&other] = json!({ "timeline_limit": 1, "required_state": [] });
    bobs.body["extensions"]["account_data"]["rooms"] = json!([]);
    assert_eq!(bobs.next().await["extensions"]["account_data"], nothing);
    bobs.body["extensions"]["account_data"]["rooms"] = json!([&other]);
    let told = bobs.next().await["extensions"]["account_data"].clone();
    assert_eq!(fields(&told["rooms"]), [&other]);
    bob.put(&format!("{V3}/user/@bob:hs.test/account_data/x.y"), json!({"a": 1})).await.unwrap();
    let told = bobs.next().await["extensions"]["account_data"].clone();
    assert_eq!(told, json!({ "global": [{ "type": "x.y", "content": { "a": 1 } }], "rooms": {} }));
}

#[tokio::test]
async fn receipts_are_told_for_what_is_seen_and_then_as_they_come() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let carol = server.hs.user("carol").await.unwrap();
    carol.join(&room).await.unwrap();
    let old = alice.send_text(&room, "old").await.unwrap();
    let new = alice.send_text(&room, "new").await.unwrap();
    let read = |event: &str| format!("{V3}/rooms/{room}/receipt/m.read/{event}");
    carol.post(&read(old.as_str()), json!({})).await.unwrap();
    alice.post(&read(new.as_str()), json!({})).await.unwrap();
    bob.post(&read(old.as_str()), json!({})).await.unwrap();
    let mut bobs = Connection::all(&bob, 1, &[]).extended();
    let told = |answer: &Value| answer["extensions"]["receipts"]["rooms"][&room].clone();
    let first = told(&bobs.next().await);
    assert_eq!(first["type"], "m.receipt");
    assert_eq!(fields(&first["content"][new.as_str()]["m.read"]), ["@alice:hs.test"]);
    // Of what is not in the timeline only the own.
    assert_eq!(fields(&first["content"][old.as_str()]["m.read"]), ["@bob:hs.test"]);
    assert_eq!(told(&bobs.next().await), Value::Null);
    let newer = read(new.as_str());
    let (answer, _) = tokio::join!(bobs.ask(20_000), carol.post(&newer, json!({})));
    assert_eq!(fields(&told(&answer.unwrap())["content"][new.as_str()]["m.read"]), ["@carol:hs.test"]);
}

#[tokio::test]
async fn who_types_is_told_at_first_only_if_somebody_does() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let rooms = |answer: &Value| answer["extensions"]["typing"]["rooms"].clone();
    let mut bobs = Connection::all(&bob, 1, &[]).extended();
    assert_eq!(rooms(&bobs.next().await), json!({}));
    let path = format!("{V3}/rooms/{room}/typing/@alice:hs.test");
    alice.put(&path, json!({"typing": true, "timeout": 60_000})).await.unwrap();
    let typing = |users: Value| json!({ &room: { "type": "m.typing", "content": { "user_ids": users } } });
    assert_eq!(rooms(&bobs.next().await), typing(json!(["@alice:hs.test"])));
    let mut anew = Connection::all(&bob, 1, &[]).extended();
    anew.body["conn_id"] = json!("anew");
    assert_eq!(rooms(&anew.next().await), typing(json!(["@alice:hs.test"])));
    alice.put(&path, json!({"typing": false})).await.unwrap();
    assert_eq!(rooms(&bobs.next().await), typing(json!([])));
    assert_eq!(rooms(&bobs.next().await), json!({}));
}
