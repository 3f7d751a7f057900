//! What was said against what was heard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use matrix_homeserver::testing::{TestUser, encode};
use serde_json::Value;
use tests::irc::Line;
use tests::programs::BridgeProcess;

use super::conversation::{Account, Presence, Sent};

#[cfg(test)]
mod checks;

/// A line that was on the wire to the bridge when it died may be unread: it is not older than this then.
const UNREAD: Duration = Duration::from_secs(1);

/// A line of Bob's while the bridge was complete in the channel.
struct Exposed {
    text: String,
    at: Instant,
}

/// One life of the bridge as the IRC server saw it.
struct Life {
    lines: Vec<Exposed>,
    /// When it was gone; `None` for the last one.
    died: Option<Instant>,
}

/// Both sides of a conversation.
pub(super) struct Ledger {
    sent: Vec<Sent>,
    /// What Bob heard of Alice.
    on_irc: Vec<String>,
    /// What Bob said, in the order of the IRC server.
    said_by_bob: Vec<String>,
    /// What of it the bridge was there to hear.
    lives: Vec<Life>,
    /// What the room holds of Bob.
    on_matrix: Vec<String>,
    /// Event IDs of everything in the room.
    events: BTreeMap<String, usize>,
    /// Event IDs that the bridge said it is not sure of, once for each time it said so.
    reported: Vec<String>,
}

