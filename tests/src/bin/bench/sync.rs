//! From one client to another over the homeserver alone, one message at a time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use matrix_homeserver::testing::{TestUser, encode};
use serde_json::Value;
use tests::load::Connection;
use tests::programs::HomeserverProcess;
use tests::servers::Synapse;

use crate::figures::{milliseconds, percentile, print};
use crate::row;

const MESSAGES: usize = 300;
const WARM_UP: usize = 30;

pub(crate) async fn measure() -> Result<()> {
    let memory = HomeserverProcess::start_with(&[], &[]).await;
    let disk = HomeserverProcess::start(&[]).await;
    let synapse = Synapse::start(&[]).await;
    let mut subjects = vec![("ours, in memory", memory.url()), ("ours, every answer flushed", disk.url())];
    subjects.extend(synapse.as_ref().map(|synapse| ("Synapse", synapse.url())));
    let mut rows = vec![row!["server", "send to /sync, median", "99 %", "send answered, median"]];
    for (name, url) in subjects {
        let (mut arrived, mut answered) = between_two(&url).await?;
        let [middle, slow] = [50, 99].map(|percent| milliseconds(percentile(&mut arrived, percent)));
        rows.push(row![name, middle, slow, milliseconds(percentile(&mut answered, 50))]);
    }
    print("One message from one client to another", &rows);
    Ok(())
}

/// When each message was in the other's `/sync`, and when it was answered.
async fn between_two(homeserver: &str) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let dora = TestUser::register(homeserver, "dora").await?;
    let emil = TestUser::register(homeserver, "emil").await?;
    let room = dora.create_room(serde_json::json!({"preset": "public_chat"})).await?.to_string();
    emil.join(&room).await?;
    let mut watcher = Watcher::open(homeserver, &emil).await?;
    let mut sender = Connection::open(address(homeserver)?, dora.access_token()).await?;
    let (mut arrived, mut answered) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + MESSAGES {
        let text = format!("alone {number}");
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/a{number}", encode(&room));
        let body = serde_json::json!({"msgtype": "m.text", "body": text});
        let began = Instant::now();
        let send = async {
            let answer = sender.json("PUT", &path, &body).await;
            (answer, began.elapsed())
        };
        let see = async {
            let seen = watcher.wait_for(&text).await;
            (seen, began.elapsed())
        };
        let ((answer, sent_after), (seen, seen_after)) = tokio::join!(send, see);
        answer?;
        seen?;
        arrived.push(seen_after);
        answered.push(sent_after);
    }
    Ok((arrived.split_off(WARM_UP), answered.split_off(WARM_UP)))
}

pub(crate) fn address(homeserver: &str) -> Result<SocketAddr> {
    homeserver.trim_start_matches("http://").parse().context("a loopback address")
}

/// A client that waits in `/sync`.
pub(crate) struct Watcher {
    connection: Connection,
    since: String,
}

impl Watcher {
    pub(crate) async fn open(homeserver: &str, user: &TestUser) -> Result<Self> {
        let mut connection = Connection::open(address(homeserver)?, user.access_token()).await?;
        let first = connection.json("GET", "/_matrix/client/v3/sync?timeout=0", &Value::Null).await?;
        Ok(Self { connection, since: next_batch(&first)? })
    }

    /// Returns when a message with this text has come.
    pub(crate) async fn wait_for(&mut self, text: &str) -> Result<()> {
        loop {
            let path = format!("/_matrix/client/v3/sync?timeout=10000&since={}", encode(&self.since));
            let answer = self.connection.json("GET", &path, &Value::Null).await?;
            self.since = next_batch(&answer)?;
            let rooms = answer["rooms"]["join"].as_object().into_iter().flat_map(|rooms| rooms.values());
            let mut events = rooms.filter_map(|room| room["timeline"]["events"].as_array()).flatten();
            if events.any(|event| event["content"]["body"] == text) {
                return Ok(());
            }
        }
    }
}

fn next_batch(answer: &Value) -> Result<String> {
    Ok(answer["next_batch"].as_str().context("a sync has a next_batch")?.to_owned())
}
