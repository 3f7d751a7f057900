//! Memory of the bridge with puppets.

use std::time::Instant;

use anyhow::Result;
use matrix_homeserver::testing::TestUser;
use tests::deadline::PATIENCE;
use tests::irc::IrcClient;
use tests::programs::{BridgeFiles, BridgeProcess, HomeserverProcess};
use tests::servers::InspIrcd;

use crate::figures::{mebibytes, milliseconds, print};
use crate::row;

const PUPPETS: usize = 100;

pub(crate) async fn measure() -> Result<()> {
    let Some(irc) = InspIrcd::start().await else { return Ok(()) };
    let files = BridgeFiles::new(irc.address);
    let homeserver = HomeserverProcess::start_with(&[&files.registration()], &[]).await;
    let bridge = files.start(&homeserver.url()).await;
    let mut bob = IrcClient::connect(irc.address, "bob").await;
    bob.join("#c").await;
    let mut rows = vec![row!["puppets", "memory of the bridge", "all connected and joined after"]];
    rows.push(row![0, mebibytes(bridge.process().memory()), "-"]);
    let began = Instant::now();
    let (mut users, mut room) = (Vec::new(), String::new());
    for number in 0..PUPPETS {
        let user = TestUser::register(&homeserver.url(), &format!("user{number}")).await?;
        room = user.join(&BridgeProcess::alias("#c")).await?.to_string();
        users.push(user);
    }
    for _ in 0..PUPPETS {
        bob.wait_for("a puppet", |line| line.command == "JOIN" && line.nick.starts_with("user")).await;
    }
    let took = began.elapsed();
    anyhow::ensure!(took < PATIENCE, "the puppets took {took:?}");
    // Every one of them speaks and hears all the others once.
    for user in &users {
        user.send_text(&room, "here").await?;
    }
    for _ in 0..PUPPETS {
        bob.wait_for_message("here").await;
    }
    rows.push(row![PUPPETS, mebibytes(bridge.process().memory()), milliseconds(took)]);
    print("Memory of the bridge", &rows);
    Ok(())
}
