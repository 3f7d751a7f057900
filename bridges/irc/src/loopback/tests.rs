//! The network as its clients see it.

use super::{Loopback, LoopbackConfig, TestClient};

#[tokio::test]
async fn what_one_says_in_a_channel_the_others_hear() {
    let network = Loopback::start().await.expect("a free port");
    let mut alice = network.client("alice").await;
    let mut bob = network.client("bob").await;
    alice.join("#c").await;
    bob.join("#C").await;
    alice.say("#c", "hello").await;
    bob.hears("alice", "#c", "hello").await;
    assert_eq!(network.members("#c"), ["alice", "bob"]);
    network.shutdown().await;
}

#[tokio::test]
async fn a_labelled_message_is_echoed_with_its_label_time_and_identifier() {
    let network = Loopback::start().await.expect("a free port");
    network.set_clock(Some(1_421_416_883_133));
    let mut alice = TestClient::raw(network.address(), "alice").await;
    alice.send("CAP LS 302").await;
    alice.send("NICK alice").await;
    alice.send("USER alice 0 * :Alice").await;
    alice.send("CAP REQ :batch echo-message labeled-response message-tags server-time").await;
    alice.send("CAP END").await;
    alice.join("#c").await;
    alice.send("@label=L1 PRIVMSG #c :hi").await;
    let echo = alice.hears("alice", "#c", "hi").await;
    let raw = String::from_utf8(echo.raw).expect("text");
    assert!(raw.starts_with("@time=2015-01-16T14:01:23.133Z;msgid=m"), "{raw}");
    assert!(raw.contains(";label=L1 "), "{raw}");
    alice.send("@label=L2 PRIVMSG #nowhere :hi").await;
    let refusal = alice.wait_for(|line| line.command == "403").await;
    assert!(refusal.raw.starts_with(b"@label=L2 "));
    alice.send("@label=L3 PONG x").await;
    alice.wait_for(|line| line.command == "ACK" && line.raw.starts_with(b"@label=L3 ")).await;
}

#[tokio::test]
async fn one_unknown_capability_refuses_the_whole_request() {
    let network = Loopback::start().await.expect("a free port");
    let mut alice = TestClient::raw(network.address(), "alice").await;
    alice.send("CAP REQ :batch no-such-thing").await;
    alice.wait_for(|line| line.command == "CAP" && line.params[1] == "NAK").await;
}

#[tokio::test]
async fn a_legacy_network_knows_no_capabilities_and_sends_no_tags() {
    let network = Loopback::start_with(LoopbackConfig::legacy()).await.expect("a free port");
    let mut alice = TestClient::raw(network.address(), "alice").await;
    alice.send("CAP LS 302").await;
    alice.send("NICK alice").await;
    alice.send("USER alice 0 * :Alice").await;
    alice.wait_for(|line| line.command == "421" || line.command == "451").await;
    alice.join("#c").await;
    let mut bob = network.client("bob").await;
    bob.join("#c").await;
    bob.say("#c", "hi").await;
    assert_eq!(alice.hears("bob", "#c", "hi").await.raw, b":bob!bob@127.0.0.1 PRIVMSG #c hi");
}

#[tokio::test]
async fn those_who_may_not_speak_are_told() {
    let network = Loopback::start().await.expect("a free port");
    let mut alice = network.client("alice").await;
    let mut bob = network.client("bob").await;
    alice.join("#c").await;
    bob.join("#c").await;
    alice.send("MODE #c +m").await;
    alice.fence().await;
    bob.say("#c", "hi").await;
    bob.wait_for(|line| line.command == "404").await;
    alice.send("MODE #c +v bob").await;
    bob.wait_for(|line| line.command == "MODE" && line.params[1] == "+v").await;
    bob.say("#c", "hi").await;
    alice.hears("bob", "#c", "hi").await;
}

#[tokio::test]
async fn a_split_looks_like_quits_and_its_end_like_joins() {
    let network = Loopback::start().await.expect("a free port");
    let mut alice = network.client("alice").await;
    let mut bob = network.client("bob").await;
    alice.join("#c").await;
    bob.join("#c").await;
    let split = network.split(&["bob"]);
    let quit = alice.wait_for(|line| line.command == "QUIT").await;
    assert_eq!(quit.text(), "hub.loopback.test leaf.loopback.test");
    network.heal(split);
    alice.wait_for(|line| line.command == "JOIN" && line.nick() == "bob").await;
}

#[tokio::test]
async fn bytes_that_are_no_text_are_relayed_as_they_are() {
    let network = Loopback::start().await.expect("a free port");
    let mut alice = network.client("alice").await;
    let mut bob = network.client("bob").await;
    alice.join("#c").await;
    bob.join("#c").await;
    bob.send_bytes(b"PRIVMSG #c :caf\xe9").await;
    let line = alice.wait_for(|line| line.command == "PRIVMSG").await;
    assert!(line.raw.ends_with(b"caf\xe9"));
}

#[tokio::test]
async fn a_nick_that_is_taken_or_too_long_is_refused() {
    let network = Loopback::start().await.expect("a free port");
    let _bob = network.client("bob{").await;
    let mut alice = network.client("alice").await;
    alice.send("NICK BOB[").await;
    alice.wait_for(|line| line.command == "433").await;
    alice.send(&format!("NICK {}", "a".repeat(31))).await;
    alice.wait_for(|line| line.command == "432").await;
}
