//! Transactions into the framework's inbox: each is on disk when it is answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use matrix_appservice::service::{AppserviceHandler, EventContext, Outcome, RoomEvent};
use matrix_appservice::{Appservice, Registration};
use serde_json::{Value, json};
use tests::load::Connection;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::figures::{median, milliseconds, percentile, print};
use crate::row;

const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);

/// Counts and is done.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

#[async_trait]
impl AppserviceHandler for Counter {
    async fn event(&self, _: &EventContext, _: RoomEvent) -> Outcome {
        self.0.fetch_add(1, Ordering::Relaxed);
        Outcome::Done
    }
}

pub(crate) async fn measure() -> Result<()> {
    let mut rows = vec![row![
        "connections",
        "events in each",
        "transactions per second",
        "events per second",
        "median time"
    ]];
    for (connections, events) in [(1, 1), (16, 1), (1, 100)] {
        let (mut rates, mut times) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (rate, mut round) = round(connections, events).await?;
            rates.push(rate);
            times.append(&mut round);
        }
        let rate = median(&mut rates);
        let per_second = format!("{:.0}", rate * f64::from(u32::try_from(events)?));
        let middle = milliseconds(percentile(&mut times, 50));
        rows.push(row![connections, events, format!("{rate:.0}"), per_second, middle]);
    }
    print("Transactions into the inbox, every answer after a flush", &rows);
    Ok(())
}

/// A fresh service and a fresh store, so that no round pays for an earlier one.
async fn round(connections: usize, events: usize) -> Result<(f64, Vec<Duration>)> {
    let folder = tempfile::tempdir()?;
    let registration = Registration::builder("bench").build();
    let token = registration.hs_token.expose().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let appservice = Appservice::builder(registration)
        .homeserver("http://127.0.0.1:1")
        .server_name("hs.test".try_into()?)
        .store_path(folder.path())
        .build()?;
    let (handler, shutdown) = (Counter::default(), CancellationToken::new());
    let service = tokio::spawn(appservice.run(handler.clone(), listener, shutdown.clone()));

    let end = Instant::now() + ROUND;
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        tasks.spawn(push_until(address, token.clone(), number, events, end));
    }
    let times: Vec<Duration> = tasks.join_all().await.into_iter().collect::<Result<Vec<_>>>()?.concat();
    let accepted = times.len() * events;
    tests::deadline::observe("every accepted event is handled", || async {
        (handler.0.load(Ordering::Relaxed) >= accepted).then_some(())
    })
    .await;
    shutdown.cancel();
    service.await??;
    let rate = f64::from(u32::try_from(times.len())?) / ROUND.as_secs_f64();
    Ok((rate, times))
}

async fn push_until(
    address: SocketAddr,
    token: String,
    connection: usize,
    events: usize,
    end: Instant,
) -> Result<Vec<Duration>> {
    let mut sender = Connection::open(address, &token).await?;
    let template = serde_json::to_string(&template(connection, events))?;
    let mut times = Vec::new();
    for number in 0_usize.. {
        let body = template.replace("{n}", &format!("{connection}.{number}"));
        let path = format!("/_matrix/app/v1/transactions/{connection}.{number}");
        let asked = Instant::now();
        if asked >= end {
            break;
        }
        sender.request("PUT", &path, body.as_bytes()).await.context("a transaction is accepted")?;
        times.push(asked.elapsed());
    }
    Ok(times)
}

/// A transaction as Synapse sends it, with places for what must differ.
fn template(connection: usize, events: usize) -> Value {
    let event = |index: usize| {
        json!({
            "type": "m.room.message",
            "event_id": format!("${{n}}.{index}"),
            "room_id": format!("!room{}:hs.test", (connection + index) % 16),
            "sender": "@alice:hs.test",
            "origin_server_ts": 1_421_416_883_133_u64,
            "content": {"msgtype": "m.text", "body": "the quick brown fox jumps over the lazy dog"},
            "unsigned": {"age": 12},
        })
    };
    json!({"events": (0..events).map(event).collect::<Vec<_>>()})
}
