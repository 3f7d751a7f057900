use ruma::events::room::member::MembershipState;

use super::*;

#[tokio::test]
async fn an_invited_user_joins_is_kicked_is_banned_is_unbanned_and_comes_back() {
    use MembershipAction::{Ban, Invite, Join, Kick, Leave, Unban};
    let fixture = Fixture::new();
    let request = CreateRoom { preset: Preset::PrivateChat, ..Fixture::request("alice") };
    let room = fixture.rooms.create(request).await.unwrap();
    let membership = || fixture.rooms.membership_of(&room, &user("bob")).unwrap();
    assert!(is_forbidden(fixture.join(&room, "bob").await));
    let steps = [
        (Invite, "alice", MembershipState::Invite),
        (Join, "bob", MembershipState::Join),
        (Kick, "alice", MembershipState::Leave),
        (Invite, "alice", MembershipState::Invite),
        (Leave, "bob", MembershipState::Leave),
        (Ban, "alice", MembershipState::Ban),
        (Unban, "alice", MembershipState::Leave),
        (Invite, "alice", MembershipState::Invite),
        (Join, "bob", MembershipState::Join),
    ];
    for (action, sender, expected) in steps {
        fixture.change(&room, sender, action, "bob").await.unwrap();
        assert_eq!(membership(), Some(expected), "{action:?}");
        assert_eq!(fixture.rooms.of_user(&user("bob")).unwrap()[&room].membership, membership().unwrap());
    }
    let view = fixture.rooms.get(&room).unwrap().unwrap().view();
    assert_eq!((view.joined, view.invited), (2, 0));
}

#[tokio::test]
async fn what_a_membership_does_not_allow_is_refused() {
    use MembershipAction::{Ban, Invite, Join, Kick, Knock, Leave, Unban};
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    for (sender, action, target) in [
        ("alice", Kick, "bob"),
        ("bob", Leave, "bob"),
        ("bob", Invite, "carol"),
        ("bob", Knock, "bob"),
        ("alice", Kick, "alice"),
        ("alice", Invite, "alice"),
    ] {
        assert!(
            is_forbidden(fixture.change(&room, sender, action, target).await),
            "{sender} {action:?} {target}"
        );
    }
    let not_banned = fixture.change(&room, "alice", Unban, "bob").await;
    assert!(matches!(not_banned, Err(RoomError::BadState(_))), "{not_banned:?}");
    fixture.join(&room, "bob").await.unwrap();
    assert!(is_forbidden(fixture.change(&room, "bob", Ban, "alice").await));
    assert!(is_forbidden(fixture.change(&room, "bob", Kick, "alice").await));
    fixture.change(&room, "alice", Ban, "bob").await.unwrap();
    for (sender, action) in [("bob", Join), ("bob", Knock), ("alice", Invite), ("alice", Kick)] {
        let refused = fixture.change(&room, sender, action, "bob").await;
        assert!(matches!(refused, Err(RoomError::BadState(_))), "{action:?} of the banned bob: {refused:?}");
    }
}

#[tokio::test]
async fn joining_twice_is_one_event_and_a_new_name_is_another() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let first = fixture.join(&room, "bob").await.unwrap();
    assert_eq!(fixture.join(&room, "bob").await.unwrap(), first);
    let change = MembershipChange {
        room_id: room.clone(),
        sender: user("bob"),
        target: user("bob"),
        action: MembershipAction::Join,
        content: object(json!({ "displayname": "Bob", "reason": "why not" })),
        origin_server_ts: None,
        txn: None,
    };
    assert_ne!(fixture.rooms.membership(change).await.unwrap(), first);
    let view = fixture.rooms.joined_members(&room, &user("alice")).unwrap();
    assert_eq!(view.members[&user("bob")].displayname.as_deref(), Some("Bob"));
    let content = fixture.state_of(&room, "alice", "m.room.member", "@bob:hs.test");
    assert_eq!(content["reason"], "why not");
}

