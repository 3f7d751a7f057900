//! The same bridge between ngIRCd, InspIRCd, our homeserver and Synapse: what people notice.

use std::net::SocketAddr;

use matrix_homeserver::testing::TestUser;
use serde_json::json;
use tests::programs::{BridgeFiles, BridgeProcess};
use tests::require;
use tests::servers::{InspIrcd, NgIrcd, Synapse};

use crate::scene::{Scene, ours};

/// Everything that has to work on every pair of servers.
async fn everything_works_between(homeserver: &str, irc: SocketAddr, bridge: BridgeProcess) {
    let mut scene = Scene::open(homeserver, irc, bridge, &[]).await;
    texts_cross_both_ways(&mut scene).await;
    kinds_and_formats_cross_both_ways(&mut scene).await;
    no_second_line_can_be_smuggled_in(&mut scene).await;
    a_nick_change_and_a_quit_are_seen(&mut scene, irc).await;
    alice_leaves(&mut scene).await;
}

async fn texts_cross_both_ways(scene: &mut Scene) {
    scene.bob.say(scene.channel, "hello?").await;
    let event = scene.alice.wait_for_text(&scene.room, "hello?").await.unwrap();
    let ghost = BridgeProcess::ghost("bob");
    assert_eq!(event["sender"], ghost.as_str());
    let members = scene.alice.joined_members(&scene.room).await.unwrap();
    assert!(members.contains(&ghost), "{members:?}");
    let member = scene.alice.state(&scene.room, "m.room.member", &ghost).await.unwrap().unwrap();
    assert!(member["displayname"].as_str().unwrap_or_default().starts_with("bob"), "{member}");

    scene.alice.send_text(&scene.room, "hi!").await.unwrap();
    let line = scene.bob.wait_for_message("hi!").await;
    assert_eq!(line.nick, scene.alice_nick);
    assert_eq!(line.parameter(0), scene.channel);
}

async fn kinds_and_formats_cross_both_ways(scene: &mut Scene) {
    let (room, alice) = (&scene.room, &scene.alice);
    let message = |kind: &str, body: &str| json!({"msgtype": kind, "body": body});
    alice.send_event(room, "m.room.message", message("m.emote", "waves")).await.unwrap();
    scene.bob.wait_for_message("\u{1}ACTION waves\u{1}").await;
    alice.send_event(room, "m.room.message", message("m.notice", "a machine")).await.unwrap();
    assert_eq!(scene.bob.wait_for_message("a machine").await.command, "NOTICE");
    let bold = json!({"msgtype": "m.text", "body": "**very**", "format": "org.matrix.custom.html",
        "formatted_body": "<b>very</b>"});
    alice.send_event(room, "m.room.message", bold).await.unwrap();
    let line = scene.bob.wait_for("bold text", |line| line.raw.contains("very")).await;
    assert!(line.parameter(1).contains('\u{2}'), "{}", line.raw);

    scene.bob.say(scene.channel, "\u{1}ACTION nods\u{1}").await;
    let event = alice.wait_for_text(room, "nods").await.unwrap();
    assert_eq!(event["content"]["msgtype"], "m.emote");
    scene.bob.send(&format!("NOTICE {} :beep", scene.channel)).await;
    let event = alice.wait_for_text(room, "beep").await.unwrap();
    assert_eq!(event["content"]["msgtype"], "m.notice");
    scene.bob.say(scene.channel, "\u{2}loud\u{2} word").await;
    let event = alice.wait_for_text(room, "loud word").await;
    let event = match event {
        Ok(event) => event,
        Err(error) => panic!("{error}"),
    };
    let html = event["content"]["formatted_body"].as_str().unwrap_or_default();
    assert!(html.contains("<b>loud</b>") || html.contains("<strong>loud</strong>"), "{event}");
}

async fn no_second_line_can_be_smuggled_in(scene: &mut Scene) {
    scene.alice.send_text(&scene.room, "one\r\nQUIT :two\nJOIN #other\0x\rPART #c").await.unwrap();
    scene.alice.send_text(&scene.room, "after").await.unwrap();
    scene.bob.wait_for_message("after").await;
    let lines = scene.bob.lines();
    let forged = lines
        .iter()
        .find(|line| line.nick == scene.alice_nick && matches!(line.command.as_str(), "QUIT" | "PART"));
    assert!(forged.is_none(), "{forged:?}");
    for text in ["one", "QUIT :two", "JOIN #other"] {
        assert!(lines.iter().any(|line| line.parameter(1).contains(text)), "{text:?} did not arrive");
    }
}

