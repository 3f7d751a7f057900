//! A homeserver, an IRC server and the bridge between them, as processes.

use std::net::SocketAddr;

use matrix_homeserver::testing::TestUser;
use tests::irc::IrcClient;
use tests::programs::{BridgeFiles, BridgeProcess, HomeserverProcess};

/// Alice on Matrix and Bob on IRC, in one channel.
pub(crate) struct Scene {
    pub(crate) alice: TestUser,
    pub(crate) bob: IrcClient,
    /// The nick of Alice's connection.
    pub(crate) alice_nick: String,
    pub(crate) room: String,
    pub(crate) bridge: BridgeProcess,
    pub(crate) channel: &'static str,
}

/// Our homeserver with the bridge registered, and the bridge running.
pub(crate) async fn ours(irc: SocketAddr) -> (HomeserverProcess, BridgeProcess) {
    let files = BridgeFiles::new(irc);
    let homeserver = HomeserverProcess::start(&[&files.registration()]).await;
    let bridge = files.start(&homeserver.url()).await;
    (homeserver, bridge)
}

impl Scene {
    /// Bob joins the channel first, then Alice by its alias.
    pub(crate) async fn open(
        homeserver: &str,
        irc: SocketAddr,
        bridge: BridgeProcess,
        capabilities: &[&str],
    ) -> Self {
        let channel = "#c";
        let mut bob = IrcClient::connect_with(irc, "bob", capabilities).await;
        bob.join(channel).await;
        let alice = TestUser::register(homeserver, "alice").await.expect("open registration");
        let room = alice.join(&BridgeProcess::alias(channel)).await.expect("the bridge makes the room");
        let joined =
            bob.wait_for("alice's connection", |line| is_join_of_alice(&line.command, &line.nick)).await;
        Self { alice, bob, alice_nick: joined.nick, room: room.to_string(), bridge, channel }
    }
}

fn is_join_of_alice(command: &str, nick: &str) -> bool {
    command == "JOIN" && nick.starts_with("alice")
}
