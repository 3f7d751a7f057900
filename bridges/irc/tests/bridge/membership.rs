//! Who is seen to be where.

use serde_json::json;

use crate::world::{CHANNEL, World};

#[tokio::test]
async fn people_on_irc_come_rename_themselves_and_go_in_the_room_as_well() {
    let world = World::new().await;
    let meeting = world.meet().await;
    let (alice, room) = (&meeting.alice, &meeting.room);
    alice.wait_for_membership(room, &World::ghost("bob"), "join").await.expect("bob was there before");
    let mut carol = world.irc.client("Carol").await;
    carol.join(CHANNEL).await;
    alice.wait_for_membership(room, &World::ghost("carol"), "join").await.expect("she came");
    carol.send("NICK Caroline").await;
    alice.wait_for_membership(room, &World::ghost("caroline"), "join").await.expect("she is there");
    alice.wait_for_membership(room, &World::ghost("carol"), "leave").await.expect("not twice");
    carol.send("QUIT :bye").await;
    alice.wait_for_membership(room, &World::ghost("caroline"), "leave").await.expect("she went");
}

#[tokio::test]
async fn a_split_that_heals_in_time_is_not_seen_on_matrix() {
    let world = World::new().await;
    let mut meeting = world.meet().await;
    let mut carol = world.irc.client("carol").await;
    carol.join(CHANNEL).await;
    let (alice, room) = (&meeting.alice, &meeting.room);
    alice.wait_for_membership(room, &World::ghost("carol"), "join").await.expect("she came");
    let split = world.irc.split(&["carol"]);
    meeting.bob.wait_for(|line| line.command == "QUIT" && line.nick() == "carol").await;
    world.irc.heal(split);
    carol.fence().await;
    carol.say(CHANNEL, "back").await;
    alice.wait_for_text(room, "back").await.expect("it arrives");
    let events = alice.messages(room, 100).await.expect("a timeline");
    let left = events.iter().any(|event| {
        event["state_key"] == World::ghost("carol").as_str() && event["content"]["membership"] == "leave"
    });
    assert!(!left, "carol never left as far as Matrix knows");
}

#[tokio::test]
async fn who_leaves_the_room_leaves_the_channel() {
    let world = World::new().await;
    let mut meeting = world.meet().await;
    meeting.alice.leave(&meeting.room).await.expect("she may");
    meeting
        .bob
        .wait_for(|line| matches!(line.command.as_str(), "PART" | "QUIT") && line.nick() == "alice[m]")
        .await;
}

#[tokio::test]
async fn a_topic_set_on_irc_is_the_rooms_topic() {
    let world = World::new().await;
    let mut meeting = world.meet().await;
    meeting.bob.send(&format!("TOPIC {CHANNEL} :tea at five")).await;
    meeting
        .alice
        .wait_for(|event| event["type"] == "m.room.topic" && event["content"]["topic"] == "tea at five")
        .await
        .expect("the topic arrives");
}

#[tokio::test]
async fn an_operator_on_irc_has_power_in_the_room() {
    let world = World::new().await;
    let meeting = world.meet().await;
    let ghost = World::ghost("bob");
    let has_power = |event: &serde_json::Value| {
        event["type"] == "m.room.power_levels" && event["content"]["users"][&ghost] == json!(50)
    };
    let levels = meeting.alice.state(&meeting.room, "m.room.power_levels", "").await.expect("readable");
    if levels.is_some_and(|levels| levels["users"][&ghost] == json!(50)) {
        return;
    }
    meeting.alice.wait_for(has_power).await.expect("bob rules the channel");
}

#[tokio::test]
async fn a_nick_that_is_taken_is_avoided_and_a_lost_connection_made_again() {
    let world = World::new().await;
    let _taken = world.irc.client("alice[m]").await;
    let mut bob = world.irc.client("bob").await;
    bob.join(CHANNEL).await;
    let alice = world.homeserver.user("alice").await.expect("open registration");
    let room = alice.join(&World::alias(CHANNEL)).await.expect("the bridge makes the room").to_string();
    let joined = bob.wait_for(|line| line.command == "JOIN" && line.nick().starts_with("alice")).await;
    assert_ne!(joined.nick(), "alice[m]");
    world.irc.cut(joined.nick());
    bob.wait_for(|line| line.command == "QUIT" && line.nick() == joined.nick()).await;
    bob.wait_for(|line| line.command == "JOIN" && line.nick().starts_with("alice")).await;
    alice.send_text(&room, "again").await.expect("accepted");
    bob.wait_for(|line| line.command == "PRIVMSG" && line.text() == "again").await;
    let members = alice.joined_members(&room).await.expect("readable");
    assert!(members.contains(&"@alice:hs.test".to_owned()), "a hiccup puts nobody out");
}