async fn a_nick_change_and_a_quit_are_seen(scene: &mut Scene, irc: SocketAddr) {
    let mut carol = tests::irc::IrcClient::connect(irc, "carol").await;
    carol.join(scene.channel).await;
    let (room, alice) = (&scene.room, &scene.alice);
    alice.wait_for_membership(room, &BridgeProcess::ghost("carol"), "join").await.unwrap();
    carol.send("NICK caroline").await;
    carol.say(scene.channel, "renamed").await;
    let event = alice.wait_for_text(room, "renamed").await.unwrap();
    assert_eq!(event["sender"], BridgeProcess::ghost("caroline").as_str());
    alice.wait_for_membership(room, &BridgeProcess::ghost("carol"), "leave").await.unwrap();
    carol.send("QUIT :enough").await;
    alice.wait_for_membership(room, &BridgeProcess::ghost("caroline"), "leave").await.unwrap();
}

async fn alice_leaves(scene: &mut Scene) {
    scene.alice.leave(&scene.room).await.unwrap();
    let nick = &scene.alice_nick;
    scene
        .bob
        .wait_for("alice's part", |line| {
            matches!(line.command.as_str(), "PART" | "QUIT") && line.nick == *nick
        })
        .await;
}

#[tokio::test]
async fn ngircd_and_our_homeserver() {
    let irc = require!(NgIrcd::start().await);
    let (homeserver, bridge) = ours(irc.address).await;
    everything_works_between(&homeserver.url(), irc.address, bridge).await;
}

#[tokio::test]
async fn inspircd_and_our_homeserver() {
    let irc = require!(InspIrcd::start().await);
    let (homeserver, bridge) = ours(irc.address).await;
    everything_works_between(&homeserver.url(), irc.address, bridge).await;
}

#[tokio::test]
async fn ngircd_and_synapse() {
    let irc = require!(NgIrcd::start().await);
    let files = BridgeFiles::new(irc.address);
    let homeserver = require!(Synapse::start(&[&files.registration()]).await);
    let bridge = files.start(&homeserver.url()).await;
    everything_works_between(&homeserver.url(), irc.address, bridge).await;
}

#[tokio::test]
async fn inspircd_over_tls() {
    let irc = require!(InspIrcd::start().await);
    let files = BridgeFiles::with_server(&format!(
        "    address: localhost\n    port: {}\n    ca: {}\n",
        irc.tls_address.port(),
        irc.certificate().display()
    ));
    let homeserver = tests::programs::HomeserverProcess::start(&[&files.registration()]).await;
    let bridge = files.start(&homeserver.url()).await;
    let mut scene = Scene::open(&homeserver.url(), irc.address, bridge, &[]).await;
    texts_cross_both_ways(&mut scene).await;
}

#[tokio::test]
async fn the_conversation_goes_on_after_a_restart_of_the_bridge() {
    let irc = require!(InspIrcd::start().await);
    let (homeserver, bridge) = ours(irc.address).await;
    let checked = bridge.files().run(&["check"]);
    assert!(checked.status.success(), "{checked:?}");
    let mut scene = Scene::open(&homeserver.url(), irc.address, bridge, &[]).await;
    texts_cross_both_ways(&mut scene).await;
    scene.bridge.stop();
    // Said while the bridge is away: the homeserver keeps it.
    scene.alice.send_text(&scene.room, "are you there?").await.unwrap();
    scene.bridge.start_again().await;
    scene.bob.wait_for_message("are you there?").await;
    scene.bob.say(scene.channel, "back again").await;
    scene.alice.wait_for_text(&scene.room, "back again").await.unwrap();
    let twice = scene.bob.lines().iter().filter(|line| line.parameter(1) == "hi!").count();
    assert_eq!(twice, 1, "a restart repeats nothing");
}

/// Two puppets: each has a connection of its own, and neither sees its own words twice.
#[tokio::test]
async fn each_matrix_user_has_a_connection_of_their_own() {
    let irc = require!(InspIrcd::start().await);
    let (homeserver, bridge) = ours(irc.address).await;
    let mut scene = Scene::open(&homeserver.url(), irc.address, bridge, &[]).await;
    let dave = TestUser::register(&homeserver.url(), "dave").await.unwrap();
    dave.join(&BridgeProcess::alias(scene.channel)).await.unwrap();
    scene
        .bob
        .wait_for("dave's connection", |line| line.command == "JOIN" && line.nick.starts_with("dave"))
        .await;
    dave.send_text(&scene.room, "from dave").await.unwrap();
    assert!(scene.bob.wait_for_message("from dave").await.nick.starts_with("dave"));
    scene.alice.send_text(&scene.room, "from alice").await.unwrap();
    assert_eq!(scene.bob.wait_for_message("from alice").await.nick, scene.alice_nick);
    scene.bob.say(scene.channel, "the end").await;
    scene.alice.wait_for_text(&scene.room, "the end").await.unwrap();
    let texts = scene.alice.messages(&scene.room, 100).await.unwrap();
    for body in ["from dave", "from alice", "the end"] {
        let count = texts.iter().filter(|event| event["content"]["body"] == body).count();
        assert_eq!(count, 1, "{body:?} is in the room once");
    }
}
