//! `PUT /rooms/{id}/send` per second, one room, one message after the other for each client.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use matrix_homeserver::testing::{TestUser, encode};
use tests::load::Connection;
use tests::programs::HomeserverProcess;
use tests::servers::Synapse;
use tokio::task::JoinSet;

use crate::figures::{median, milliseconds, percentile, print};
use crate::row;

const CLIENTS: [usize; 2] = [1, 16];
const ROUNDS: usize = 3;
const WARM_UP: Duration = Duration::from_millis(500);
const ROUND: Duration = Duration::from_secs(3);

/// A server with a room and users in it.
struct Subject {
    name: &'static str,
    address: SocketAddr,
    room: String,
    users: Vec<TestUser>,
}

/// What one server did.
#[derive(Default)]
struct Results {
    rates: Vec<f64>,
    times: Vec<Duration>,
}

pub(crate) async fn measure() -> Result<()> {
    let memory = HomeserverProcess::start_with(&[], &[]).await;
    let disk = HomeserverProcess::start(&[]).await;
    let synapse = Synapse::start(&[]).await;
    let mut subjects = vec![
        Subject::prepare("ours, in memory", &memory.url()).await?,
        Subject::prepare("ours, every answer flushed", &disk.url()).await?,
    ];
    if let Some(synapse) = &synapse {
        subjects.push(Subject::prepare("Synapse", &synapse.url()).await?);
    }
    let mut rows = vec![row!["server", "clients", "PUT send per second", "median time", "against Synapse"]];
    for clients in CLIENTS {
        // The servers take turns, so that a busy moment of the machine hits all of them.
        let mut results: Vec<Results> = subjects.iter().map(|_| Results::default()).collect();
        for _ in 0..ROUNDS {
            for (subject, results) in subjects.iter().zip(&mut results) {
                subject.round(clients, results).await?;
            }
        }
        let rates: Vec<f64> = results.iter_mut().map(|results| median(&mut results.rates)).collect();
        let reference = if synapse.is_some() { rates.last().copied() } else { None };
        for ((subject, mut results), rate) in subjects.iter().zip(results).zip(&rates) {
            let ratio = reference.map_or("?".to_owned(), |reference| format!("{:.0}×", rate / reference));
            let middle = milliseconds(percentile(&mut results.times, 50));
            rows.push(row![subject.name, clients, format!("{rate:.0}"), middle, ratio]);
        }
    }
    print("Sending into one room", &rows);
    Ok(())
}

impl Subject {
    async fn prepare(name: &'static str, url: &str) -> Result<Self> {
        let mut users = Vec::new();
        for number in 0..CLIENTS[1] {
            users.push(TestUser::register(url, &format!("user{number}")).await?);
        }
        let room = users[0].create_room(serde_json::json!({"preset": "public_chat"})).await?.to_string();
        for user in &users[1..] {
            user.join(&room).await?;
        }
        let address = url.trim_start_matches("http://").parse().context("a loopback address")?;
        Ok(Self { name, address, room, users })
    }

    async fn round(&self, clients: usize, results: &mut Results) -> Result<()> {
        let begin = Instant::now() + WARM_UP;
        let end = begin + ROUND;
        let mut tasks = JoinSet::new();
        for user in &self.users[..clients] {
            let connection = Connection::open(self.address, user.access_token()).await?;
            tasks.spawn(send_until(connection, self.room.clone(), begin, end));
        }
        let mut sent = 0_u32;
        while let Some(times) = tasks.join_next().await {
            let times = times??;
            sent += u32::try_from(times.len())?;
            results.times.extend(times);
        }
        results.rates.push(f64::from(sent) / ROUND.as_secs_f64());
        Ok(())
    }
}

/// Counts what was answered between `begin` and `end`.
async fn send_until(
    mut connection: Connection,
    room: String,
    begin: Instant,
    end: Instant,
) -> Result<Vec<Duration>> {
    let session: u64 = rand::random();
    let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/{session:x}.", encode(&room));
    let body = br#"{"msgtype":"m.text","body":"the quick brown fox jumps over the lazy dog"}"#;
    let mut times = Vec::new();
    for number in 0_u64.. {
        let asked = Instant::now();
        if asked >= end {
            break;
        }
        connection.request("PUT", &format!("{path}{number}"), body).await?;
        let answered = Instant::now();
        if answered >= begin && answered < end {
            times.push(answered - asked);
        }
    }
    Ok(times)
}
