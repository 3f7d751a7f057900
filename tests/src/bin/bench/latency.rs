//! From one side of the bridge to the other, one message at a time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use matrix_homeserver::testing::{TestUser, encode};
use tests::irc::IrcClient;
use tests::load::Connection;
use tests::programs::{BridgeFiles, BridgeProcess, HomeserverProcess};
use tests::servers::{InspIrcd, NgIrcd, Synapse};

use crate::figures::{milliseconds, percentile, print};
use crate::row;
use crate::sync::{Watcher, address};

const MESSAGES: usize = 300;
const WARM_UP: usize = 30;

pub(crate) async fn measure() -> Result<()> {
    let mut rows = vec![row!["servers", "direction", "median", "99 %"]];
    if let Some(irc) = NgIrcd::start().await {
        let files = BridgeFiles::new(irc.address);
        let homeserver = HomeserverProcess::start_with(&[&files.registration()], &[]).await;
        both_ways("ngIRCd, ours in memory", &homeserver.url(), irc.address, files, &mut rows).await?;
    }
    if let Some(irc) = InspIrcd::start().await {
        let files = BridgeFiles::new(irc.address);
        let homeserver = HomeserverProcess::start(&[&files.registration()]).await;
        both_ways("InspIRCd, ours flushed", &homeserver.url(), irc.address, files, &mut rows).await?;
    }
    if let Some(irc) = NgIrcd::start().await {
        let files = BridgeFiles::new(irc.address);
        if let Some(homeserver) = Synapse::start(&[&files.registration()]).await {
            both_ways("ngIRCd, Synapse", &homeserver.url(), irc.address, files, &mut rows).await?;
        }
    }
    print("One message through the bridge", &rows);
    Ok(())
}

fn row_of(servers: &str, direction: &str, mut times: Vec<Duration>) -> Vec<String> {
    let middle = percentile(&mut times, 50);
    row![servers, direction, milliseconds(middle), milliseconds(percentile(&mut times, 99))]
}

async fn both_ways(
    name: &str,
    homeserver: &str,
    irc: SocketAddr,
    files: BridgeFiles,
    rows: &mut Vec<Vec<String>>,
) -> Result<()> {
    let bridge = files.start(homeserver).await;
    let mut bob = IrcClient::connect(irc, "bob").await;
    bob.join("#c").await;
    let alice = TestUser::register(homeserver, "alice").await?;
    let room = alice.join(&BridgeProcess::alias("#c")).await?.to_string();
    bob.wait_for("alice", |line| line.command == "JOIN" && line.nick.starts_with("alice")).await;
    let mut watcher = Watcher::open(homeserver, &alice).await?;
    let mut sender = Connection::open(address(homeserver)?, alice.access_token()).await?;

    let (mut to_matrix, mut to_irc) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + MESSAGES {
        let text = format!("to Matrix {number}");
        let began = Instant::now();
        bob.say("#c", &text).await;
        watcher.wait_for(&text).await?;
        to_matrix.push(began.elapsed());

        let text = format!("to IRC {number}");
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message/l{number}", encode(&room));
        let began = Instant::now();
        let body = serde_json::json!({"msgtype": "m.text", "body": text});
        let (answer, _line) = tokio::join!(sender.json("PUT", &path, &body), bob.wait_for_message(&text));
        to_irc.push(began.elapsed());
        answer?;
        watcher.wait_for(&text).await?;
    }
    rows.push(row_of(name, "IRC to Matrix", to_matrix.split_off(WARM_UP)));
    rows.push(row_of(name, "Matrix to IRC", to_irc.split_off(WARM_UP)));
    drop(bridge);
    Ok(())
}
