use proptest::prelude::*;

use super::*;
use crate::store::Position;

fn bodies(chunk: &[Box<RawValue>]) -> Vec<String> {
    let body = |event: &RawValue| value(event)["content"]["body"].as_str().map(str::to_owned);
    chunk.iter().filter_map(|event| body(event)).collect()
}

#[test]
fn pages_of_any_size_in_either_direction_give_every_event_once_and_in_order() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fixture = Fixture::new();
    let room = runtime.block_on(async {
        let room = fixture.room("alice").await;
        for n in 0..50 {
            fixture.send(&room, "alice", &n.to_string()).await.unwrap();
        }
        room
    });
    let alice = user("alice");
    let everything: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    proptest!(ProptestConfig::with_cases(60), |(limit in 1_usize..70, forward in any::<bool>(), messages_only in any::<bool>())| {
        let filter = RoomEventFilter { types: messages_only.then(|| vec!["m.room.mess*".to_owned()]), ..RoomEventFilter::default() };
        let direction = if forward { Direction::Forward } else { Direction::Backward };
        let (mut from, mut seen, mut pages) = (None, Vec::new(), 0);
        loop {
            let request = timeline::PageRequest { from, to: None, direction, limit, filter: &filter };
            let messages = fixture.rooms.messages(&room, &viewer_of(&alice), request).unwrap();
            prop_assert!(messages.chunk.len() <= limit);
            seen.extend(bodies(&messages.chunk));
            pages += 1;
            prop_assert!(pages < 100);
            from = messages.end;
            if from.is_none() { break; }
        }
        if !forward { seen.reverse(); }
        prop_assert_eq!(&seen, &everything);
    });
}

#[tokio::test]
async fn a_page_ends_where_it_is_told_to() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let mut at = Vec::new();
    for n in 0..10 {
        fixture.send(&room, "alice", &n.to_string()).await.unwrap();
        at.push(fixture.store.frontier());
    }
    let filter = RoomEventFilter::default();
    let (alice, limit) = (user("alice"), 100);
    let request = |direction, from, to| timeline::PageRequest {
        from: Some(from),
        to: Some(to),
        direction,
        limit,
        filter: &filter,
    };
    let page = |request| bodies(&fixture.rooms.messages(&room, &viewer_of(&alice), request).unwrap().chunk);
    assert_eq!(page(request(Direction::Backward, at[5], at[2])), ["5", "4", "3"]);
    assert_eq!(page(request(Direction::Forward, at[2], at[5])), ["3", "4", "5"]);
    assert_eq!(page(request(Direction::Forward, at[5], at[2])), [""; 0]);
    assert_eq!(page(request(Direction::Backward, Position::MAX, at[8])), ["9"]);
}

#[tokio::test]
async fn history_is_seen_by_whom_the_room_says() {
    for (visibility, expected) in [
        ("world_readable", ["invited", "before", "joined"].as_slice()),
        ("shared", &["invited", "before", "joined"]),
        ("invited", &["invited", "joined"]),
        ("joined", &["joined"]),
    ] {
        let fixture = Fixture::new();
        let room = fixture.room("alice").await;
        let content = json!({ "history_visibility": visibility });
        fixture.set_state(&room, "alice", "m.room.history_visibility", content).await.unwrap();
        fixture.send(&room, "alice", "before").await.unwrap();
        let outside = fixture.bodies(&room, "bob");
        assert_eq!(
            outside,
            if visibility == "world_readable" { vec!["before"] } else { vec![] },
            "{visibility}"
        );
        fixture.change(&room, "alice", MembershipAction::Invite, "bob").await.unwrap();
        fixture.send(&room, "alice", "invited").await.unwrap();
        fixture.join(&room, "bob").await.unwrap();
        fixture.send(&room, "alice", "joined").await.unwrap();
        fixture.change(&room, "bob", MembershipAction::Leave, "bob").await.unwrap();
        fixture.send(&room, "alice", "left").await.unwrap();
        let mut seen = fixture.bodies(&room, "bob");
        seen.sort();
        let mut expected: Vec<_> = expected.to_vec();
        if visibility == "world_readable" {
            expected.push("left");
        }
        expected.sort_unstable();
        assert_eq!(seen, expected, "{visibility}");
    }
}

