//! The conversation of the application-service draft's IRC example.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use matrix_homeserver::testing::TestUser;
use serde_json::Value;

use super::{CHANNEL, DOMAIN, NETWORK, Stage};
use crate::loopback::TestClient;

/// When Bob says "hello?", in milliseconds since 1970.
const HELLO_AT: u64 = 1_421_416_883_133;
/// When he says "what's up?".
const WHATS_UP_AT: u64 = 1_421_418_084_816;
/// How long a step may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Plays it and prints what both sides saw.
pub(super) async fn play(stage: &Stage) -> anyhow::Result<()> {
    match tokio::time::timeout(PATIENCE * 3, conversation(stage)).await {
        Ok(transcripts) => transcripts?.print(),
        Err(_elapsed) => bail!("the conversation did not get to its end"),
    }
}

async fn conversation(stage: &Stage) -> anyhow::Result<Transcripts> {
    // The bridge listens to the channel before anybody on Matrix asks for it.
    let mut bob = stage.irc.client("Bob").await;
    bob.join(CHANNEL).await;
    if stage.irc.members(CHANNEL).len() < 2 {
        bob.wait_for(|line| line.command == "JOIN" && line.nick() != "Bob").await;
    }
    stage.irc.set_clock(Some(HELLO_AT));
    bob.say(CHANNEL, "hello?").await;
    bob.fence().await;

    let alice = stage.homeserver.user("alice").await?;
    let room =
        alice.join(&format!("#{NETWORK}/{CHANNEL}:{DOMAIN}")).await.context("Alice joins by the alias")?;
    let hello = alice.wait_for_text(room.as_str(), "hello?").await.context("Alice finds what Bob said")?;
    ensure!(hello["origin_server_ts"] == HELLO_AT, "Bob's message has not his timestamp: {hello}");
    let bob_on_matrix = format!("@{NETWORK}/bob:{DOMAIN}");
    ensure!(hello["sender"] == bob_on_matrix.as_str(), "Bob's message is not his: {hello}");

    alice.send_text(room.as_str(), "hi!").await?;
    let hi = bob.wait_for(|line| line.command == "PRIVMSG" && line.text() == "hi!").await;
    ensure!(hi.nick().starts_with("alice"), "Alice's message is not hers: {}", hi.source);

    stage.irc.set_clock(Some(WHATS_UP_AT));
    bob.say(CHANNEL, "what's up?").await;
    let whats_up = alice.wait_for_text(room.as_str(), "what's up?").await?;
    ensure!(whats_up["origin_server_ts"] == WHATS_UP_AT, "Bob's message has not his timestamp: {whats_up}");
    Transcripts::of(&alice, room.as_str(), &mut bob, hi.nick()).await
}

/// What both sides saw.
struct Transcripts {
    matrix: Vec<String>,
    irc: Vec<String>,
}

impl Transcripts {
    async fn of(
        alice: &TestUser,
        room: &str,
        bob: &mut TestClient,
        alice_nick: &str,
    ) -> anyhow::Result<Self> {
        let mut matrix: Vec<String> = alice.messages(room, 100).await?.iter().filter_map(said).collect();
        // They come newest first.
        matrix.reverse();
        let own = |text: &str| format!("<{}> {text}", bob.nick());
        let irc = vec![own("hello?"), format!("<{alice_nick}> hi!"), own("what's up?")];
        bob.send("QUIT :bye").await;
        Ok(Self { matrix, irc })
    }

    fn print(self) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        let width = self.matrix.iter().map(|line| line.chars().count()).max().unwrap_or(0).max(20);
        writeln!(out, "{:width$}   What Bob sees on IRC, {CHANNEL}", "What Alice sees on Matrix")?;
        for index in 0..self.matrix.len().max(self.irc.len()) {
            let side = |lines: &[String]| lines.get(index).cloned().unwrap_or_default();
            writeln!(out, "{:width$}   {}", side(&self.matrix), side(&self.irc))?;
        }
        Ok(())
    }
}

fn said(event: &Value) -> Option<String> {
    if event["type"] != "m.room.message" {
        return None;
    }
    let at = event["origin_server_ts"].as_u64()?;
    Some(format!("{}: {} [{at}]", event["sender"].as_str()?, event["content"]["body"].as_str()?))
}
