//! What is said on one side is heard on the other.

use matrix_irc_bridge::loopback::LoopbackConfig;
use serde_json::json;

use crate::world::{CHANNEL, World};

#[tokio::test]
async fn many_messages_arrive_on_irc_in_order_and_each_once() {
    let world = World::new().await;
    let mut meeting = world.meet().await;
    let texts: Vec<String> = (0..200).map(|number| format!("m{number}")).collect();
    for text in &texts {
        meeting.alice.send_text(&meeting.room, text).await.expect("accepted");
    }
    let mut heard = Vec::new();
    while heard.len() < texts.len() {
        heard.push(meeting.bob.wait_for(|line| line.command == "PRIVMSG").await.text().to_owned());
    }
    assert_eq!(heard, texts);
}

#[tokio::test]
async fn on_a_network_from_before_capabilities_everything_arrives_as_well() {
    let world = World::with(LoopbackConfig::legacy(), "").await;
    let mut meeting = world.meet().await;
    for number in 0..50 {
        let text = format!("m{number}");
        meeting.alice.send_text(&meeting.room, &text).await.expect("accepted");
        meeting.bob.hears("alice[m]", CHANNEL, &text).await;
        let answer = format!("i{number}");
        meeting.bob.say(CHANNEL, &answer).await;
        meeting.alice.wait_for_text(&meeting.room, &answer).await.expect("it arrives");
    }
    assert_eq!(meeting.count("i7").await, 1);
}

#[tokio::test]
async fn equal_lines_are_told_apart_and_their_times_are_those_of_the_network() {
    let world = World::new().await;
    let mut meeting = world.meet().await;
    world.irc.set_clock(Some(1_421_416_883_133));
    for _ in 0..3 {
        meeting.bob.say(CHANNEL, "same").await;
    }
    meeting.bob.say(CHANNEL, "end").await;
    let end = meeting.alice.wait_for_text(&meeting.room, "end").await.expect("it arrives");
    assert_eq!(end["origin_server_ts"], 1_421_416_883_133_u64);
    assert_eq!(meeting.count("same").await, 3);
}

#[tokio::test]
async fn who_may_not_speak_is_told_in_the_room() {
    let world = World::new().await;
    let mut meeting = world.meet().await;
    // Bob was first, so he rules.
    meeting.bob.send(&format!("MODE {CHANNEL} +m")).await;
    meeting.bob.fence().await;
    let event = meeting.alice.send_text(&meeting.room, "unheard").await.expect("accepted");
    let told = meeting
        .alice
        .wait_for(|seen| {
            seen["type"] == "m.room.message"
                && seen["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == event.as_str()
        })
        .await
        .expect("the sender is told");
    assert!(
        told["content"]["body"].as_str().unwrap_or_default().contains("does not let you speak"),
        "{told}"
    );
}

#[tokio::test]
async fn a_private_conversation_is_begun_from_irc_and_answered_from_matrix() {
    let world = World::new().await;
    let mut meeting = world.meet().await;
    meeting.bob.say("alice[m]", "psst").await;
    let ghost = World::ghost("bob");
    let invited = meeting
        .alice
        .wait_for(|event| {
            event["type"] == "m.room.member"
                && event["state_key"] == "@alice:hs.test"
                && event["content"]["membership"] == "invite"
        })
        .await;
    let room = match invited {
        Ok(event) => event["room_id"].as_str().map(str::to_owned),
        Err(error) => panic!("{error}"),
    };
    let Some(room) = room else { return };
    meeting.alice.join(&room).await.expect("invited");
    let heard = meeting.alice.wait_for_text(&room, "psst").await.expect("it arrives");
    assert_eq!(heard["sender"], ghost.as_str());
    meeting.alice.send_text(&room, "what?").await.expect("accepted");
    meeting.bob.hears("alice[m]", "bob", "what?").await;
}

#[tokio::test]
async fn nothing_a_matrix_user_types_becomes_a_second_line() {
    let world = World::new().await;
    let mut meeting = world.meet().await;
    let body = "one\r\nQUIT :two\u{0}\rPART #c";
    let content = json!({ "msgtype": "m.text", "body": body });
    meeting.alice.send_event(&meeting.room, "m.room.message", content).await.expect("accepted");
    meeting.alice.send_text(&meeting.room, "after").await.expect("accepted");
    meeting.bob.hears("alice[m]", CHANNEL, "one").await;
    meeting.bob.wait_for(|line| line.command == "PRIVMSG" && line.text().contains("QUIT :two")).await;
    let after = meeting.bob.wait_for(|line| line.command != "PRIVMSG" || line.text() == "after").await;
    assert_eq!(after.text(), "after", "alice is still there");
}
