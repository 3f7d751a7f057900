use std::time::Duration;

use super::*;
use crate::store::Durability;

#[expect(clippy::unnecessary_wraps, reason = "as the field that it is for")]
fn txn(id: &str, endpoint: &str, device: Option<&str>) -> Option<TxnKey> {
    Some(TxnKey {
        user_id: user("alice"),
        device_id: device.map(Into::into),
        endpoint: endpoint.to_owned(),
        txn_id: id.to_owned(),
    })
}

#[tokio::test]
async fn a_transaction_id_stands_for_one_event_per_user_device_and_path() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let send = |txn| fixture.rooms.append(Append { txn, ..Fixture::message(&room, "alice", "x") });
    let first = send(txn("1", "send", Some("D"))).await.unwrap();
    assert_eq!(send(txn("1", "send", Some("D"))).await.unwrap(), first);
    assert_ne!(send(txn("1", "send", Some("E"))).await.unwrap(), first);
    assert_ne!(send(txn("1", "send", None)).await.unwrap(), first);
    assert_ne!(send(txn("1", "redact", Some("D"))).await.unwrap(), first);
    assert_ne!(send(txn("2", "send", Some("D"))).await.unwrap(), first);
    assert_eq!(fixture.bodies(&room, "alice").len(), 5);
}

#[tokio::test]
async fn the_same_request_at_the_same_time_is_one_event() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let request = || {
        fixture.rooms.append(Append { txn: txn("1", "send", None), ..Fixture::message(&room, "alice", "x") })
    };
    let answers = futures_util::future::join_all((0..20).map(|_| request())).await;
    let first = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first));
    assert_eq!(fixture.bodies(&room, "alice").len(), 1);
}

#[tokio::test]
async fn a_transaction_id_is_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (room, first) = {
        let store = Store::open(dir.path(), Durability::Flushed).unwrap();
        let fixture = Fixture { rooms: rooms_in(store.clone()), store };
        let room = fixture.room("alice").await;
        let request = Append { txn: txn("1", "send", None), ..Fixture::message(&room, "alice", "x") };
        (room, fixture.rooms.append(request).await.unwrap())
    };
    let store = Store::open(dir.path(), Durability::Flushed).unwrap();
    let fixture = Fixture { rooms: rooms_in(store.clone()), store };
    let request = Append { txn: txn("1", "send", None), ..Fixture::message(&room, "alice", "x") };
    assert_eq!(fixture.rooms.append(request).await.unwrap(), first);
    fixture.send(&room, "alice", "y").await.unwrap();
    assert_eq!(fixture.bodies(&room, "alice"), ["y", "x"]);
}

#[tokio::test]
async fn only_who_is_in_the_room_and_has_the_power_sends() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    assert!(is_forbidden(fixture.send(&room, "bob", "x").await));
    fixture.join(&room, "bob").await.unwrap();
    fixture.send(&room, "bob", "x").await.unwrap();
    assert!(is_forbidden(fixture.set_state(&room, "bob", "m.room.name", json!({ "name": "x" })).await));
    fixture.set_state(&room, "alice", "m.room.power_levels", json!({ "events_default": 10 })).await.unwrap();
    assert!(is_forbidden(fixture.send(&room, "bob", "x").await));
}

#[tokio::test]
async fn the_same_state_again_is_the_same_event() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let set = |name| fixture.set_state(&room, "alice", "m.room.name", json!({ "name": name }));
    let first = set("a").await.unwrap();
    assert_eq!(set("a").await.unwrap(), first);
    let second = set("b").await.unwrap();
    assert_ne!(second, first);
    let alice = user("alice");
    let event = value(&fixture.rooms.event(&room, &viewer_of(&alice), &second).unwrap());
    assert_eq!(event["unsigned"]["prev_content"], json!({ "name": "a" }));
    assert_eq!(event["unsigned"]["replaces_state"], first.as_str());
}

