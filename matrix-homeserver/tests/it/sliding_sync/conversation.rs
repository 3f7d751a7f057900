//! How a client and the server go on from answer to answer.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Connection, PATH, bodies};
use crate::support::Server;

#[tokio::test]
async fn a_client_is_told_the_last_events_then_what_is_new_and_nothing_twice() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    for text in ["1", "2", "3"] {
        alice.send_text(&room, text).await.unwrap();
    }
    let mut bobs = Connection::all(&bob, 2, &[]);
    let first = bobs.room(&room).await;
    assert_eq!(bodies(&first), ["2", "3"]);
    assert_eq!(
        (&first["initial"], &first["limited"], &first["num_live"]),
        (&json!(true), &json!(true), &json!(0))
    );
    // The history goes on where the timeline begins.
    let path = format!(
        "/_matrix/client/v3/rooms/{room}/messages?dir=b&limit=1&from={}",
        first["prev_batch"].as_str().unwrap()
    );
    assert_eq!(bob.get(&path).await.unwrap()["chunk"][0]["content"]["body"], "1");

    let quiet = bobs.next().await;
    assert_eq!((&quiet["rooms"], &quiet["lists"]["all"]["count"]), (&json!({}), &json!(1)));
    alice.send_text(&room, "4").await.unwrap();
    let next = bobs.room(&room).await;
    assert_eq!(bodies(&next), ["4"]);
    assert_eq!((next.get("initial"), &next["limited"], &next["num_live"]), (None, &json!(false), &json!(1)));
    for text in ["5", "6", "7"] {
        alice.send_text(&room, text).await.unwrap();
    }
    let gap = bobs.room(&room).await;
    assert_eq!(bodies(&gap), ["6", "7"]);
    assert_eq!((&gap["limited"], &gap["num_live"]), (&json!(true), &json!(2)));
    assert_eq!(bobs.next().await["rooms"], json!({}));
}

#[tokio::test]
async fn a_request_that_is_repeated_is_answered_again() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let mut bobs = Connection::all(&bob, 5, &[("m.room.member", "$LAZY")]);
    bobs.next().await;
    alice.send_text(&room, "lost?").await.unwrap();
    let lost = bobs.ask(0).await.unwrap();
    let again = bobs.ask(0).await.unwrap();
    assert_eq!(bodies(&lost["rooms"][&room]), ["lost?"]);
    for part in ["timeline", "required_state", "bump_stamp", "num_live"] {
        // But for the age of the events.
        let without_age = |answer: &serde_json::Value| {
            let mut part = answer["rooms"][&room][part].clone();
            for event in part.as_array_mut().into_iter().flatten() {
                event["unsigned"].as_object_mut().unwrap().remove("age");
            }
            part
        };
        assert_eq!(without_age(&lost), without_age(&again), "{part}");
    }
    bobs.pos = Some(again["pos"].as_str().unwrap().to_owned());
    assert_eq!(bobs.next().await["rooms"], json!({}));
}

#[tokio::test]
async fn who_comes_with_a_position_that_is_gone_has_to_begin_again() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let mut bobs = Connection::all(&bob, 5, &[]);
    bobs.next().await;
    let old = bobs.pos.clone();
    bobs.next().await;
    bobs.next().await;
    let current = bobs.pos.clone();
    for (user, conn_id, pos) in [
        (&bob, None, old),
        (&alice, None, current.clone()),
        (&bob, Some("another"), current.clone()),
        (&bob, None, Some("nonsense".to_owned())),
        (&bob, None, Some(String::new())),
    ] {
        let body = json!({ "conn_id": conn_id });
        let refused = Connection { user: user.clone(), body, pos }.ask(0).await.unwrap_err();
        assert_eq!((refused.status(), refused.errcode()), (Some(400), Some("M_UNKNOWN_POS")));
    }
    bobs.pos = None;
    assert_eq!(bobs.room(&room).await["initial"], true);
    // What was before is over.
    bobs.pos = current;
    assert_eq!(bobs.ask(0).await.unwrap_err().errcode(), Some("M_UNKNOWN_POS"));
}

#[tokio::test]
async fn connections_of_one_device_do_not_know_of_each_other() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let mut one = Connection::all(&bob, 5, &[]);
    let mut other = Connection::all(&bob, 5, &[]);
    one.body["conn_id"] = json!("one");
    other.body["conn_id"] = json!("other");
    assert_eq!(one.room(&room).await["initial"], true);
    alice.send_text(&room, "hello").await.unwrap();
    assert_eq!(other.room(&room).await["initial"], true);
    assert_eq!(bodies(&one.room(&room).await), ["hello"]);
    assert_eq!(other.next().await["rooms"], json!({}));
}

