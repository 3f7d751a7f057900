//! Two people who talk at once, and keep count of each other so that neither is far ahead.

use std::collections::BTreeSet;
use std::time::Duration;

use matrix_homeserver::testing::{TestError, TestUser};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tests::deadline::{observe, within};
use tests::irc::{IrcClient, Line};
use tests::programs::BridgeProcess;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::scene::Scene;

/// How far Alice may be ahead of Bob. Bob waits while the bridge is away, so this is what a bridge finds waiting.
const AHEAD: usize = 40;

/// What the last message of either side says.
pub(super) const LAST: &str = "that is all";

/// A conversation under way.
pub(super) struct Conversation {
    alice: JoinHandle<(TestUser, Vec<Sent>)>,
    bob: JoinHandle<IrcClient>,
    sent: watch::Sender<usize>,
    room: String,
    crew: usize,
}

/// A message that the homeserver acknowledged.
pub(super) struct Sent {
    pub(super) event_id: String,
    pub(super) text: String,
}

/// What is known when all is said.
pub(super) struct Account {
    pub(super) alice: TestUser,
    pub(super) room: String,
    pub(super) sent: Vec<Sent>,
    /// Everything that Bob received, his own lines among them, in the order of the IRC server.
    pub(super) lines: Vec<Line>,
    /// How many connections the bridge has in the channel when it is complete.
    pub(super) crew: usize,
}

/// The nicks in the channel other than Bob's: the connections of the bridge.
#[derive(Default)]
pub(super) struct Presence {
    pub(super) nicks: BTreeSet<String>,
}

impl Presence {
    pub(super) fn of_names(names: Vec<String>) -> Self {
        Self { nicks: names.into_iter().filter(|nick| nick != "bob").collect() }
    }

    pub(super) fn follow(&mut self, line: &Line) {
        if line.nick == "bob" {
            return;
        }
        match line.command.as_str() {
            "JOIN" => drop(self.nicks.insert(line.nick.clone())),
            "QUIT" | "PART" => drop(self.nicks.remove(&line.nick)),
            "NICK" if self.nicks.remove(&line.nick) => drop(self.nicks.insert(line.parameter(0).to_owned())),
            _ => {}
        }
    }
}

impl Conversation {
    /// Lets both begin. Each sends `each` messages.
    pub(super) async fn begin(mut scene: Scene, each: usize, seed: u64) -> (Self, BridgeProcess) {
        let mut random = StdRng::seed_from_u64(seed);
        let names = Presence::of_names(scene.bob.names(scene.channel).await);
        let crew = names.nicks.len();
        let (sent, room) = (watch::Sender::new(0), scene.room.clone());
        let bob_sent = watch::Sender::new(0);
        let alice =
            tokio::spawn(alice_talks(scene.alice, scene.room, each, bob_sent.subscribe(), sent.clone()));
        let bob = Bob { client: scene.bob, channel: scene.channel, presence: names, position: 0, crew };
        let bob = tokio::spawn(bob.talk(each, random.random(), bob_sent, sent.clone()));
        (Self { alice, bob, sent, room, crew }, scene.bridge)
    }

    /// How many messages both have sent together.
    pub(super) fn progress(&self) -> watch::Receiver<usize> {
        self.sent.subscribe()
    }

    /// Waits until both have said everything and heard the other's last word.
    pub(super) async fn end(self) -> Account {
        let limit = Duration::from_mins(5);
        let talk = async { (self.alice.await.expect("alice talks"), self.bob.await.expect("bob talks")) };
        let ((alice, sent), mut bob) =
            tokio::time::timeout(limit, talk).await.expect("the conversation ends");
        let of_alice = |line: &Line| line.nick.starts_with("alice") && line.parameter(1) == LAST;
        bob.wait_for("alice's last word", of_alice).await;
        let from_bob = |event: &serde_json::Value| {
            event["sender"] == BridgeProcess::ghost("bob") && event["content"]["body"] == LAST
        };
        let heard = alice.clone().with_deadline(limit).wait_for_described("bob's last word", from_bob).await;
        heard.unwrap_or_else(|error| panic!("{error}"));
        Account { alice, room: self.room, sent, lines: bob.lines(), crew: self.crew }
    }
}

/// Alice repeats a message under the same transaction ID until it is acknowledged, as clients do.
async fn alice_talks(
    alice: TestUser,
    room: String,
    each: usize,
    mut bob_sent: watch::Receiver<usize>,
    sent: watch::Sender<usize>,
) -> (TestUser, Vec<Sent>) {
    let mut acknowledged = Vec::new();
    for number in 0..=each {
        let text = if number == each { LAST.to_owned() } else { format!("m{number:04}") };
        bob_sent.wait_for(|bob| *bob + AHEAD >= number.min(each - 1)).await.expect("bob goes on");
        let content = serde_json::json!({"msgtype": "m.text", "body": text});
        let expectation = format!("{text:?} is acknowledged");
        let event_id = observe(&expectation, || async {
            match alice.send_event_as(&room, "m.room.message", &text, content.clone()).await {
                Ok(event_id) => Some(event_id.to_string()),
                Err(TestError::Transport { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        })
        .await;
        acknowledged.push(Sent { event_id, text });
        sent.send_modify(|sent| *sent += 1);
    }
    (alice, acknowledged)
}

struct Bob {
    client: IrcClient,
    channel: &'static str,
    presence: Presence,
    position: usize,
    crew: usize,
}

impl Bob {
    /// Bob speaks only while the bridge is there to hear it: what is said to nobody is lost on IRC, by design.
    async fn talk(
        mut self,
        each: usize,
        seed: u64,
        bob_sent: watch::Sender<usize>,
        sent: watch::Sender<usize>,
    ) -> IrcClient {
        let mut random = StdRng::seed_from_u64(seed);
        for number in 0..each {
            self.until_heard().await;
            self.client.say(self.channel, &format!("i{number:04}")).await;
            bob_sent.send_modify(|bob| *bob += 1);
            sent.send_modify(|sent| *sent += 1);
            tokio::time::sleep(Duration::from_micros(random.random_range(0..3_000))).await;
        }
        self.until_heard().await;
        self.client.say(self.channel, LAST).await;
        self.client
    }

    async fn until_heard(&mut self) {
        loop {
            let lines = self.client.lines_from(self.position);
            self.position += lines.len();
            for line in &lines {
                self.presence.follow(line);
            }
            if self.presence.nicks.len() >= self.crew {
                return;
            }
            within("the bridge is in the channel again", self.client.more_than(self.position)).await;
        }
    }
}
