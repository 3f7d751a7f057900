//! What the server does per second, over HTTP and in a process of its own.
//!
//! `cargo bench -p matrix-homeserver --bench server [-- PART..]` with the parts `ready`, `send`, `sync`,
//! `ghosts`, `rooms`, `large`, `idle`; without any: all but the last two. The client runs beside the server on the
//! same machine and is part of what is measured.

#![allow(missing_docs, clippy::print_stdout, reason = "a program, not an interface")]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

#[path = "server/client.rs"]
mod client;
#[path = "server/process.rs"]
mod process;

use client::Client;
use process::{Server, TOKEN};

const MESSAGE: &str = r#"{"msgtype":"m.text","body":"a message of a usual length, as people write them"}"#;

fn main() {
    let parts: Vec<String> = std::env::args().skip(1).filter(|part| !part.starts_with('-')).collect();
    let wanted = |part: &str, by_default: bool| {
        if parts.is_empty() { by_default } else { parts.iter().any(|wanted| wanted == part) }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let scratch = tempfile::tempdir().expect("a directory");
    let scratch = scratch.path();
    println!("cores: {}", std::thread::available_parallelism().map_or(0, usize::from));
    if wanted("ready", true) {
        ready(scratch);
    }
    runtime.block_on(async {
        if wanted("send", true) {
            for flushed in [false, true] {
                send(scratch, flushed).await;
            }
        }
        if wanted("rooms", true) {
            rooms(scratch).await;
        }
        if wanted("sync", true) {
            sync_latency(scratch).await;
        }
        if wanted("ghosts", true) {
            ghosts(scratch).await;
        }
        if wanted("large", false) {
            large(scratch).await;
        }
        if wanted("idle", false) {
            idle(scratch).await;
        }
    });
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A directory for the data, if it is to be kept.
fn data(scratch: &Path, flushed: bool) -> Option<tempfile::TempDir> {
    flushed.then(|| tempfile::tempdir_in(scratch).expect("a directory"))
}

fn ready(scratch: &Path) {
    for flushed in [false, true] {
        let mut memory = 0.0;
        let times = (0..21).map(|_| {
            let dir = data(scratch, flushed);
            let server = Server::start(scratch, dir.as_ref().map(tempfile::TempDir::path));
            memory = server.memory();
            ms(server.ready_after)
        });
        let times = times.collect();
        let kind = if flushed { "flushed" } else { "memory" };
        println!("ready, {kind}: {:.1} ms median of 21, {memory:.1} MiB", median(times));
    }
}

async fn connect(address: SocketAddr) -> Client {
    Client::connect(address, TOKEN).await.expect("the server accepts")
}

async fn create_room(client: &mut Client) -> String {
    let answer = client
        .request("POST", "/_matrix/client/v3/createRoom", &json!({ "preset": "public_chat" }))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["room_id"].as_str().expect("a room").to_owned()
}

fn encode(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Sends from several connections for a while. Returns sends per second and the median latency.
async fn send_for(
    address: SocketAddr,
    rooms: &[String],
    clients: usize,
    time: Duration,
    run: &str,
) -> (f64, f64) {
    let until = Instant::now() + time;
    let started = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|n| {
            let (room, run) = (encode(&rooms[n % rooms.len()]), run.to_owned());
            tokio::spawn(async move {
                let mut client = connect(address).await;
                let mut latencies = Vec::new();
                while Instant::now() < until {
                    let path = format!(
                        "/_matrix/client/v3/rooms/{room}/send/m.room.message/{run}-{n}-{}",
                        latencies.len()
                    );
                    let sent = Instant::now();
                    let status = client.send("PUT", &path, MESSAGE).await.expect("an answer");
                    assert_eq!(status, 200);
                    latencies.push(ms(sent.elapsed()));
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.expect("a client does not fail"));
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of sends")]
    let rate = latencies.len() as f64 / started.elapsed().as_secs_f64();
    (rate, median(latencies))
}

async fn send(scratch: &Path, flushed: bool) {
    let dir = data(scratch, flushed);
    let server = Server::start(scratch, dir.as_ref().map(tempfile::TempDir::path));
    let kind = if flushed { "flushed" } else { "memory" };
    let mut client = connect(server.address).await;
    for clients in [1, 16, 64] {
        let room = create_room(&mut client).await;
        let mut rates = Vec::new();
        let mut latencies = Vec::new();
        let (mut sent, cpu) = (0.0, server.cpu());
        for run in 0..3 {
            let run = format!("{clients}-{run}");
            let time = Duration::from_secs(2);
            let (rate, latency) =
                send_for(server.address, std::slice::from_ref(&room), clients, time, &run).await;
            sent += rate * time.as_secs_f64();
            rates.push(rate);
            latencies.push(latency);
        }
        let (rate, latency) = (median(rates), median(latencies));
        let cpu = server.cpu().saturating_sub(cpu).as_secs_f64() * 1e6 / sent;
        println!(
            "send, one room, {kind}, {clients} clients: {rate:.0}/s, p50 {latency:.2} ms, {cpu:.0} µs of processor"
        );
    }
    println!("memory after it, {kind}: {:.1} MiB", server.memory());
}

async fn rooms(scratch: &Path) {
    let server = Server::start(scratch, None);
    let mut client = connect(server.address).await;
    let mut rooms = Vec::new();
    for _ in 0..16 {
        rooms.push(create_room(&mut client).await);
    }
    let (rate, latency) = send_for(server.address, &rooms, 16, Duration::from_secs(3), "rooms").await;
    println!("send, 16 rooms, memory, 16 clients: {rate:.0}/s, p50 {latency:.2} ms");
}

async fn sync_latency(scratch: &Path) {
    for flushed in [false, true] {
        let dir = data(scratch, flushed);
        let server = Server::start(scratch, dir.as_ref().map(tempfile::TempDir::path));
        let (mut sender, mut reader) = (connect(server.address).await, connect(server.address).await);
        let room = create_room(&mut sender).await;
        let path = "/_matrix/client/v3/sync?set_presence=offline";
        let first = reader.request("GET", path, &json!({})).await.expect("an answer");
        let mut since = first.body["next_batch"].as_str().expect("a token").to_owned();
        let mut latencies = Vec::new();
        for n in 0..500 {
            let path = format!("/_matrix/client/v3/sync?set_presence=offline&timeout=10000&since={since}");
            let waiting = tokio::spawn(async move {
                let answer = reader.request("GET", &path, &json!({})).await.expect("an answer");
                (reader, answer, Instant::now())
            });
            tokio::time::sleep(Duration::from_millis(2)).await;
            let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/sync-{n}", encode(&room));
            let sent = Instant::now();
            sender.send("PUT", &path, MESSAGE).await.expect("an answer");
            let (back, answer, at) = waiting.await.expect("the reader does not fail");
            assert_eq!(
                answer.body["rooms"]["join"][&room]["timeline"]["events"].as_array().map(Vec::len),
                Some(1)
            );
            reader = back;
            answer.body["next_batch"].as_str().expect("a token").clone_into(&mut since);
            latencies.push(ms(at.saturating_duration_since(sent)));
        }
        let kind = if flushed { "flushed" } else { "memory" };
        println!("send to sync, {kind}: p50 {:.2} ms of 500", median(latencies));
    }
}

/// Registers users and joins them to a room, from several connections.
async fn populate(address: SocketAddr, room: &str, count: usize) -> (Duration, Duration) {
    let phase = |what: &'static str| {
        let next = Arc::new(AtomicUsize::new(0));
        let room = encode(room);
        async move {
            let started = Instant::now();
            let tasks: Vec<_> = (0..16)
                .map(|_| {
                    let (next, room) = (next.clone(), room.clone());
                    tokio::spawn(async move {
                        let mut client = connect(address).await;
                        loop {
                            let n = next.fetch_add(1, Ordering::Relaxed);
                            if n >= count {
                                return;
                            }
                            let (path, body) = if what == "register" {
                                let body = format!(
                                    r#"{{"type":"m.login.application_service","username":"g_{n}","inhibit_login":true}}"#
                                );
                                ("/_matrix/client/v3/register".to_owned(), body)
                            } else {
                                let path =
                                    format!("/_matrix/client/v3/rooms/{room}/join?user_id=%40g_{n}%3Ahs");
                                (path, "{}".to_owned())
                            };
                            assert_eq!(client.send("POST", &path, &body).await.expect("an answer"), 200);
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("a client does not fail");
            }
            started.elapsed()
        }
    };
    (phase("register").await, phase("join").await)
}

async fn ghosts(scratch: &Path) {
    let server = Server::start(scratch, None);
    let mut client = connect(server.address).await;
    let room = create_room(&mut client).await;
    let (registered, joined) = populate(server.address, &room, 1000).await;
    println!("1,000 ghosts: registered in {:.0} ms, joined in {:.0} ms", ms(registered), ms(joined));
}

async fn large(scratch: &Path) {
    let dir = data(scratch, true);
    let dir = dir.as_ref().map(tempfile::TempDir::path);
    let server = Server::start(scratch, dir);
    let mut client = connect(server.address).await;
    let (empty, room) = (create_room(&mut client).await, create_room(&mut client).await);
    let (registered, joined) = populate(server.address, &room, 20_000).await;
    println!(
        "20,000 members: registered in {:.1} s, joined in {:.1} s",
        registered.as_secs_f64(),
        joined.as_secs_f64()
    );
    let started = Instant::now();
    let mut sent = 0.0;
    while sent < 180_000.0 {
        let run = format!("fill-{sent}");
        let (rate, _) =
            send_for(server.address, std::slice::from_ref(&room), 64, Duration::from_secs(2), &run).await;
        sent += rate * 2.0;
    }
    println!("{sent:.0} events in {:.1} s", started.elapsed().as_secs_f64());
    for (name, room) in [("empty", &empty), ("large", &room)] {
        let time = Duration::from_secs(3);
        let (rate, latency) = send_for(server.address, std::slice::from_ref(room), 16, time, name).await;
        println!("send, {name} room, flushed, 16 clients: {rate:.0}/s, p50 {latency:.2} ms");
    }
    println!("memory: {:.0} MiB", server.memory());
    // Dropping kills it.
    drop(server);
    let server = Server::start(scratch, dir);
    println!("ready again with that data, after a kill: {:.0} ms", ms(server.ready_after));
    server.stop();
    let server = Server::start(scratch, dir);
    println!("ready again with that data, after a stop: {:.0} ms", ms(server.ready_after));
    let mut client = connect(server.address).await;
    let started = Instant::now();
    let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/again", encode(&room));
    client.send("PUT", &path, MESSAGE).await.expect("an answer");
    println!("first send into it: {:.0} ms", ms(started.elapsed()));
}

async fn idle(scratch: &Path) {
    let server = Server::start(scratch, None);
    let mut client = connect(server.address).await;
    let room = create_room(&mut client).await;
    let count = 10_000;
    populate(server.address, &room, count).await;
    let before = server.memory();
    let first = client.request("GET", "/_matrix/client/v3/sync?set_presence=offline", &json!({})).await;
    let since = first.expect("an answer").body["next_batch"].as_str().expect("a token").to_owned();
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..count {
        let mut client = connect(server.address).await;
        let path = format!(
            "/_matrix/client/v3/sync?set_presence=offline&timeout=60000&since={since}&user_id=%40g_{n}%3Ahs"
        );
        waiting.spawn(async move { client.send("GET", &path, "").await.expect("an answer") });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("{count} idle long polls: {:.0} MiB, {before:.0} MiB before", server.memory());
    // The server closes connections that say nothing for long.
    let mut client = connect(server.address).await;
    let started = Instant::now();
    let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/wake", encode(&room));
    client.send("PUT", &path, MESSAGE).await.expect("an answer");
    while let Some(status) = waiting.join_next().await {
        assert_eq!(status.expect("a client does not fail"), 200);
    }
    println!("all of them told of one message: {:.0} ms", ms(started.elapsed()));
}