#[tokio::test]
async fn a_request_with_nothing_to_tell_waits_until_something_happens() {
    let server = Server::start().await;
    let (alice, bob, room) = server.room_of_two().await;
    let mut bobs = Connection::all(&bob, 5, &[]).extended();
    bobs.next().await;
    let start = Instant::now();
    let nothing = bobs.ask(200).await.unwrap();
    assert_eq!(nothing["rooms"], json!({}));
    assert!(start.elapsed() >= Duration::from_millis(180), "{:?}", start.elapsed());
    let (told, _) = tokio::join!(bobs.ask(20_000), alice.send_text(&room, "wake up"));
    assert_eq!(bodies(&told.unwrap()["rooms"][&room]), ["wake up"]);
    bobs.next().await;
    let typing = format!("{}/rooms/{room}/typing/@alice:hs.test", super::V3);
    let (told, _) =
        tokio::join!(bobs.ask(20_000), alice.put(&typing, json!({"typing": true, "timeout": 20_000})));
    let typing = &told.unwrap()["extensions"]["typing"]["rooms"][&room];
    assert_eq!(*typing, json!({ "type": "m.typing", "content": { "user_ids": ["@alice:hs.test"] } }));
}

#[tokio::test]
async fn a_change_of_what_is_asked_is_answered_at_once() {
    let server = Server::start().await;
    let (_, bob, room) = server.room_of_two().await;
    let mut bobs = Connection::new(&bob, json!({}));
    let nothing = bobs.next().await;
    assert_eq!((&nothing["rooms"], nothing.get("lists")), (&json!({}), None));
    bobs.body = Connection::all(&bob, 1, &[]).body;
    assert_eq!(bobs.ask(20_000).await.unwrap()["rooms"][&room]["initial"], true);
    // Also where only the number of rooms is to tell.
    bobs.body["lists"]["all"]["ranges"] = json!([[7, 9]]);
    assert_eq!(bobs.ask(20_000).await.unwrap()["lists"]["all"]["count"], 1);
}

#[tokio::test]
async fn clients_find_out_that_it_is_served_and_guests_may_use_it() {
    let server = Server::with(|builder| builder.guests(true)).await;
    let versions = server.get("/_matrix/client/versions", "").await.ok();
    assert_eq!(versions["unstable_features"]["org.matrix.simplified_msc3575"], true);
    let guest = server.post("/_matrix/client/v3/register?kind=guest", "", json!({})).await.ok();
    let told = server.post(PATH, guest["access_token"].as_str().unwrap(), json!({})).await.ok();
    assert_eq!((&told["rooms"], &told["extensions"]), (&json!({}), &json!({})));
    server.post(PATH, "", json!({})).await.refused(401, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn requests_that_ask_for_too_much_or_make_no_sense_are_refused() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let list = |change: serde_json::Value| {
        let mut list = json!({ "ranges": [[0, 1]], "timeline_limit": 1, "required_state": [] });
        list.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "lists": { "a": list } })
    };
    let many: serde_json::Map<_, _> = (0..101)
        .map(|n: u32| (n.to_string(), json!({ "timeline_limit": 1, "required_state": [] })))
        .collect();
    for (body, errcode) in [
        (json!({ "lists": [] }), "M_BAD_JSON"),
        (json!({ "lists": { "a": {} } }), "M_BAD_JSON"),
        (json!({ "lists": many }), "M_BAD_JSON"),
        (json!({ "lists": { "a".repeat(65): { "timeline_limit": 1, "required_state": [] } } }), "M_BAD_JSON"),
        (list(json!({ "ranges": [[-1, 2]] })), "M_BAD_JSON"),
        (list(json!({ "ranges": [[1]] })), "M_BAD_JSON"),
        (list(json!({ "timeline_limit": 1001 })), "M_BAD_JSON"),
        (list(json!({ "timeline_limit": -1 })), "M_BAD_JSON"),
        (list(json!({ "required_state": [["m.room.name"]] })), "M_BAD_JSON"),
        (list(json!({ "required_state": vec![["m.room.name", ""]; 513] })), "M_BAD_JSON"),
        (json!({ "room_subscriptions": { "!a:b": { "timeline_limit": 1 } } }), "M_BAD_JSON"),
        (json!({ "conn_id": 7 }), "M_BAD_JSON"),
        (json!({ "conn_id": "x".repeat(256) }), "M_BAD_JSON"),
        (json!({ "extensions": 7 }), "M_BAD_JSON"),
        (json!({ "extensions": { "to_device": { "enabled": true, "since": "x" } } }), "M_INVALID_PARAM"),
    ] {
        server.post(PATH, alice.access_token(), body).await.refused(400, errcode);
    }
    for body in [
        json!({ "lists": null, "room_subscriptions": null, "extensions": null }),
        json!({ "extensions": { "org.example.unknown": 1 }, "unknown": 2 }),
        list(json!({ "ranges": [[5, 2], [0, u64::MAX]] })),
        json!({ "room_subscriptions": { "nonsense": { "timeline_limit": 1, "required_state": [] } } }),
    ] {
        server.post(PATH, alice.access_token(), body).await.ok();
    }
    for query in ["timeout=x", "timeout=-1", "set_presence=x"] {
        server
            .post(&format!("{PATH}?{query}"), alice.access_token(), json!({}))
            .await
            .refused(400, "M_INVALID_PARAM");
    }
}
