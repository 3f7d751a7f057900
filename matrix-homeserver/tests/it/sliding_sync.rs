//! Simplified sliding sync (MSC4186): what a client is told of the rooms that it asks for.

mod conversation;
mod extensions;
mod lists;
mod rooms;

use matrix_homeserver::testing::{TestError, TestUser};
use serde_json::{Value, json};

const PATH: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
const V3: &str = "/_matrix/client/v3";

/// A connection of a client that goes on from the last answer.
struct Connection {
    user: TestUser,
    body: Value,
    pos: Option<String>,
}

impl Connection {
    fn new(user: &TestUser, body: Value) -> Self {
        Self { user: user.clone(), body, pos: None }
    }

    /// With one list of everything, and these many of the last events of every room.
    fn all(user: &TestUser, timeline_limit: u64, required_state: &[(&str, &str)]) -> Self {
        let list = json!({
            "ranges": [[0, 99]], "timeline_limit": timeline_limit, "required_state": required_state,
        });
        Self::new(user, json!({ "lists": { "all": list } }))
    }

    /// With all extensions besides.
    fn extended(mut self) -> Self {
        let on = json!({ "enabled": true });
        self.body["extensions"] =
            json!({ "to_device": on, "e2ee": on, "account_data": on, "receipts": on, "typing": on });
        self
    }

    async fn ask(&self, timeout: u64) -> Result<Value, TestError> {
        let mut path = format!("{PATH}?timeout={timeout}");
        if let Some(pos) = &self.pos {
            path.push_str("&pos=");
            path.push_str(pos);
        }
        self.user.post(&path, self.body.clone()).await
    }

    /// What has happened up to now.
    async fn next(&mut self) -> Value {
        let answer = self.ask(0).await.unwrap();
        self.pos = Some(answer["pos"].as_str().unwrap().to_owned());
        answer
    }

    /// The part of the next answer for a room; null, if there is none.
    async fn room(&mut self, room: &str) -> Value {
        self.next().await["rooms"][room].clone()
    }
}

/// The texts in a timeline.
fn bodies(room: &Value) -> Vec<&str> {
    let events = room["timeline"].as_array().map(Vec::as_slice).unwrap_or_default();
    events.iter().filter_map(|event| event["content"]["body"].as_str()).collect()
}

/// State events, as `type|key`, sorted.
fn places(events: &Value) -> Vec<String> {
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut places: Vec<_> = events
        .iter()
        .map(|event| format!("{}|{}", text(&event["type"]), text(&event["state_key"])))
        .collect();
    places.sort();
    places
}

/// The names of the fields of an object, sorted.
fn fields(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}
