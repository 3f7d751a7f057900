//! Those who write: each repeats a write until it is acknowledged, and can tell later whether all of it is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use matrix_homeserver::testing::{TestError, TestUser, encode};
use serde_json::{Value, json};
use tests::deadline::observe;

const V3: &str = "/_matrix/client/v3";

/// What a writer writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    State,
    Membership,
    ToDevice,
    AccountData,
    Media,
    Receipt,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Message,
        Self::State,
        Self::Membership,
        Self::ToDevice,
        Self::AccountData,
        Self::Media,
        Self::Receipt,
    ];
}

/// A user who writes one kind of thing to one room.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) kind: Kind,
    pub(super) user: TestUser,
    pub(super) room: String,
    /// Events in the room, for receipts in turn.
    events: [String; 2],
    /// The answers to what was acknowledged, in its order: event IDs, URIs of media; empty where nothing is answered.
    pub(super) acknowledged: Vec<String>,
    /// How much of it has been looked for.
    seen: usize,
    /// Where the writer's own device has synced to, and the numbers of the messages to it.
    since: Option<String>,
    received: Vec<u64>,
}

/// The result of one attempt: none if the server was not there.
fn attempt(answer: Result<Value, TestError>) -> Option<Value> {
    match answer {
        Ok(answer) => Some(answer),
        Err(TestError::Transport { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_default().to_owned()
}

/// The content of an upload: long enough to be written in several pieces.
fn bytes(writer: &str, number: usize) -> Vec<u8> {
    format!("{writer} {number} ").repeat(2_000).into_bytes()
}

impl Writer {
    pub(super) fn new(kind: Kind, user: TestUser, room: &str, events: &[String; 2]) -> Self {
        Self {
            kind,
            user,
            room: room.to_owned(),
            events: events.clone(),
            acknowledged: Vec::new(),
            seen: 0,
            since: None,
            received: Vec::new(),
        }
    }

    fn name(&self) -> &str {
        self.user.user_id().localpart()
    }

    /// Writes until told to stop.
    pub(super) async fn write(mut self, stop: Arc<AtomicBool>) -> Self {
        while !stop.load(Ordering::Relaxed) {
            let number = self.acknowledged.len();
            let expectation = format!("{} is acknowledged its write {number}", self.name());
            let answer = observe(&expectation, || self.write_one(number)).await;
            self.acknowledged.push(answer);
        }
        self
    }

    async fn write_one(&self, number: usize) -> Option<String> {
        let (user, user_id) = (&self.user, encode(self.user.user_id().as_str()));
        let room = format!("{V3}/rooms/{}", encode(&self.room));
        match self.kind {
            Kind::Message => {
                let path = format!("{room}/send/m.room.message/w{number}");
                let body = json!({"msgtype": "m.text", "body": format!("{} {number}", self.name())});
                Some(text(&attempt(user.put(&path, body).await)?, "event_id"))
            }
            Kind::State => {
                let path = format!("{room}/state/org.example.count/{}", self.name());
                Some(text(&attempt(user.put(&path, json!({"count": number})).await)?, "event_id"))
            }
            Kind::Membership => {
                let verb = if number.is_multiple_of(2) { "leave" } else { "join" };
                attempt(user.post(&format!("{room}/{verb}"), json!({})).await)?;
                Some(String::new())
            }
            Kind::ToDevice => {
                let path = format!("{V3}/sendToDevice/org.example.count/w{number}");
                let message =
                    json!({ "messages": { user.user_id().as_str(): { "*": { "count": number } } } });
                attempt(user.put(&path, message).await)?;
                Some(String::new())
            }
            Kind::AccountData => {
                let path = format!("{V3}/user/{user_id}/account_data/org.example.count");
                attempt(user.put(&path, json!({"count": number})).await)?;
                Some(String::new())
            }
            Kind::Media => {
                let request = reqwest::Client::new()
                    .post(format!("{}/_matrix/media/v3/upload", user.homeserver_url()))
                    .bearer_auth(user.access_token())
                    .body(bytes(self.name(), number));
                let answer: Value = request.send().await.ok()?.json().await.ok()?;
                Some(text(&answer, "content_uri"))
            }
            Kind::Receipt => {
                let path = format!("{room}/receipt/m.read/{}", encode(&self.events[number % 2]));
                attempt(user.post(&path, json!({})).await)?;
                Some(String::new())
            }
        }
    }

    /// Fails when something that was acknowledged since the last look is not there.
    pub(super) async fn verify(&mut self) {
        let fresh = self.seen..self.acknowledged.len();
        self.seen = fresh.end;
        let Some(last) = fresh.clone().last() else { return };
        match self.kind {
            Kind::Message => {
                self.verify_events(fresh, |n| json!(format!("{} {n}", self.name())), "body").await;
            }
            Kind::State => {
                self.verify_events(fresh, |n| json!(n), "count").await;
                let state = self.user.state(&self.room, "org.example.count", self.name()).await.unwrap();
                assert_eq!(state.unwrap()["count"], json!(last));
            }
            Kind::Membership => {
                let joined = self.user.get(&format!("{V3}/joined_rooms")).await.unwrap();
                let inside = !joined["joined_rooms"].as_array().unwrap().is_empty();
                assert_eq!(inside, !last.is_multiple_of(2), "{} after {last}", self.name());
            }
            Kind::ToDevice => self.verify_to_device().await,
            Kind::AccountData => {
                let user_id = encode(self.user.user_id().as_str());
                let path = format!("{V3}/user/{user_id}/account_data/org.example.count");
                assert_eq!(self.user.get(&path).await.unwrap()["count"], json!(last));
            }
            Kind::Media => {
                for number in fresh {
                    self.verify_media(number).await;
                }
            }
            Kind::Receipt => self.verify_receipts(last).await,
        }
    }

    async fn verify_events(
        &self,
        numbers: std::ops::Range<usize>,
        wanted: impl Fn(usize) -> Value,
        field: &str,
    ) {
        for number in numbers {
            let event_id = encode(&self.acknowledged[number]);
            let path = format!("{V3}/rooms/{}/event/{event_id}", encode(&self.room));
            let event = self.user.get(&path).await.unwrap_or_else(|error| panic!("write {number}: {error}"));
            assert_eq!(event["content"][field], wanted(number));
        }
    }

    /// Every message has arrived once and in order: also one whose request was repeated because of a kill.
    async fn verify_to_device(&mut self) {
        loop {
            let since = self.since.as_ref().map(|since| format!("&since={since}")).unwrap_or_default();
            let path = format!(
                "{V3}/sync?set_presence=offline&filter=%7B%22room%22%3A%7B%22rooms%22%3A%5B%5D%7D%7D{since}"
            );
            let answer = self.user.get(&path).await.unwrap();
            self.since = Some(text(&answer, "next_batch"));
            let events = answer["to_device"]["events"].as_array().cloned().unwrap_or_default();
            if events.is_empty() {
                break;
            }
            self.received.extend(events.iter().filter_map(|event| event["content"]["count"].as_u64()));
        }
        let expected: Vec<u64> = (0..).take(self.acknowledged.len()).collect();
        assert_eq!(self.received, expected, "the messages to the device of {}", self.name());
    }

    async fn verify_media(&self, number: usize) {
        let uri = self.acknowledged[number].strip_prefix("mxc://").expect("a content URI");
        let url = format!("{}/_matrix/client/v1/media/download/{uri}", self.user.homeserver_url());
        let request = reqwest::Client::new().get(url).bearer_auth(self.user.access_token());
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "upload {number} is there");
        assert!(answer.bytes().await.unwrap() == bytes(self.name(), number), "upload {number} is whole");
    }

    /// The receipt is where it was put last. The receipts of a room are shown as a whole.
    async fn verify_receipts(&self, last: usize) {
        let answer = self.user.get(&format!("{V3}/sync?set_presence=offline")).await.unwrap();
        let events = answer["rooms"]["join"][&self.room]["ephemeral"]["events"].as_array().cloned();
        let user_id = self.user.user_id().as_str();
        let receipts = events.unwrap_or_default().into_iter().filter(|event| event["type"] == "m.receipt");
        let read: Vec<_> = receipts
            .filter_map(|event| {
                let of_events = event["content"].as_object()?.clone();
                of_events.into_iter().find(|(_, kinds)| !kinds["m.read"][user_id].is_null()).map(|(id, _)| id)
            })
            .collect();
        assert_eq!(read, [self.events[last % 2].clone()], "the receipt {last} of {}", self.name());
    }
}
