use std::time::Duration;

use matrix_appservice::bridge::{MatrixChangeKind, MemberAction, SendError, Sent};
use serde_json::json;

use super::{
    scene::{Scene, answers, texts},
    scripted::Act,
};

#[tokio::test(flavor = "multi_thread")]
async fn messages_reach_the_network_in_order_and_nothing_that_the_bridge_itself_said() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    scene.say("cave", "bob", "m1", "from the network").await;
    alice.wait_for_text(&room, "from the network").await.unwrap();
    for n in 0..50 {
        alice.send_text(&room, &format!("line {n}")).await.unwrap();
    }
    let sent = scene.world.sent(50).await;
    let bodies: Vec<_> = sent.iter().map(|message| message.body().to_owned()).collect();
    assert_eq!(bodies, (0..50).map(|n| format!("line {n}")).collect::<Vec<_>>());
    assert!(!sent[0].sender.relayed);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_login_speaks_through_the_relay_with_his_name() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("alice", "cave").await;
    alice.send_text(&room, "hi").await.unwrap();
    let sent = scene.world.sent(1).await;
    assert_eq!(sent[0].body(), "<alice> hi");
    assert!(sent[0].sender.relayed);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_gets_his_login_and_his_comings_and_goings_are_told() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    let join = scene.world.change(|change| match &change.kind {
        MatrixChangeKind::Member { action: MemberAction::Join, user, .. } => Some(user.clone()),
        _ => None,
    });
    assert_eq!(join.await, "@puppet-alice:hs.test");
    alice.leave(&room).await.unwrap();
    let leave = scene.world.change(|change| match &change.kind {
        MatrixChangeKind::Member { action: MemberAction::Leave, .. } => Some(()),
        _ => None,
    });
    leave.await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_network_refuses_is_reported_to_the_sender() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    scene.world.script([Act::Answer(Sent::Failed(SendError::rejected("no colours here")))]);
    let event = alice.send_text(&room, "red").await.unwrap();
    let notice = alice.wait_for(|event| event["content"]["msgtype"] == "m.notice").await.unwrap();
    assert_eq!(notice["content"]["body"], "This message was not delivered: no colours here");
    assert_eq!(answers(&notice), Some(event.as_str()));
    alice.send_text(&room, "grey").await.unwrap();
    assert_eq!(scene.world.sent(1).await[0].body(), "grey", "the room goes on, and the notice is not sent");
    assert_eq!(scene.metric("bridge_sends_rejected_total"), 1);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_again_is_not_overtaken() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    let later = || Act::Answer(Sent::Failed(SendError::retry(Duration::from_millis(20), "connecting")));
    scene.world.script([later(), later()]);
    alice.send_text(&room, "first").await.unwrap();
    alice.send_text(&room, "second").await.unwrap();
    let sent = scene.world.sent(2).await;
    assert_eq!([sent[0].body(), sent[1].body()], ["first", "second"]);
    assert_eq!(sent[0].attempt, 2);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_answers_reactions_and_redactions_carry_the_networks_names() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    scene.say("cave", "bob", "m1", "hello").await;
    let hello = alice.wait_for_text(&room, "hello").await.unwrap()["event_id"].clone();
    let reply = json!({
        "msgtype": "m.text", "body": "> <@test_bob:hs.test> hello\n\nhi",
        "m.relates_to": { "m.in_reply_to": { "event_id": hello } },
    });
    alice.send_event(&room, "m.room.message", reply).await.unwrap();
    let sent = scene.world.sent(1).await;
    assert_eq!(sent[0].body(), "hi");
    let to = sent[0].reply_to.as_ref().unwrap();
    assert_eq!((to.id.as_str(), to.author.as_ref().unwrap().as_str()), ("m1", "bob"));

    let own = alice.send_text(&room, "mistkae").await.unwrap();
    scene.world.sent(2).await;
    let edit = json!({
        "msgtype": "m.text", "body": "* mistake", "m.new_content": { "msgtype": "m.text", "body": "mistake" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": own },
    });
    alice.send_event(&room, "m.room.message", edit).await.unwrap();
    let edited = scene.world.change(|change| match &change.kind {
        MatrixChangeKind::Edit { target, content, .. } => {
            Some((target.id.clone(), content.body().to_owned()))
        }
        _ => None,
    });
    assert_eq!(edited.await, ("sent-2".into(), "mistake".to_owned()));

    let react = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": hello, "key": "👍" } });
    let reaction = alice.send_event(&room, "m.reaction", react).await.unwrap();
    let reacted = scene.world.change(|change| match &change.kind {
        MatrixChangeKind::React { target, emoji } => Some((target.id.clone(), emoji.clone())),
        _ => None,
    });
    assert_eq!(reacted.await, ("m1".into(), "👍".to_owned()));
    alice.redact(&room, reaction.as_str(), "").await.unwrap();
    let unreacted = scene.world.change(|change| match &change.kind {
        MatrixChangeKind::Unreact { target, reaction, .. } => Some((target.id.clone(), reaction.clone())),
        _ => None,
    });
    assert_eq!(unreacted.await, ("m1".into(), Some("reaction".into())));
    alice.redact(&room, own.as_str(), "typo").await.unwrap();
    let redacted = scene.world.change(|change| match &change.kind {
        MatrixChangeKind::Redact { target, reason, .. } => Some((target.id.clone(), reason.clone())),
        _ => None,
    });
    assert_eq!(redacted.await, ("sent-2".into(), Some("typo".to_owned())));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_awaits_its_echo_is_mapped_when_the_echo_comes() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    scene.world.script([Act::Pending]);
    let event = alice.send_text(&room, "echo?").await.unwrap();
    let key = scene.world.sent(1).await[0].key.clone();
    let sink = scene.world.sink("alice").await;
    sink.confirm(&key, "r1").await.unwrap();
    sink.confirm(&key, "r2").await.unwrap();
    alice.redact(&room, event.as_str(), "").await.unwrap();
    let redacted = scene.world.change(|change| match &change.kind {
        MatrixChangeKind::Redact { all, .. } => Some(all.clone()),
        _ => None,
    });
    assert_eq!(redacted.await, ["r1".into(), "r2".into()]);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_network_gives_back_is_sent_again_or_reported() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    scene.world.script([Act::Pending, Act::Pending]);
    alice.send_text(&room, "one").await.unwrap();
    let refused = alice.send_text(&room, "two").await.unwrap();
    let sent = scene.world.sent(2).await;
    let sink = scene.world.sink("alice").await;
    sink.fail(&sent[0].key, SendError::retry(Duration::from_millis(1), "lost connection")).await.unwrap();
    sink.fail(&sent[1].key, SendError::rejected("+m")).await.unwrap();
    let again = &scene.world.sent(3).await[2];
    assert_eq!((again.body(), &again.key), ("one", &sent[0].key));
    let notice = alice.wait_for(|event| event["content"]["msgtype"] == "m.notice").await.unwrap();
    assert_eq!(answers(&notice), Some(refused.as_str()));
    assert_eq!(texts(&alice, &room).await.len(), 3);
    scene.end().await;
}
