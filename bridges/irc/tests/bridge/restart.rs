//! What outlives the process.

use crate::world::{CHANNEL, World};

#[tokio::test]
async fn the_conversation_goes_on_after_a_restart_and_nothing_is_repeated() {
    let mut world = World::new().await;
    let mut meeting = world.meet().await;
    meeting.bob.say(CHANNEL, "before").await;
    meeting.alice.wait_for_text(&meeting.room, "before").await.expect("it arrives");
    meeting.alice.send_text(&meeting.room, "mine").await.expect("accepted");
    meeting.bob.hears("alice[m]", CHANNEL, "mine").await;
    world.stop_bridge().await;
    meeting.alice.send_text(&meeting.room, "meanwhile").await.expect("accepted");
    world.start_bridge();
    meeting.bob.hears("alice[m]", CHANNEL, "meanwhile").await;
    meeting.bob.say(CHANNEL, "after").await;
    meeting.alice.wait_for_text(&meeting.room, "after").await.expect("it arrives");
    assert_eq!(meeting.count("before").await, 1);
    assert!(meeting.bob.fence().await.iter().all(|line| line.text() != "mine"), "nothing is said twice");
}

#[tokio::test]
async fn what_was_said_before_there_was_a_room_is_kept_over_a_restart() {
    let mut world =
        World::with(matrix_irc_bridge::loopback::LoopbackConfig::default(), "    mappings: { '#c': {} }\n")
            .await;
    let mut bob = world.irc.client("bob").await;
    bob.join(CHANNEL).await;
    if world.irc.members(CHANNEL).len() < 2 {
        bob.wait_for(|line| line.command == "JOIN" && line.nick() != "bob").await;
    }
    world.irc.set_clock(None);
    bob.say(CHANNEL, "hello?").await;
    bob.fence().await;
    world.stop_bridge().await;
    world.start_bridge();
    bob.wait_for(|line| line.command == "JOIN" && line.nick() == "MatrixBridge").await;
    let alice = world.homeserver.user("alice").await.expect("open registration");
    let room = alice.join(&World::alias(CHANNEL)).await.expect("the bridge makes the room");
    let found = alice.wait_for_text(&room, "hello?").await.expect("it was kept");
    assert_eq!(found["sender"], World::ghost("bob").as_str());
}
