use futures_util::future::join_all;
use matrix_appservice::bridge::{MemberChange, Part, PortalKey, RemoteEvent, RemoteEventKind};
use ruma::{MilliSecondsSinceUnixEpoch, UInt};

use super::scene::{Scene, answers, texts};

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_chat_arrive_in_order_with_their_time_and_their_author() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("alice", "cave").await;
    let sink = scene.world.listener().await;
    let portal = PortalKey::shared("cave");
    let pushes = (0..300).map(|n| {
        let who = ["bob", "carol", "dave"][n % 3];
        let event = RemoteEvent::text(portal.clone(), who, format!("m{n}"), format!("line {n}"));
        sink.push(event.at(MilliSecondsSinceUnixEpoch(UInt::new(1_700_000_000_000).unwrap())))
    });
    for pushed in join_all(pushes.collect::<Vec<_>>()).await {
        pushed.unwrap();
    }
    let last = alice.wait_for_text(&room, "line 299").await.unwrap();
    assert_eq!(last["sender"], "@test_dave:hs.test");
    assert_eq!(last["origin_server_ts"], 1_700_000_000_000_u64);
    let expected: Vec<_> = (0..300).map(|n| format!("line {n}")).collect();
    assert_eq!(texts(&alice, &room).await, expected);
    let member = alice.state(&room, "m.room.member", "@test_bob:hs.test").await.unwrap().unwrap();
    assert_eq!((&member["membership"], &member["displayname"]), (&"join".into(), &"bob of Test".into()));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_network_delivers_again_is_one_event() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("alice", "cave").await;
    for _ in 0..3 {
        scene.say("cave", "bob", "m1", "once").await;
    }
    scene.say("cave", "bob", "m2", "end").await;
    alice.wait_for_text(&room, "end").await.unwrap();
    assert_eq!(texts(&alice, &room).await, ["once", "end"]);
    assert_eq!(scene.metric("bridge_remote_events_duplicate_total"), 2);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_before_he_has_joined_and_messages_do_not_wait_for_a_flood_of_members() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("alice", "cave").await;
    let sink = scene.world.listener().await;
    let portal = PortalKey::shared("cave");
    let names: Vec<_> = (0..200).map(|n| MemberChange::join(format!("user{n}"))).collect();
    let flood = sink.push(RemoteEvent::all_members(portal.clone(), names));
    let speech = sink.push(RemoteEvent::text(portal.clone(), "user199", "m1", "first"));
    flood.await.unwrap();
    speech.await.unwrap();
    alice.wait_for_membership(&room, "@test_user199:hs.test", "join").await.unwrap();
    alice.wait_for_text(&room, "first").await.unwrap();
    let early = alice.joined_members(&room).await.unwrap().len();
    assert!(early < 200, "the message waited until {early} had joined");
    while alice.joined_members(&room).await.unwrap().len() < 202 {
        alice.wait_for(|event| event["content"]["membership"] == "join").await.unwrap();
    }
    // Whoever is not in a complete list has left.
    let rest = (0..5).map(|n| MemberChange::join(format!("user{n}"))).collect();
    sink.push(RemoteEvent::all_members(portal, rest)).await.unwrap();
    while alice.joined_members(&room).await.unwrap().len() > 7 {
        alice.wait_for(|event| event["content"]["membership"] == "leave").await.unwrap();
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_answers_reactions_and_removals_find_their_message() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("alice", "cave").await;
    let sink = scene.world.listener().await;
    let portal = PortalKey::shared("cave");
    scene.say("cave", "bob", "m1", "helo").await;
    let first = alice.wait_for_text(&room, "helo").await.unwrap()["event_id"].clone();
    let edit = |id: &str| {
        let kind = RemoteEventKind::Edit {
            target: "m1".into(),
            id: Some(id.into()),
            parts: vec![Part::text("hello")],
        };
        RemoteEvent::new(portal.clone(), kind).by("bob")
    };
    sink.push(edit("e1")).await.unwrap();
    let edited = alice.wait_for_text(&room, "* hello").await.unwrap();
    assert_eq!(edited["content"]["m.relates_to"]["event_id"], first);
    let mut reply = RemoteEvent::text(portal.clone(), "carol", "m2", "hi bob");
    if let RemoteEventKind::Message { reply_to, .. } = &mut reply.kind {
        *reply_to = Some("m1".into());
    }
    sink.push(reply).await.unwrap();
    let reply = alice.wait_for_text(&room, "hi bob").await.unwrap();
    assert_eq!(answers(&reply), first.as_str());
    let react = RemoteEventKind::Reaction { target: "m1".into(), emoji: "👍".to_owned() };
    for _ in 0..2 {
        sink.push(RemoteEvent::new(portal.clone(), react.clone()).by("carol")).await.unwrap();
    }
    let reaction = alice.wait_for(|event| event["type"] == "m.reaction").await.unwrap();
    assert_eq!(reaction["content"]["m.relates_to"]["event_id"], first);
    let unreact = RemoteEventKind::ReactionRemoved { target: "m1".into(), emoji: "👍".to_owned() };
    sink.push(RemoteEvent::new(portal.clone(), unreact).by("carol")).await.unwrap();
    let removed = alice.wait_for(|event| event["type"] == "m.room.redaction").await.unwrap();
    assert_eq!(*redacts(&removed), reaction["event_id"]);
    let remove = RemoteEventKind::Remove { target: "m1".into(), part: None, reason: Some("oops".into()) };
    sink.push(RemoteEvent::new(portal, remove).by("bob")).await.unwrap();
    let removed = alice.wait_for(|event| event["type"] == "m.room.redaction").await.unwrap();
    assert_eq!(*redacts(&removed), first);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_in_parts_is_several_events() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("alice", "cave").await;
    let sink = scene.world.listener().await;
    let kind = RemoteEventKind::Message {
        id: "m1".into(),
        parts: vec![Part::text("picture"), Part::text("caption").named("caption")],
        reply_to: None,
        thread: None,
        txn: None,
    };
    let event = RemoteEvent::new(PortalKey::shared("cave"), kind).by("bob");
    sink.push(event.clone()).await.unwrap();
    sink.push(event).await.unwrap();
    scene.say("cave", "bob", "m2", "end").await;
    alice.wait_for_text(&room, "end").await.unwrap();
    assert_eq!(texts(&alice, &room).await, ["picture", "caption", "end"]);
    scene.end().await;
}

/// Room versions differ in where the redacted event stands.
fn redacts(event: &serde_json::Value) -> &serde_json::Value {
    if event["redacts"].is_null() { &event["content"]["redacts"] } else { &event["redacts"] }
}