#[tokio::test]
async fn a_redacted_event_has_lost_its_content_wherever_it_is_read() {
    let fixture = Fixture::new();
    for version in [RoomVersionId::V10, RoomVersionId::V12] {
        let room = fixture.room_of_version("alice", version).await;
        fixture.join(&room, "bob").await.unwrap();
        fixture.join(&room, "carol").await.unwrap();
        let event_id = fixture.send(&room, "bob", "secret").await.unwrap();
        let redact = |sender| {
            let request = Append {
                event_type: "m.room.redaction".into(),
                content: raw(&json!({ "reason": "r" })),
                redacts: Some(event_id.clone()),
                ..Fixture::message(&room, sender, "")
            };
            fixture.rooms.append(request)
        };
        assert!(is_forbidden(redact("carol").await));
        let redaction = redact("bob").await.unwrap();
        assert_eq!(fixture.bodies(&room, "carol"), ["?"]);
        // Not from memory either.
        let again = rooms_in(fixture.store.clone());
        for rooms in [&fixture.rooms, &again] {
            let carol = user("carol");
            let event = value(&rooms.event(&room, &viewer_of(&carol), &event_id).unwrap());
            assert_eq!(event["content"], json!({}));
            let because = &event["unsigned"]["redacted_because"];
            assert_eq!(because["event_id"], redaction.as_str());
            assert_eq!(because["content"]["redacts"], event_id.as_str());
            assert_eq!(because["redacts"], event_id.as_str());
        }
    }
}

#[tokio::test]
async fn what_is_too_large_or_not_canonical_is_refused() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let too_large = fixture.send(&room, "alice", &"x".repeat(65_000)).await;
    assert!(matches!(too_large, Err(RoomError::TooLarge(_))), "{too_large:?}");
    fixture.send(&room, "alice", &"x".repeat(60_000)).await.unwrap();
    let long_type = Append { event_type: "x".repeat(256).into(), ..Fixture::message(&room, "alice", "") };
    assert!(matches!(fixture.rooms.append(long_type).await, Err(RoomError::TooLarge(_))));
    let fraction = Append { content: raw(&json!({ "x": 1.5 })), ..Fixture::message(&room, "alice", "") };
    assert!(matches!(fixture.rooms.append(fraction).await, Err(RoomError::BadJson(_))));
    let list = Append { content: raw(&json!([])), ..Fixture::message(&room, "alice", "") };
    assert!(matches!(fixture.rooms.append(list).await, Err(RoomError::BadJson(_))));
}

#[tokio::test]
async fn many_senders_make_one_chain_of_events() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let sends = (0..200).map(|n| {
        let (rooms, message) = (fixture.rooms.clone(), Fixture::message(&room, "alice", &n.to_string()));
        tokio::spawn(async move { rooms.append(message).await.unwrap() })
    });
    let sends: Vec<_> = sends.collect();
    tokio::time::timeout(Duration::from_secs(20), futures_util::future::join_all(sends)).await.unwrap();
    let live = fixture.rooms.get(&room).unwrap().unwrap();
    let rows: Vec<_> = fixture
        .rooms
        .timeline_rows(&live, crate::store::Position::ZERO, crate::store::Position(u64::MAX - 1))
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 206);
    for pair in rows.windows(2) {
        assert_eq!(pair[1].event.pdu.prev_events, [pair[0].event.pdu.event_id.clone()]);
        assert_eq!(pair[1].event.pdu.depth, pair[0].event.pdu.depth + 1);
    }
}

#[tokio::test]
async fn a_room_goes_on_after_a_failed_write() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    fixture.send(&room, "alice", "1").await.unwrap();
    fixture.store.fail_next_commit();
    assert!(matches!(fixture.send(&room, "alice", "2").await, Err(RoomError::Store(_))));
    fixture.send(&room, "alice", "3").await.unwrap();
    assert_eq!(fixture.bodies(&room, "alice"), ["3", "1"]);
    let live = fixture.rooms.get(&room).unwrap().unwrap();
    assert_eq!(live.view().extremities.len(), 1);
}

