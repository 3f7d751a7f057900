//! Filters: what a client wants to see, and what is no filter.

use matrix_homeserver::testing::{PASSWORD, TestUser, encode};
use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

async fn sync(user: &TestUser, filter: &Value, rest: &str) -> Value {
    let filter = encode(&filter.to_string());
    user.get(&format!("{V3}/sync?timeout=0&filter={filter}{rest}")).await.unwrap()
}

fn timeline(sync: &Value, room: &str) -> Vec<Value> {
    sync["rooms"]["join"][room]["timeline"]["events"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn what_is_no_filter_is_refused_with_the_place_in_it() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    for (filter, place) in [
        (json!({"room": {"timeline": {"limit": "many"}}}), "room.timeline.limit"),
        (json!({"room": {"timeline": {"senders": ["nobody"]}}}), "room.timeline.senders[0]"),
        (json!({"room": {"not_rooms": [1]}}), "room.not_rooms[0]"),
        (json!({"event_format": "tea"}), "event_format"),
        (json!({"presence": {"types": "m.presence"}}), "presence.types"),
        (json!({"room": "all"}), "room"),
    ] {
        let path = format!("{V3}/user/@alice:hs.test/filter");
        let refused = server.post(&path, alice.access_token(), filter.clone()).await;
        assert!(refused.body["error"].as_str().unwrap().contains(place), "{place}: {}", refused.body);
        refused.refused(400, "M_BAD_JSON");
        let path = format!("{V3}/sync?filter={}", encode(&filter.to_string()));
        let refused = server.get(&path, alice.access_token()).await;
        assert!(refused.body["error"].as_str().unwrap().contains(place), "{place}: {}", refused.body);
        refused.refused(400, "M_INVALID_PARAM");
    }
    for filter in ["{", "unknown"] {
        let path = format!("{V3}/sync?filter={}", encode(filter));
        server.get(&path, alice.access_token()).await.refused(400, "M_INVALID_PARAM");
    }
    let kept = json!({"room": {"timeline": {"limit": 3}}, "future": {"x": [1]}});
    let path = format!("{V3}/user/@alice:hs.test/filter");
    let filter_id = alice.post(&path, kept.clone()).await.unwrap()["filter_id"].as_str().unwrap().to_owned();
    assert_eq!(alice.get(&format!("{path}/{filter_id}")).await.unwrap(), kept);
}

#[tokio::test]
async fn events_are_chosen_by_type_sender_address_and_what_relates_to_them() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap().to_string();
    bob.join(&room).await.unwrap();
    let text = alice.send_text(&room, "text").await.unwrap();
    let with_url = json!({"msgtype": "m.image", "body": "x", "url": "mxc://hs.test/x"});
    let image = bob.send_event(&room, "m.room.message", with_url).await.unwrap();
    let reaction = json!({"m.relates_to": {"rel_type": "m.annotation", "event_id": text, "key": "+"}});
    let reaction = bob.send_event(&room, "m.reaction", reaction).await.unwrap();
    for (chosen, expected) in [
        (json!({"types": ["m.room.message"]}), vec![&text, &image]),
        (json!({"types": ["m.re*"]}), vec![&reaction]),
        (json!({"types": ["m.room.mes*", "m.reaction"], "not_types": ["*message"]}), vec![&reaction]),
        (
            json!({"types": ["m.r*"], "senders": ["@bob:hs.test"], "not_types": ["m.room.member"]}),
            vec![&image, &reaction],
        ),
        (json!({"types": ["m.room.message"], "not_senders": ["@bob:hs.test"]}), vec![&text]),
        (json!({"types": ["m.room.message"], "contains_url": true}), vec![&image]),
        (json!({"types": ["m.room.message"], "contains_url": false}), vec![&text]),
        (json!({"types": ["m.room.message"], "not_rooms": [room]}), vec![]),
        (json!({"types": ["m.room.message"], "limit": 1}), vec![&image]),
        (json!({"related_by_rel_types": ["m.annotation"]}), vec![&text]),
        (json!({"related_by_rel_types": ["m.thread"]}), vec![]),
        (json!({"related_by_senders": ["@bob:hs.test"]}), vec![&text]),
        (json!({"related_by_senders": ["@alice:hs.test"]}), vec![]),
    ] {
        let told = sync(&alice, &json!({"room": {"timeline": chosen}}), "").await;
        let ids: Vec<_> = timeline(&told, &room).iter().map(|event| event["event_id"].clone()).collect();
        assert_eq!(ids, expected.iter().map(|id| json!(id)).collect::<Vec<_>>(), "{chosen}");
        let path =
            format!("{V3}/rooms/{room}/messages?dir=f&limit=100&filter={}", encode(&chosen.to_string()));
        let page = alice.get(&path).await.unwrap();
        let mut ids: Vec<_> =
            page["chunk"].as_array().unwrap().iter().map(|event| event["event_id"].clone()).collect();
        if chosen["limit"].is_number() {
            ids = ids.split_off(ids.len() - 1);
        }
        assert_eq!(ids, expected.iter().map(|id| json!(id)).collect::<Vec<_>>(), "messages: {chosen}");
    }
}

