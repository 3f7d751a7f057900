use serde_json::json;

use super::scene::{DEADLINE, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_answers_commands_in_its_room_and_removes_secrets() {
    let scene = Scene::new().await;
    let alice = scene.homeserver.user("alice").await.unwrap().with_deadline(DEADLINE);
    let options =
        json!({ "is_direct": true, "invite": ["@testbot:hs.test"], "preset": "trusted_private_chat" });
    let room = alice.create_room(options).await.unwrap();
    alice.wait_for_membership(&room, "@testbot:hs.test", "join").await.unwrap();
    let answer = async |line: &str| {
        alice.send_text(&room, line).await.unwrap();
        let bot = |event: &serde_json::Value| {
            event["sender"] == "@testbot:hs.test" && event["content"]["msgtype"] == "m.notice"
        };
        alice.wait_for(bot).await.unwrap()["content"]["body"].as_str().unwrap().to_owned()
    };
    let welcome = alice.wait_for(|event| event["content"]["msgtype"] == "m.notice").await.unwrap();
    assert!(welcome["content"]["body"].as_str().unwrap().contains("Say help"));
    assert!(answer("help").await.contains("login <password>"));
    assert_eq!(answer("logins").await, "You have no logins.");
    assert_eq!(answer("login wrong").await, "You are not logged in: wrong password");
    assert_eq!(answer("!login right").await, "You are logged in as account of alice.");
    alice.wait_for(|event| event["type"] == "m.room.redaction").await.unwrap();
    assert!(answer("logins").await.starts_with("account of alice: "));
    assert_eq!(answer("logout").await, "account of alice is logged out.");
    assert!(answer("nonsense").await.starts_with("I do not know that command."));
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn elsewhere_a_command_needs_its_prefix_and_does_not_reach_the_network() {
    let scene = Scene::new().await;
    let (alice, room) = scene.user_in("puppet-alice", "cave").await;
    alice.send_text(&room, "!test help").await.unwrap();
    alice.send_text(&room, "help").await.unwrap();
    assert_eq!(scene.world.sent(1).await[0].body(), "help");
    let answer = alice.wait_for(|event| event["content"]["msgtype"] == "m.notice").await.unwrap();
    assert!(answer["content"]["body"].as_str().unwrap().starts_with("Commands:"));
    scene.end().await;
}