impl Ledger {
    pub(super) async fn of(account: Account) -> Self {
        let timeline = timeline(&account.alice, &account.room).await;
        let mut events = BTreeMap::new();
        for event in &timeline {
            *events.entry(event["event_id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        let bob = BridgeProcess::ghost("bob");
        let is_bobs = |event: &&Value| event["type"] == "m.room.message" && event["sender"] == bob.as_str();
        Self {
            on_irc: heard_of_alice(&account.lines),
            said_by_bob: account
                .lines
                .iter()
                .filter(|line| is_said_by_bob(line))
                .map(|line| line.parameter(1).to_owned())
                .collect(),
            lives: lives(&account.lines, account.crew),
            on_matrix: timeline.iter().filter(is_bobs).map(body).collect(),
            reported: timeline.iter().filter_map(reported_event).collect(),
            sent: account.sent,
            events,
        }
    }

    /// How many messages the bridge reported as uncertain.
    pub(super) fn uncertain(&self) -> usize {
        self.reported.len()
    }

    pub(super) fn summary(&self) -> String {
        let exposed: usize = self.lives.iter().map(|life| life.lines.len()).sum();
        format!(
            "Matrix to IRC: {} acknowledged, {} on IRC, {} reported as uncertain. \
             IRC to Matrix: {exposed} sent to the bridge in {} lives, {} in the room.",
            self.sent.len(),
            self.on_irc.len(),
            self.reported.len(),
            self.lives.len(),
            self.on_matrix.len()
        )
    }

    /// Every acknowledged event is in the room once.
    pub(super) fn assert_acknowledged_events_are_there(&self) {
        for sent in &self.sent {
            assert_eq!(self.events.get(&sent.event_id), Some(&1), "{} ({})", sent.text, sent.event_id);
        }
        let distinct: BTreeSet<_> = self.sent.iter().map(|sent| &sent.event_id).collect();
        assert_eq!(distinct.len(), self.sent.len(), "each message is an event of its own");
    }

    /// Every acknowledged message is on IRC once and in order, or its sender was told, once, that this is not certain.
    pub(super) fn assert_matrix_to_irc_is_exact(&self) {
        let said: Vec<_> = self.sent.iter().map(|sent| sent.text.clone()).collect();
        assert_once_and_in_order("on IRC", &self.on_irc, &said);
        let heard: BTreeSet<_> = self.on_irc.iter().collect();
        let reported: BTreeSet<_> = self.reported.iter().collect();
        assert_eq!(reported.len(), self.reported.len(), "a message is reported once: {:?}", self.reported);
        let silent: Vec<_> = self
            .sent
            .iter()
            .filter(|sent| !heard.contains(&sent.text) && !reported.contains(&sent.event_id))
            .map(|sent| sent.text.as_str())
            .collect();
        assert!(silent.is_empty(), "neither on IRC nor reported: {silent:?}");
    }

    /// What the bridge received in each of its lives is in the room once and in order. Only what it had not read yet
    /// when it was killed may be missing: the last lines of a life.
    pub(super) fn assert_irc_to_matrix_is_exact(&self, kills: usize) {
        // A bridge that is killed before it has joined is not seen at all.
        assert!((2..=kills + 1).contains(&self.lives.len()) || kills == 0, "{} lives", self.lives.len());
        assert_once_and_in_order("in the room", &self.on_matrix, &self.said_by_bob);
        let in_room: BTreeSet<_> = self.on_matrix.iter().collect();
        for (number, life) in self.lives.iter().enumerate() {
            let missing = life.lines.iter().skip_while(|line| in_room.contains(&line.text));
            for line in missing {
                assert!(
                    !in_room.contains(&line.text),
                    "life {number}: a line before {} is missing",
                    line.text
                );
                let unread = life.died.is_some_and(|died| died.saturating_duration_since(line.at) < UNREAD);
                assert!(unread, "life {number}: {} is missing, long after it was received", line.text);
            }
        }
    }
}

/// `heard` is `said` with gaps: nothing twice, nothing overtaken.
fn assert_once_and_in_order(place: &str, heard: &[String], said: &[String]) {
    let positions: BTreeMap<_, _> =
        said.iter().enumerate().map(|(position, text)| (text, position)).collect();
    let mut last = None;
    for text in heard {
        let position =
            positions.get(text).unwrap_or_else(|| panic!("{text:?} is {place} but nobody said it"));
        assert!(
            last < Some(position),
            "{text:?} is {place} twice or out of order: {:?}",
            around(heard, text)
        );
        last = Some(position);
    }
}

fn around<'a>(heard: &'a [String], text: &String) -> Vec<&'a String> {
    let last = heard.iter().rposition(|other| other == text).unwrap_or(0);
    heard.iter().skip(last.saturating_sub(8)).take(16).collect()
}

fn body(event: &Value) -> String {
    event["content"]["body"].as_str().unwrap_or_default().to_owned()
}

fn reported_event(event: &Value) -> Option<String> {
    let is_report = event["type"] == "m.room.message" && event["content"]["msgtype"] == "m.notice";
    let about = event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"].as_str()?;
    is_report.then(|| about.to_owned())
}

fn heard_of_alice(lines: &[Line]) -> Vec<String> {
    let said = lines.iter().filter(|line| line.command == "PRIVMSG" && line.nick.starts_with("alice"));
    said.map(|line| line.parameter(1).to_owned()).collect()
}

fn is_said_by_bob(line: &Line) -> bool {
    line.command == "PRIVMSG" && line.nick == "bob"
}

/// What Bob said while the bridge was complete, life by life. The order is the IRC server's: his own lines come back
/// to him between the joins and quits of the bridge.
fn lives(lines: &[Line], crew: usize) -> Vec<Life> {
    let mut presence = Presence::default();
    let mut lives = vec![Life { lines: Vec::new(), died: None }];
    for line in lines {
        let before = presence.nicks.len();
        presence.follow(line);
        if before > 0 && presence.nicks.is_empty() {
            lives.last_mut().expect("there is one").died = Some(line.at);
            lives.push(Life { lines: Vec::new(), died: None });
        }
        if is_said_by_bob(line) && presence.nicks.len() >= crew {
            let exposed = Exposed { text: line.parameter(1).to_owned(), at: line.at };
            lives.last_mut().expect("there is one").lines.push(exposed);
        }
    }
    lives
}

/// The whole history of a room, oldest first.
pub(crate) async fn timeline(user: &TestUser, room: &str) -> Vec<Value> {
    let (mut events, mut from) = (Vec::new(), String::new());
    loop {
        let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=f&limit=500{from}", encode(room));
        let mut page = user.get(&path).await.expect("a member reads the history");
        let chunk = page["chunk"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let empty = chunk.is_empty();
        events.extend(chunk);
        match page["end"].as_str() {
            Some(end) if !empty => from = format!("&from={}", encode(end)),
            _ => return events,
        }
    }
}
