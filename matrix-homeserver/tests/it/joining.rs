//! Getting into rooms that are not open to everybody.

use matrix_homeserver::testing::TestUser;
use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

async fn room_with_rule(user: &TestUser, version: &str, rule: Value) -> String {
    let options = json!({
        "room_version": version, "initial_state": [{"type": "m.room.join_rules", "content": rule}],
    });
    user.create_room(options).await.unwrap().to_string()
}

fn restricted(rule: &str, to: &str) -> Value {
    json!({"join_rule": rule, "allow": [{"type": "m.room_membership", "room_id": to}]})
}

async fn knock(user: &TestUser, room: &str) -> Result<Value, matrix_homeserver::testing::TestError> {
    user.post(&format!("{V3}/knock/{room}"), json!({"reason": "please"})).await
}

#[tokio::test]
async fn who_knocks_is_seen_and_can_be_let_in_or_turned_away() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    for version in ["7", "12"] {
        let room = room_with_rule(&alice, version, json!({"join_rule": "knock"})).await;
        assert_eq!(knock(&bob, &room).await.unwrap()["room_id"], room.as_str());
        let told = bob.get(&format!("{V3}/sync?timeout=0")).await.unwrap();
        let state = told["rooms"]["knock"][&room]["knock_state"]["events"].as_array().unwrap();
        assert!(state.iter().any(|event| event["type"] == "m.room.create"));
        let member = alice.state(&room, "m.room.member", "@bob:hs.test").await.unwrap().unwrap();
        assert_eq!((&member["membership"], &member["reason"]), (&json!("knock"), &json!("please")));
        assert_eq!(bob.join(&room).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
        alice.kick(&room, "@bob:hs.test", "no").await.unwrap();
        knock(&bob, &room).await.unwrap();
        bob.leave(&room).await.unwrap();
        knock(&bob, &room).await.unwrap();
        alice.invite(&room, "@bob:hs.test").await.unwrap();
        bob.join(&room).await.unwrap();
        assert_eq!(knock(&bob, &room).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
    }
}

#[tokio::test]
async fn a_room_that_knows_no_knocking_is_not_knocked_on() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    for (version, rule) in [("6", "knock"), ("12", "invite"), ("12", "public")] {
        let room = room_with_rule(&alice, version, json!({"join_rule": rule})).await;
        assert_eq!(knock(&bob, &room).await.unwrap_err().errcode(), Some("M_FORBIDDEN"), "{version} {rule}");
    }
    let none = knock(&bob, "!none:hs.test").await.unwrap_err();
    assert!(matches!(none.status(), Some(403 | 404)));
}

#[tokio::test]
async fn members_of_a_room_join_the_rooms_that_are_restricted_to_it() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let club = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    for (version, rule) in [("8", "restricted"), ("12", "restricted"), ("10", "knock_restricted")] {
        let by_join = room_with_rule(&alice, version, restricted(rule, club.as_str())).await;
        let by_state = room_with_rule(&alice, version, restricted(rule, club.as_str())).await;
        assert_eq!(bob.join(&by_join).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
        let forged = json!({"membership": "join", "join_authorised_via_users_server": "@alice:hs.test"});
        let forged = bob.set_state(&by_state, "m.room.member", "@bob:hs.test", forged).await.unwrap_err();
        assert_eq!(forged.errcode(), Some("M_FORBIDDEN"), "nobody lets himself in by somebody else's name");
        if rule == "knock_restricted" {
            knock(&bob, &by_join).await.unwrap();
        }
        bob.join(&club).await.unwrap();
        bob.join(&by_join).await.unwrap();
        let member = alice.state(&by_join, "m.room.member", "@bob:hs.test").await.unwrap().unwrap();
        assert_eq!(member["join_authorised_via_users_server"], "@alice:hs.test");
        bob.set_state(&by_state, "m.room.member", "@bob:hs.test", json!({"membership": "join", "x.y": 1}))
            .await
            .unwrap();
        let member = alice.state(&by_state, "m.room.member", "@bob:hs.test").await.unwrap().unwrap();
        assert_eq!((&member["membership"], &member["x.y"]), (&json!("join"), &json!(1)));
        bob.leave(&club).await.unwrap();
    }
}

#[tokio::test]
async fn every_membership_can_be_set_by_its_state_event() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let set = |user: &TestUser, membership: &'static str| {
        let (user, room) = (user.clone(), room.clone());
        async move {
            user.set_state(&room, "m.room.member", "@bob:hs.test", json!({"membership": membership})).await
        }
    };
    assert_eq!(set(&bob, "join").await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
    for (user, membership) in
        [(&alice, "invite"), (&bob, "join"), (&alice, "leave"), (&alice, "ban"), (&alice, "leave")]
    {
        set(user, membership).await.unwrap();
        let member = alice.state(&room, "m.room.member", "@bob:hs.test").await.unwrap().unwrap();
        assert_eq!(member["membership"], membership);
    }
    assert_eq!(set(&alice, "dance").await.unwrap_err().errcode(), Some("M_BAD_JSON"));
}

#[tokio::test]
async fn invitations_are_limited_whichever_way_they_are_made() {
    let server = Server::with(|builder| builder.rate_limits(true)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let mut refused = 0;
    for number in 0..70 {
        let user_id = format!("@u{number}:hs.test");
        let invited =
            alice.set_state(&room, "m.room.member", &user_id, json!({"membership": "invite"})).await;
        refused += usize::from(invited.is_err_and(|error| error.errcode() == Some("M_LIMIT_EXCEEDED")));
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn who_wants_no_invitations_gets_none() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let permission = format!("{V3}/user/@bob:hs.test/account_data/m.invite_permission_config");
    bob.put(&permission, json!({"default_action": "block"})).await.unwrap();
    let blocked = alice.invite(&room, "@bob:hs.test").await.unwrap_err();
    assert_eq!((blocked.status(), blocked.errcode()), (Some(403), Some("M_INVITE_BLOCKED")));
    let by_state =
        alice.set_state(&room, "m.room.member", "@bob:hs.test", json!({"membership": "invite"})).await;
    assert_eq!(by_state.unwrap_err().errcode(), Some("M_INVITE_BLOCKED"));
    let at_first = alice.create_room(json!({"invite": ["@bob:hs.test"]})).await.unwrap_err();
    assert_eq!(at_first.errcode(), Some("M_INVITE_BLOCKED"));
    let by_state = json!([{"type": "m.room.member", "state_key": "@bob:hs.test",
        "content": {"membership": "invite"}}]);
    let at_first = alice.create_room(json!({"initial_state": by_state})).await.unwrap_err();
    assert_eq!(at_first.errcode(), Some("M_INVITE_BLOCKED"));
    bob.put(&permission, json!({})).await.unwrap();
    alice.invite(&room, "@bob:hs.test").await.unwrap();
}