#[tokio::test]
async fn a_restricted_room_lets_in_who_is_in_another_room() {
    let fixture = Fixture::new();
    let club = fixture.room("alice").await;
    let room = fixture.room("alice").await;
    let rules =
        json!({ "join_rule": "restricted", "allow": [{ "type": "m.room_membership", "room_id": club }] });
    fixture.set_state(&room, "alice", "m.room.join_rules", rules).await.unwrap();
    assert!(is_forbidden(fixture.join(&room, "bob").await));
    fixture.join(&club, "bob").await.unwrap();
    fixture.join(&room, "bob").await.unwrap();
    let content = fixture.state_of(&room, "alice", "m.room.member", "@bob:hs.test");
    assert_eq!(content["join_authorised_via_users_server"], "@alice:hs.test");
}

#[tokio::test]
async fn a_knock_is_answered_by_an_invitation() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    fixture.set_state(&room, "alice", "m.room.join_rules", json!({ "join_rule": "knock" })).await.unwrap();
    assert!(is_forbidden(fixture.join(&room, "bob").await));
    fixture.change(&room, "bob", MembershipAction::Knock, "bob").await.unwrap();
    fixture.change(&room, "alice", MembershipAction::Invite, "bob").await.unwrap();
    fixture.join(&room, "bob").await.unwrap();
}

#[tokio::test]
async fn only_a_room_that_was_left_is_forgotten() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let forget = |name| {
        let (rooms, room, user_id) = (fixture.rooms.clone(), room.clone(), user(name));
        async move { rooms.forget(&room, &user_id).await }
    };
    assert!(matches!(forget("bob").await, Err(RoomError::NotFound(_))));
    fixture.join(&room, "bob").await.unwrap();
    assert!(matches!(forget("bob").await, Err(RoomError::InvalidParam(_))));
    fixture.change(&room, "bob", MembershipAction::Leave, "bob").await.unwrap();
    assert!(fixture.rooms.access(&room, &user("bob")).is_ok());
    forget("bob").await.unwrap();
    assert!(is_forbidden(fixture.rooms.access(&room, &user("bob"))));
}

#[tokio::test]
async fn a_room_is_not_forgotten_by_who_is_coming_back() {
    let fixture = Fixture::new();
    let (room, bob) = (fixture.room("alice").await, user("bob"));
    fixture.join(&room, "bob").await.unwrap();
    fixture.change(&room, "bob", MembershipAction::Leave, "bob").await.unwrap();
    let held = hold(&fixture.store);
    let mut join = Box::pin(fixture.join(&room, "bob"));
    assert!(futures_util::poll!(&mut join).is_pending());
    let mut forget = Box::pin(fixture.rooms.forget(&room, &bob));
    let waits = futures_util::poll!(&mut forget).is_pending();
    drop(held);
    join.await.unwrap();
    if waits {
        let _ = forget.await;
    }
    let mine = fixture.rooms.of_user(&bob).unwrap()[&room].clone();
    assert_eq!((mine.membership, mine.forgotten), (MembershipState::Join, false));
}

#[tokio::test]
async fn a_room_is_forgotten_as_soon_as_the_leaving_is_written() {
    let fixture = Fixture::new();
    let (room, bob) = (fixture.room("alice").await, user("bob"));
    fixture.join(&room, "bob").await.unwrap();
    let held = hold(&fixture.store);
    let mut leave = Box::pin(fixture.change(&room, "bob", MembershipAction::Leave, "bob"));
    assert!(futures_util::poll!(&mut leave).is_pending());
    let mut forget = Box::pin(fixture.rooms.forget(&room, &bob));
    assert!(futures_util::poll!(&mut forget).is_pending());
    drop(held);
    leave.await.unwrap();
    forget.await.unwrap();
    let mine = fixture.rooms.of_user(&bob).unwrap()[&room].clone();
    assert_eq!((mine.membership, mine.forgotten), (MembershipState::Leave, true));
}

#[tokio::test]
async fn a_new_name_brings_nobody_back_who_has_left() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    fixture.join(&room, "bob").await.unwrap();
    fixture.change(&room, "bob", MembershipAction::Profile, "bob").await.unwrap();
    fixture.change(&room, "alice", MembershipAction::Kick, "bob").await.unwrap();
    assert!(is_forbidden(fixture.change(&room, "bob", MembershipAction::Profile, "bob").await));
    assert_eq!(fixture.rooms.membership_of(&room, &user("bob")).unwrap(), Some(MembershipState::Leave));
}