#[tokio::test]
async fn a_service_says_when_an_event_happened() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let then = MilliSecondsSinceUnixEpoch(UInt::from(1_000_u32));
    let request = Append { origin_server_ts: Some(then), ..Fixture::message(&room, "alice", "x") };
    let event_id = fixture.rooms.append(request).await.unwrap();
    let alice = user("alice");
    let event = value(&fixture.rooms.event(&room, &viewer_of(&alice), &event_id).unwrap());
    assert_eq!(event["origin_server_ts"], 1000);
}

#[tokio::test]
async fn a_transaction_id_is_forgotten_after_weeks_and_not_before() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let at = |days: u64| MilliSecondsSinceUnixEpoch(UInt::try_from(days * 24 * 3_600_000 + 1).unwrap());
    let send = |txn: &str| {
        let txn = TxnKey {
            user_id: user("alice"),
            device_id: None,
            endpoint: "PUT /send".to_owned(),
            txn_id: txn.to_owned(),
        };
        fixture.rooms.append(Append { txn: Some(txn), ..Fixture::message(&room, "alice", "x") })
    };
    let old = send("old").await.unwrap();
    let transactions = fixture.rooms.transactions();
    assert_eq!(transactions.expire(at(1)).await.unwrap(), 0);
    let young = send("young").await.unwrap();
    assert_eq!(transactions.expire(at(14)).await.unwrap(), 0);
    assert_eq!(send("old").await.unwrap(), old);
    assert_eq!(transactions.expire(at(15)).await.unwrap(), 1);
    assert_eq!(send("young").await.unwrap(), young);
    assert_ne!(send("old").await.unwrap(), old);
    // The same from the rows alone.
    let again = rooms_in(fixture.store.clone());
    assert_eq!(again.transactions().expire(at(60)).await.unwrap(), 1);
    assert_eq!(again.transactions().expire(at(80)).await.unwrap(), 1);
    assert_eq!(fixture.store.scan_prefix(crate::store::Tree::Txn, []).count(), 0);
}

#[tokio::test]
async fn which_requests_are_known_is_read_when_they_come_and_not_at_the_start() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    // Made before the request, so it knows of it only if it looks.
    let started_earlier = rooms_in(fixture.store.clone());
    let txn = txn("1", "send", None);
    let request = Append { txn: txn.clone(), ..Fixture::message(&room, "alice", "x") };
    let event_id = fixture.rooms.append(request).await.unwrap();
    let known = started_earlier.transactions().lookup(&txn.unwrap()).unwrap();
    assert_eq!(known, Known::Answered(event_id.to_string()));
}

#[tokio::test]
async fn the_same_state_again_is_not_acknowledged_before_it_is_written() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let held = hold(&fixture.store);
    let name = || Box::pin(fixture.set_state(&room, "alice", "m.room.name", json!({ "name": "n" })));
    let (mut first, mut again) = (name(), name());
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut again).is_pending(), "the first is not written yet");
    drop(held);
    assert_eq!(first.await.unwrap(), again.await.unwrap());
}

#[tokio::test]
async fn a_request_that_is_repeated_while_its_write_fails_is_made_again() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let held = hold(&fixture.store);
    let send = || {
        let append = Append { txn: txn("1", "send", None), ..Fixture::message(&room, "alice", "x") };
        Box::pin(fixture.rooms.append(append))
    };
    let (mut first, mut again) = (send(), send());
    assert!(futures_util::poll!(&mut first).is_pending());
    // So many that the repetition is not in the batch that fails.
    for _ in 0..63 {
        drop(fixture.store.stage(WriteSet::new()));
    }
    assert!(futures_util::poll!(&mut again).is_pending());
    fixture.store.fail_next_commit();
    drop(held);
    first.await.unwrap_err();
    let event_id = again.await.unwrap();
    assert!(fixture.rooms.events().by_id(&event_id).unwrap().is_some(), "an answer names what is not there");
    assert_eq!(fixture.bodies(&room, "alice"), ["x"]);
}