#[tokio::test]
async fn who_rejects_an_invitation_has_seen_nothing() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    fixture.send(&room, "alice", "secret").await.unwrap();
    fixture.change(&room, "alice", MembershipAction::Invite, "bob").await.unwrap();
    fixture.change(&room, "bob", MembershipAction::Leave, "bob").await.unwrap();
    assert!(fixture.bodies(&room, "bob").is_empty());
}

#[tokio::test]
async fn an_event_is_shown_with_what_was_around_it_and_the_state_of_then() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    fixture.set_state(&room, "alice", "m.room.name", json!({ "name": "then" })).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(fixture.send(&room, "alice", &n.to_string()).await.unwrap());
    }
    fixture.set_state(&room, "alice", "m.room.name", json!({ "name": "now" })).await.unwrap();
    let (alice, filter) = (user("alice"), RoomEventFilter::default());
    let context = fixture.rooms.context(&room, &viewer_of(&alice), &ids[5], 4, &filter).unwrap();
    assert_eq!(value(&context.event)["content"]["body"], "5");
    assert_eq!(bodies(&context.events_before), ["4", "3"]);
    assert_eq!(bodies(&context.events_after), ["6", "7"]);
    let name = context.state.iter().map(|event| value(event)).find(|event| event["type"] == "m.room.name");
    assert_eq!(name.unwrap()["content"]["name"], "then");
    let request = |from, direction| timeline::PageRequest {
        from: Some(from),
        to: None,
        direction,
        limit: 1,
        filter: &filter,
    };
    let page = |request| bodies(&fixture.rooms.messages(&room, &viewer_of(&alice), request).unwrap().chunk);
    assert_eq!(page(request(context.start, Direction::Backward)), ["2"]);
    assert_eq!(page(request(context.end, Direction::Forward)), ["8"]);
    assert!(fixture.rooms.context(&room, &viewer_of(&user("bob")), &ids[5], 4, &filter).is_err());
}

#[tokio::test]
async fn members_are_told_as_they_were_and_by_membership() {
    use ruma::events::room::member::MembershipState;
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    fixture.join(&room, "bob").await.unwrap();
    let then = fixture.store.frontier();
    fixture.change(&room, "bob", MembershipAction::Leave, "bob").await.unwrap();
    fixture.change(&room, "alice", MembershipAction::Invite, "carol").await.unwrap();
    let alice = user("alice");
    let members = |request| {
        let events = fixture.rooms.members(&room, &viewer_of(&alice), &request).unwrap();
        let mut members: Vec<_> = events
            .iter()
            .map(|event| value(event))
            .map(|event| {
                format!(
                    "{}={}",
                    event["state_key"].as_str().unwrap(),
                    event["content"]["membership"].as_str().unwrap()
                )
            })
            .collect();
        members.sort();
        members
    };
    let all = read::MembersRequest::default();
    assert_eq!(members(all.clone()), ["@alice:hs.test=join", "@bob:hs.test=leave", "@carol:hs.test=invite"]);
    assert_eq!(
        members(read::MembersRequest { at: Some(then), ..all.clone() }),
        ["@alice:hs.test=join", "@bob:hs.test=join"]
    );
    let joined = read::MembersRequest { membership: Some(MembershipState::Join), ..all.clone() };
    assert_eq!(members(joined), ["@alice:hs.test=join"]);
    let here = read::MembersRequest { not_membership: Some(MembershipState::Leave), ..all };
    assert_eq!(members(here), ["@alice:hs.test=join", "@carol:hs.test=invite"]);
}
