use matrix_appservice::bridge::{PortalKey, RemoteEvent, Resolution};

use super::{
    scene::{Scene, answers, texts},
    scripted::Act,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_sent_when_the_bridge_died_is_reported_if_nobody_knows_what_became_of_it() {
    let mut scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    scene.world.script([Act::Hang]);
    let event = alice.send_text(&room, "did you get this?").await.unwrap();
    scene.world.sent(1).await;
    scene.restart().await;
    let notice = alice.wait_for(|event| event["content"]["msgtype"] == "m.notice").await.unwrap();
    assert_eq!(answers(&notice), Some(event.as_str()));
    let asked = scene.world.uncertain(1).await;
    assert_eq!(asked[0].event_id, event);
    alice.send_text(&room, "next").await.unwrap();
    scene.world.sent(2).await;
    assert_eq!(scene.world.sent_now(), ["did you get this?", "next"], "it is not sent twice");
    assert_eq!(scene.metric("bridge_sends_uncertain_total"), 1);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_may_know_that_it_arrived_or_that_it_did_not() {
    let mut scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    scene.world.knows("one", Resolution::Arrived(vec!["r1".into()]));
    scene.world.knows("two", Resolution::NotSent);
    for text in ["one", "two"] {
        scene.world.script([Act::Hang]);
        let before = scene.world.sent_now().len();
        alice.send_text(&room, text).await.unwrap();
        scene.world.sent(before + 1).await;
        scene.restart().await;
        scene.world.listener().await;
    }
    scene.world.sent(3).await;
    alice.send_text(&room, "end").await.unwrap();
    scene.world.sent(4).await;
    assert_eq!(scene.world.sent_now(), ["one", "two", "two", "end"]);
    assert_eq!(texts(&alice, &room).await, ["one", "two", "end"], "nothing had to be reported");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_awaited_its_echo_when_the_bridge_died_is_asked_about() {
    let mut scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    scene.world.script([Act::Pending, Act::Pending, Act::Pending]);
    scene.world.knows("two", Resolution::NotSent);
    scene.world.knows("three", Resolution::Arrived(vec!["r3".into()]));
    let lost = alice.send_text(&room, "one").await.unwrap();
    alice.send_text(&room, "two").await.unwrap();
    alice.send_text(&room, "three").await.unwrap();
    scene.world.sent(3).await;
    scene.restart().await;
    let notice = alice.wait_for(|event| event["content"]["msgtype"] == "m.notice").await.unwrap();
    assert_eq!(answers(&notice), Some(lost.as_str()));
    assert_eq!(scene.world.sent(4).await[3].body(), "two");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_journalled_reaches_matrix_once_and_in_order_however_often_the_bridge_dies() {
    let mut scene = Scene::new().await;
    let (alice, room) = scene.user_in("alice", "cave").await;
    let portal = PortalKey::shared("cave");
    let mut next = 0;
    for _ in 0..8 {
        let sink = scene.world.listener().await;
        let pushes: Vec<_> = (next..next + 40)
            .map(|n| {
                sink.push(RemoteEvent::text(
                    portal.clone(),
                    format!("u{}", n % 4),
                    format!("m{n}"),
                    format!("{n}"),
                ))
            })
            .collect();
        next += 40;
        for push in pushes {
            push.await.unwrap();
        }
        drop(sink);
        scene.restart().await;
    }
    alice.wait_for_text(&room, &(next - 1).to_string()).await.unwrap();
    assert_eq!(texts(&alice, &room).await, (0..next).map(|n| n.to_string()).collect::<Vec<_>>());
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_the_bridge_was_away_is_handled_when_it_is_back() {
    let mut scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    alice.send_text(&room, "before").await.unwrap();
    scene.world.sent(1).await;
    scene.stop().await;
    for n in 0..10 {
        alice.send_text(&room, &format!("away {n}")).await.unwrap();
    }
    scene.start();
    scene.world.sent(11).await;
    let expected: Vec<_> =
        std::iter::once("before".to_owned()).chain((0..10).map(|n| format!("away {n}"))).collect();
    assert_eq!(scene.world.sent_now(), expected);
    scene.end().await;
}
