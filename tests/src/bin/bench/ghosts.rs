//! Users of an application service: registered, then joined to one room.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use matrix_appservice::{Namespace, Registration};
use matrix_homeserver::testing::encode;
use serde_json::json;
use tempfile::NamedTempFile;
use tests::SERVER_NAME;
use tests::load::Connection;
use tests::programs::HomeserverProcess;
use tests::servers::Synapse;
use tokio::task::JoinSet;

use crate::figures::{milliseconds, print};
use crate::row;
use crate::sync::address;

const GHOSTS: usize = 1_000;
const CONNECTIONS: usize = 16;

pub(crate) async fn measure() -> Result<()> {
    let registration = Registration::builder("ghosts").users(Namespace::exclusive("@ghost_.*")).build();
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), registration.to_yaml())?;
    let files = [file.path()];
    let token = registration.as_token.expose();
    let memory = HomeserverProcess::start_with(&files, &[]).await;
    let disk = HomeserverProcess::start(&files).await;
    let synapse = Synapse::start(&files).await;
    let mut subjects = vec![("ours, in memory", memory.url()), ("ours, every answer flushed", disk.url())];
    subjects.extend(synapse.as_ref().map(|synapse| ("Synapse", synapse.url())));
    let mut rows = vec![row!["server", "registered", "joined", "both"]];
    for (name, url) in subjects {
        let (registered, joined) = populate(address(&url)?, token).await?;
        let both = registered + joined;
        rows.push(row![name, milliseconds(registered), milliseconds(joined), milliseconds(both)]);
    }
    print(&format!("{GHOSTS} ghosts, {CONNECTIONS} connections"), &rows);
    Ok(())
}

async fn populate(server: SocketAddr, token: &str) -> Result<(Duration, Duration)> {
    let mut bot = Connection::open(server, token).await?;
    let body = json!({"preset": "public_chat"});
    let room = bot.json("POST", "/_matrix/client/v3/createRoom", &body).await?;
    let room = encode(room["room_id"].as_str().unwrap_or_default());
    let registered = for_each_ghost(server, token, |number| {
        let body = json!({
            "type": "m.login.application_service", "username": format!("ghost_{number}"), "inhibit_login": true,
        });
        ("/_matrix/client/v3/register".to_owned(), body.to_string())
    });
    let registered = registered.await?;
    let joined = for_each_ghost(server, token, move |number| {
        let ghost = encode(&format!("@ghost_{number}:{SERVER_NAME}"));
        (format!("/_matrix/client/v3/rooms/{room}/join?user_id={ghost}"), "{}".to_owned())
    });
    Ok((registered, joined.await?))
}

/// How long one request for each ghost takes.
async fn for_each_ghost(
    server: SocketAddr,
    token: &str,
    request: impl Fn(usize) -> (String, String) + Clone + Send + 'static,
) -> Result<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(server, token).await?);
    }
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let (next, request) = (Arc::clone(&next), request.clone());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= GHOSTS {
                    return anyhow::Ok(());
                }
                let (path, body) = request(number);
                connection.request("POST", &path, body.as_bytes()).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(began.elapsed())
}
