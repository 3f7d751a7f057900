//! Waiting for what a user can see, by `/sync`.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Progress, TestError, TestUser, encode};

/// One long poll never lasts longer than this; the deadline of a wait cuts it shorter.
const POLL: Duration = Duration::from_secs(10);

/// How many events a failed wait quotes.
const QUOTED: usize = 12;

impl TestUser {
    /// The next answer of `/sync` after the last one that this user saw, without interpretation.
    /// Its events are remembered for [`wait_for`](Self::wait_for).
    pub async fn sync(&self, timeout: Duration) -> Result<Value, TestError> {
        let mut progress = self.inner.progress.lock().await;
        self.poll(&mut progress, timeout).await
    }

    /// Waits for an event that satisfies `wanted` and takes it out of what was seen, so that the next call finds
    /// the next one. Events that came before the call and were not taken count; events that `wanted` passes over
    /// stay for later calls.
    ///
    /// An event is the JSON of the client format plus `room_id`. Seen are timeline and state of joined and left
    /// rooms, the stripped state of invitations and knocks, and, with their `type`, typing notifications,
    /// receipts, account data, presence and messages to the device.
    ///
    /// # Errors
    /// [`TestError::Deadline`] if none came in time.
    pub async fn wait_for(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value, TestError> {
        self.wait_for_described("an event", wanted).await
    }

    /// [`wait_for`](Self::wait_for), naming in the error what was waited for.
    pub async fn wait_for_described(
        &self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, TestError> {
        let until = Instant::now() + self.deadline;
        let mut progress = self.inner.progress.lock().await;
        loop {
            if let Some(found) = take(&mut progress, &wanted) {
                return Ok(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.deadline_error(what, &progress));
            }
            let poll = self.poll(&mut progress, left.min(POLL));
            match tokio::time::timeout_at(until + Duration::from_millis(500), poll).await {
                Ok(answer) => drop(answer?),
                Err(_) => return Err(self.deadline_error(what, &progress)),
            }
        }
    }

    /// Waits for a text message with exactly this body in the room.
    pub async fn wait_for_text(&self, room: impl AsRef<str>, body: &str) -> Result<Value, TestError> {
        let room = room.as_ref();
        self.wait_for_described(&format!("the text {body:?} in {room}"), |event| {
            event["type"] == "m.room.message" && event["room_id"] == room && event["content"]["body"] == body
        })
        .await
    }

    /// Waits until the membership of a user in a room becomes `membership`.
    pub async fn wait_for_membership(
        &self,
        room: impl AsRef<str>,
        user: impl AsRef<str>,
        membership: &str,
    ) -> Result<Value, TestError> {
        let (room, user) = (room.as_ref(), user.as_ref());
        self.wait_for_described(&format!("{membership} of {user} in {room}"), |event| {
            event["type"] == "m.room.member"
                && event["room_id"] == room
                && event["state_key"] == user
                && event["content"]["membership"] == membership
        })
        .await
    }

    async fn poll(&self, progress: &mut Progress, timeout: Duration) -> Result<Value, TestError> {
        let mut path = format!("/_matrix/client/v3/sync?timeout={}", timeout.as_millis());
        match &progress.since {
            Some(since) => {
                path.push_str("&since=");
                path.push_str(&encode(since));
            }
            None => {
                let filter = json!({"room": {"timeline": {"limit": 100}}});
                path.push_str("&filter=");
                path.push_str(&encode(&filter.to_string()));
            }
        }
        let answer = self.get(&path).await?;
        let next = answer["next_batch"]
            .as_str()
            .ok_or(TestError::Shape { path: "/_matrix/client/v3/sync".into(), field: "next_batch" })?;
        progress.since = Some(next.to_owned());
        progress.backlog.extend(events_of(&answer));
        Ok(answer)
    }

    fn deadline_error(&self, what: &str, progress: &Progress) -> TestError {
        let newest = progress.backlog.iter().rev().take(QUOTED).map(Value::to_string);
        TestError::Deadline {
            user_id: self.inner.user_id.clone(),
            waited: self.deadline,
            what: what.to_owned(),
            seen: newest.collect::<Vec<_>>().join("\n"),
        }
    }
}

fn take(progress: &mut Progress, wanted: &impl Fn(&Value) -> bool) -> Option<Value> {
    let position = progress.backlog.iter().position(wanted)?;
    progress.backlog.remove(position)
}

/// Every event of an answer of `/sync`, with its room.
fn events_of(answer: &Value) -> Vec<Value> {
    const IN_ROOMS: [(&str, &[&str]); 4] = [
        ("invite", &["invite_state"]),
        ("knock", &["knock_state"]),
        ("join", &["state", "state_after", "timeline", "ephemeral", "account_data"]),
        ("leave", &["state", "state_after", "timeline", "account_data"]),
    ];
    let list = |from: &Value| from["events"].as_array().cloned().unwrap_or_default();
    let mut found = Vec::new();
    for section in ["account_data", "presence", "to_device"] {
        found.extend(list(&answer[section]));
    }
    for (kind, sections) in IN_ROOMS {
        let Some(rooms) = answer["rooms"][kind].as_object() else { continue };
        for (room_id, room) in rooms {
            for section in sections {
                for mut event in list(&room[*section]) {
                    event["room_id"] = room_id.as_str().into();
                    found.push(event);
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_of_a_sync_is_seen_with_its_room() {
        let answer = json!({
            "account_data": {"events": [{"type": "m.direct"}]},
            "rooms": {
                "join": {"!a": {"timeline": {"events": [{"type": "x"}]}, "ephemeral": {"events": [{"type": "m.typing"}]}}},
                "invite": {"!b": {"invite_state": {"events": [{"type": "m.room.member"}]}}},
            },
        });
        let seen = events_of(&answer);
        let kinds: Vec<_> = seen.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["m.direct", "m.room.member", "x", "m.typing"]);
        assert_eq!(seen[1]["room_id"], "!b");
        assert_eq!(seen[2]["room_id"], "!a");
    }

    #[test]
    fn an_event_is_taken_once_and_others_stay() {
        let mut progress = Progress { since: None, backlog: [json!(1), json!(2), json!(2)].into() };
        assert_eq!(take(&mut progress, &|event| event == 2), Some(json!(2)));
        assert_eq!(take(&mut progress, &|event| event == 2), Some(json!(2)));
        assert_eq!(take(&mut progress, &|event| event == 2), None);
        assert_eq!(progress.backlog, [json!(1)]);
    }
}