#[tokio::test]
async fn rooms_account_data_and_presence_are_chosen_too() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let one = alice.create_room(json!({})).await.unwrap();
    let two = alice.create_room(json!({})).await.unwrap();
    let data = format!("{V3}/user/@alice:hs.test");
    for kind in ["x.a", "x.b"] {
        alice.put(&format!("{data}/account_data/{kind}"), json!({})).await.unwrap();
        alice.put(&format!("{data}/rooms/{one}/account_data/{kind}"), json!({})).await.unwrap();
    }
    let told = sync(&alice, &json!({"room": {"rooms": [one]}}), "").await;
    assert!(told["rooms"]["join"][one.as_str()].is_object() && told["rooms"]["join"][two.as_str()].is_null());
    let told = sync(&alice, &json!({"room": {"not_rooms": [one]}}), "").await;
    assert!(told["rooms"]["join"][one.as_str()].is_null() && told["rooms"]["join"][two.as_str()].is_object());
    let types = |events: &Value| {
        let events = events["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|event| event["type"].clone()).collect::<Vec<_>>()
    };
    let filter = json!({
        "account_data": {"types": ["x.*"], "not_types": ["x.b"]}, "presence": {"not_types": ["m.presence"]},
        "room": {"account_data": {"types": ["x.b"]}},
    });
    let told = sync(&alice, &filter, "").await;
    assert_eq!(types(&told["account_data"]), ["x.a"]);
    assert_eq!(types(&told["rooms"]["join"][one.as_str()]["account_data"]), ["x.b"]);
    assert_eq!(types(&told["presence"]), Vec::<Value>::new());
    let nobody = json!({"presence": {"senders": ["@bob:hs.test"]}});
    assert_eq!(types(&sync(&alice, &nobody, "").await["presence"]), Vec::<Value>::new());
}

#[tokio::test]
async fn events_are_shown_in_part_or_as_servers_exchange_them() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap().to_string();
    alice.send_text(&room, "hi").await.unwrap();
    let told = sync(&alice, &json!({"event_fields": ["type", "content.body"]}), "").await;
    let expected = json!({"type": "m.room.message", "content": {"body": "hi"}});
    assert_eq!(timeline(&told, &room).last(), Some(&expected));
    let told = sync(&alice, &json!({"event_format": "federation"}), "").await;
    let pdu = timeline(&told, &room).pop().unwrap();
    assert!(pdu["hashes"]["sha256"].is_string() && pdu["prev_events"].is_array() && pdu["depth"].is_number());
}

#[tokio::test]
async fn what_was_redacted_or_erased_stays_so_in_the_form_of_servers() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let secret = alice.send_text(&room, "secret").await.unwrap();
    alice.redact(&room, &secret, "spam").await.unwrap();
    bob.send_text(&room, "regretted").await.unwrap();
    let carol = server.hs.user("carol").await.unwrap();
    carol.join(&room).await.unwrap();
    let auth = json!({"type": "m.login.password", "user": "bob", "password": PASSWORD});
    bob.post(&format!("{V3}/account/deactivate"), json!({"erase": true, "auth": auth})).await.unwrap();
    let filter = json!({"event_format": "federation", "room": {"timeline": {"limit": 50}}});
    for (user, word) in [(&alice, "secret"), (&carol, "secret"), (&carol, "regretted")] {
        let told = sync(user, &filter, "").await;
        let timeline = timeline(&told, &room);
        assert!(timeline.iter().any(|pdu| pdu["hashes"].is_object() && pdu["content"] == json!({})));
        assert!(!told.to_string().contains(word), "{} reads {word}", user.user_id());
    }
}

#[tokio::test]
async fn left_rooms_are_told_at_first_to_those_who_want_them_and_once() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap().to_string();
    alice.leave(&room).await.unwrap();
    assert!(sync(&alice, &json!({}), "").await["rooms"]["leave"].is_null());
    let filter = json!({"room": {"include_leave": true}});
    let told = sync(&alice, &filter, "").await;
    assert!(told["rooms"]["leave"][&room].is_object());
    let since = told["next_batch"].as_str().unwrap();
    let next = sync(&alice, &filter, &format!("&since={since}")).await;
    assert!(next["rooms"]["leave"].is_null(), "what was left before is no news: {next}");
}
