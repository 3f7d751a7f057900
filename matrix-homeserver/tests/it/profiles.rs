//! Profiles and presence.

use matrix_homeserver::testing::TestUser;
use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

#[tokio::test]
async fn a_new_name_is_shown_in_the_profile_and_in_every_room() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let own = format!("{V3}/profile/@alice:hs.test");
    assert_eq!(alice.get(&own).await.unwrap(), json!({"displayname": "alice"}));
    alice.put(&format!("{own}/displayname"), json!({"displayname": "Alice"})).await.unwrap();
    alice.put(&format!("{own}/avatar_url"), json!({"avatar_url": "mxc://hs.test/a"})).await.unwrap();
    alice.put(&format!("{own}/m.tz"), json!({"m.tz": "Europe/London"})).await.unwrap();
    let whole = server.get(&own, "").await.ok();
    assert_eq!(
        whole,
        json!({"displayname": "Alice", "avatar_url": "mxc://hs.test/a", "m.tz": "Europe/London"})
    );
    assert_eq!(alice.get(&format!("{own}/displayname")).await.unwrap(), json!({"displayname": "Alice"}));
    let member = alice.state(&room, "m.room.member", "@alice:hs.test").await.unwrap().unwrap();
    assert_eq!(
        member,
        json!({"membership": "join", "displayname": "Alice", "avatar_url": "mxc://hs.test/a"})
    );
    alice.delete(&format!("{own}/m.tz")).await.unwrap();
    assert_eq!(alice.get(&format!("{own}/m.tz")).await.unwrap_err().errcode(), Some("M_NOT_FOUND"));
    alice.put(&format!("{own}/displayname"), json!({"displayname": null})).await.unwrap();
    assert_eq!(alice.get(&format!("{own}/displayname")).await.unwrap(), json!({}));
}

#[tokio::test]
async fn profiles_are_changed_by_their_owners_within_limits() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    server.hs.user("bob").await.unwrap();
    let path = format!("{V3}/profile/@bob:hs.test/displayname");
    assert_eq!(
        alice.put(&path, json!({"displayname": "x"})).await.unwrap_err().errcode(),
        Some("M_FORBIDDEN")
    );
    let own = format!("{V3}/profile/@alice:hs.test");
    let long = "k".repeat(256);
    let table = [
        (format!("{own}/displayname"), json!({}), "M_MISSING_PARAM"),
        (format!("{own}/displayname"), json!({"displayname": 7}), "M_BAD_JSON"),
        (format!("{own}/displayname"), json!({"displayname": "x".repeat(2000)}), "M_INVALID_PARAM"),
        (format!("{own}/{long}"), json!({long.clone(): 1}), "M_KEY_TOO_LARGE"),
        (format!("{own}/test.big"), json!({"test.big": "x".repeat(70_000)}), "M_PROFILE_TOO_LARGE"),
        (format!("{own}/nickname"), json!({"nickname": "Al"}), "M_INVALID_PARAM"),
    ];
    for (path, body, errcode) in table {
        assert_eq!(alice.put(&path, body).await.unwrap_err().errcode(), Some(errcode));
    }
    let nobody = server.get(&format!("{V3}/profile/@nobody:hs.test"), "").await;
    nobody.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn presence_is_told_to_those_who_share_a_room() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let status = format!("{V3}/presence/@alice:hs.test/status");
    alice.put(&status, json!({"presence": "unavailable", "status_msg": "lunch"})).await.unwrap();
    assert_eq!(bob.get(&status).await.unwrap_err().errcode(), Some("M_FORBIDDEN"));
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    bob.join(&room).await.unwrap();
    let seen = bob.get(&status).await.unwrap();
    assert_eq!((&seen["presence"], &seen["status_msg"]), (&json!("unavailable"), &json!("lunch")));
    alice.put(&status, json!({"presence": "free_for_chat"})).await.unwrap();
    assert_eq!(bob.get(&status).await.unwrap()["presence"], "online");
    let refused = alice.put(&status, json!({"presence": "asleep"})).await.unwrap_err();
    assert_eq!(refused.errcode(), Some("M_INVALID_PARAM"));
}

#[tokio::test]
async fn tags_that_are_set_at_once_are_all_kept() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let path = format!("{V3}/user/@alice:hs.test/rooms/{room}/tags");
    let set = (0..16).map(|number| {
        let (alice, path) = (alice.clone(), format!("{path}/u.tag{number}"));
        async move { alice.put(&path, json!({"order": 0.5})).await.unwrap() }
    });
    futures_util::future::join_all(set).await;
    let tags = alice.get(&path).await.unwrap();
    assert_eq!(tags["tags"].as_object().unwrap().len(), 16);
}

#[tokio::test]
async fn fields_that_are_set_at_once_are_all_kept() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let own = format!("{V3}/profile/@alice:hs.test");
    let set = (0..16).map(|number| {
        let (alice, name) = (alice.clone(), format!("test.field{number}"));
        let path = format!("{own}/{name}");
        async move { alice.put(&path, json!({ name: number })).await.unwrap() }
    });
    futures_util::future::join_all(set).await;
    assert_eq!(alice.get(&own).await.unwrap().as_object().unwrap().len(), 17);
}

#[tokio::test]
async fn who_comes_into_a_room_and_who_is_there_learn_of_each_others_presence_at_once() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    for (user, message) in [(&alice, "tea"), (&bob, "work")] {
        let status = format!("{V3}/presence/{}/status", user.user_id());
        user.put(&status, json!({"presence": "online", "status_msg": message})).await.unwrap();
    }
    let sync = async |user: &TestUser, since: &str| {
        let path = format!("{V3}/sync?set_presence=offline&timeout=0{since}");
        user.get(&path).await.unwrap()
    };
    let told = |sync: &Value| {
        let events = sync["presence"]["events"].as_array().cloned().unwrap_or_default();
        events
            .iter()
            .map(|event| (event["sender"].clone(), event["content"]["status_msg"].clone()))
            .collect::<Vec<_>>()
    };
    let since = |sync: &Value| format!("&since={}", sync["next_batch"].as_str().unwrap());
    let (of_alice, of_bob) = (since(&sync(&alice, "").await), since(&sync(&bob, "").await));
    bob.join(&room).await.unwrap();
    let of_bob = sync(&bob, &of_bob).await;
    assert_eq!(told(&of_bob), [(json!("@alice:hs.test"), json!("tea"))]);
    let of_alice = sync(&alice, &of_alice).await;
    assert_eq!(told(&of_alice), [(json!("@bob:hs.test"), json!("work"))]);
    // A new name is no coming.
    bob.put(&format!("{V3}/profile/@bob:hs.test/displayname"), json!({"displayname": "B"})).await.unwrap();
    for _ in 0..70 {
        bob.send_text(&room, "x").await.unwrap();
    }
    assert_eq!(told(&sync(&alice, &since(&of_alice)).await), []);
    assert_eq!(told(&sync(&bob, &since(&of_bob)).await), []);
    // What is not in memory any more is found, too.
    let carol = server.hs.user("carol").await.unwrap();
    let status = format!("{V3}/presence/{}/status", carol.user_id());
    carol.put(&status, json!({"presence": "online", "status_msg": "new"})).await.unwrap();
    let before = since(&sync(&alice, "").await);
    carol.join(&room).await.unwrap();
    for _ in 0..70 {
        bob.send_text(&room, "x").await.unwrap();
    }
    assert_eq!(told(&sync(&alice, &before).await), [(json!("@carol:hs.test"), json!("new"))]);
}
