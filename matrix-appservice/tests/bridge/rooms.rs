use matrix_appservice::bridge::{ChatInfo, PortalKey, RemoteEvent, RemoteEventKind};
use serde_json::json;

use super::scene::{DEADLINE, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_that_somebody_asks_for_becomes_a_room_as_the_chat_is() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("alice", "cave").await;
    let name = alice.state(&room, "m.room.name", "").await.unwrap().unwrap();
    assert_eq!(name["name"], "cave");
    let topic = alice.state(&room, "m.room.topic", "").await.unwrap().unwrap();
    assert_eq!(topic["topic"], "about cave");
    let bridge = alice.state(&room, "m.bridge", "test://cave").await.unwrap().unwrap();
    assert_eq!((&bridge["protocol"]["id"], &bridge["channel"]["id"]), (&json!("test"), &json!("cave")));
    let sink = scene.world.listener().await;
    let portal = PortalKey::shared("cave");
    sink.push(RemoteEvent::chat(portal.clone(), ChatInfo::topic("dark"))).await.unwrap();
    alice
        .wait_for(|event| event["type"] == "m.room.topic" && event["content"]["topic"] == "dark")
        .await
        .unwrap();
    sink.push(RemoteEvent::new(portal, RemoteEventKind::ChatGone { reason: Some("collapsed".into()) }))
        .await
        .unwrap();
    alice.wait_for_text(&room, "collapsed").await.unwrap();
    alice.wait_for_membership(&room, "@testbot:hs.test", "leave").await.unwrap();
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_no_chat_is_not_found() {
    let scene = Scene::new().await;
    let alice = scene.homeserver.user("alice").await.unwrap();
    let error = alice.join("#test_nowhere:hs.test").await.unwrap_err();
    assert_eq!(error.errcode(), Some("M_NOT_FOUND"));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_ask_at_once_come_into_one_room() {
    let scene = Scene::new().await;
    let (one, other) = tokio::join!(scene.user_in("alice", "cave"), scene.user_in("carol", "cave"));
    assert_eq!(one.1, other.1);
    assert_eq!(scene.metric("bridge_portals_made_total"), 1);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_invites_a_ghost_talks_to_him_in_private() {
    let scene = Scene::new().await;
    let alice = scene.homeserver.user("alice").await.unwrap().with_deadline(DEADLINE);
    let options =
        json!({ "is_direct": true, "invite": ["@test_bob:hs.test"], "preset": "trusted_private_chat" });
    let room = alice.create_room(options).await.unwrap();
    alice.wait_for_membership(&room, "@test_bob:hs.test", "join").await.unwrap();
    alice.send_text(&room, "psst").await.unwrap();
    let sent = scene.world.sent(1).await;
    assert_eq!((sent[0].body(), &sent[0].portal), ("psst", &PortalKey::private("bob", "alice")));
    let sink = scene.world.sink("alice").await;
    sink.push(RemoteEvent::text(PortalKey::private("bob", "alice"), "bob", "m1", "what?")).await.unwrap();
    let heard = alice.wait_for_text(&room, "what?").await.unwrap();
    assert_eq!(heard["sender"], "@test_bob:hs.test");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_the_network_who_writes_first_invites_into_a_private_room() {
    let scene = Scene::new().await;
    let (alice, _) = scene.user_in("puppet-alice", "cave").await;
    let sink = scene.world.sink("alice").await;
    sink.push(RemoteEvent::text(PortalKey::private("bob", "alice"), "bob", "m1", "psst")).await.unwrap();
    let invite = alice
        .wait_for(|event| {
            event["content"]["membership"] == "invite" && event["state_key"] == alice.user_id().as_str()
        })
        .await
        .unwrap();
    assert_eq!(invite["sender"], "@test_bob:hs.test");
    let room = invite["room_id"].as_str().unwrap();
    alice.join(room).await.unwrap();
    alice.wait_for_text(room, "psst").await.unwrap();
    scene.end().await;
}
