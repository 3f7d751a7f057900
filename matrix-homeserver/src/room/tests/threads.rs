use ruma::EventId;

use super::*;
use crate::store::Tree;

fn reply(room: &OwnedRoomId, sender: &str, root: &EventId, event_type: &str) -> Append {
    let content = json!({"body": "x", "m.relates_to": {"rel_type": "m.thread", "event_id": root}});
    Append { event_type: event_type.into(), content: raw(&content), ..Fixture::message(room, sender, "") }
}

fn redaction(room: &OwnedRoomId, sender: &str, target: &EventId) -> Append {
    Append {
        event_type: "m.room.redaction".into(),
        content: raw(&json!({"redacts": target})),
        redacts: Some(target.to_owned()),
        ..Fixture::message(room, sender, "")
    }
}

/// The number of replies and the newest of them, as somebody sees the root.
fn thread_of(rooms: &Rooms, room: &OwnedRoomId, viewer: &str, root: &EventId) -> (Value, Value) {
    let event = value(&rooms.event(room, &viewer_of(&user(viewer)), root).unwrap());
    let thread = &event["unsigned"]["m.relations"]["m.thread"];
    (thread["count"].clone(), thread["latest_event"]["event_id"].clone())
}

#[tokio::test]
async fn a_thread_is_shown_without_reading_its_replies() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let root = fixture.send(&room, "alice", "root").await.unwrap();
    let mut last = root.clone();
    for number in 0..50 {
        let kind = if number % 2 == 0 { "m.room.message" } else { "m.sticker" };
        last = fixture.rooms.append(reply(&room, "alice", &root, kind)).await.unwrap();
    }
    let newest = fixture.rooms.events().by_id(&last).unwrap().unwrap().0.number;
    let mut writes = WriteSet::new();
    // The newest of each kind may be looked at.
    for number in newest - 48..newest - 1 {
        writes.put(Tree::Event, number.to_be_bytes(), b"not an event");
    }
    fixture.store.commit(writes).await.unwrap();
    let rooms = rooms_in(fixture.store.clone());
    assert_eq!(thread_of(&rooms, &room, "alice", &root), (json!(50), json!(last)));
    let request = ThreadsRequest { participated: true, from: None, limit: 10 };
    let listed = rooms.threads(&room, &viewer_of(&user("alice")), request).unwrap();
    assert_eq!(value(&listed.chunk[0])["event_id"], json!(root));
}

#[tokio::test]
async fn a_reply_that_is_redacted_twice_at_once_is_taken_back_once() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let root = fixture.send(&room, "alice", "root").await.unwrap();
    let first = fixture.rooms.append(reply(&room, "alice", &root, "m.room.message")).await.unwrap();
    let second = fixture.rooms.append(reply(&room, "alice", &root, "m.room.message")).await.unwrap();
    let third = fixture.rooms.append(reply(&room, "alice", &root, "m.room.message")).await.unwrap();
    let redactions = (0..8).map(|_| fixture.rooms.append(redaction(&room, "alice", &third)));
    for redacted in futures_util::future::join_all(redactions).await {
        redacted.unwrap();
    }
    assert_eq!(thread_of(&fixture.rooms, &room, "alice", &root), (json!(2), json!(second)));
    for gone in [&second, &first] {
        fixture.rooms.append(redaction(&room, "alice", gone)).await.unwrap();
    }
    assert_eq!(thread_of(&fixture.rooms, &room, "alice", &root), (Value::Null, Value::Null));
}

#[tokio::test]
async fn who_does_not_see_all_of_a_thread_counts_what_he_sees() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let content = json!({"history_visibility": "joined"});
    fixture.set_state(&room, "alice", "m.room.history_visibility", content).await.unwrap();
    let send = |kind: &'static str, root: &EventId| fixture.rooms.append(reply(&room, "alice", root, kind));
    fixture.join(&room, "bob").await.unwrap();
    let root = fixture.send(&room, "alice", "root").await.unwrap();
    send("m.room.message", &root).await.unwrap();
    assert_eq!(thread_of(&fixture.rooms, &room, "bob", &root).0, json!(1));
    fixture.change(&room, "bob", MembershipAction::Leave, "bob").await.unwrap();
    let unseen = send("m.room.message", &root).await.unwrap();
    assert_eq!(thread_of(&fixture.rooms, &room, "bob", &root).0, json!(1));
    fixture.join(&room, "bob").await.unwrap();
    let last = send("m.sticker", &root).await.unwrap();
    assert_eq!(thread_of(&fixture.rooms, &room, "bob", &root), (json!(2), json!(last)));
    assert_eq!(thread_of(&fixture.rooms, &room, "alice", &root), (json!(3), json!(last)));
    fixture.rooms.append(redaction(&room, "alice", &last)).await.unwrap();
    let bob_sees = thread_of(&fixture.rooms, &room, "bob", &root);
    assert_ne!(bob_sees.1, json!(unseen));
    assert_eq!(bob_sees.0, json!(1));
}

#[tokio::test]
async fn replies_in_another_room_are_in_no_thread() {
    let fixture = Fixture::new();
    let (room, other) = (fixture.room("alice").await, fixture.room("alice").await);
    let root = fixture.send(&room, "alice", "root").await.unwrap();
    fixture.rooms.append(reply(&other, "alice", &root, "m.room.message")).await.unwrap();
    assert_eq!(thread_of(&fixture.rooms, &room, "alice", &root), (Value::Null, Value::Null));
    fixture.rooms.append(reply(&room, "alice", &root, "m.room.message")).await.unwrap();
    fixture.rooms.append(reply(&other, "alice", &root, "m.room.message")).await.unwrap();
    assert_eq!(thread_of(&fixture.rooms, &room, "alice", &root).0, json!(1));
}
