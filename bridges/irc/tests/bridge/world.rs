//! A homeserver, an IRC network and the bridge between them.

use std::path::Path;
use std::time::Duration;

use matrix_appservice::bridge::Bridge;
use matrix_appservice::registration::Registration;
use matrix_homeserver::Homeserver;
use matrix_homeserver::testing::TestUser;
use matrix_irc_bridge::bridge::IrcBridge;
use matrix_irc_bridge::config::Config;
use matrix_irc_bridge::loopback::{Loopback, LoopbackConfig, TestClient};
use ruma::ServerName;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const DOMAIN: &str = "hs.test";
pub(crate) const NETWORK: &str = "irc.test";
pub(crate) const CHANNEL: &str = "#c";

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) homeserver: Homeserver,
    pub(crate) irc: Loopback,
    pub(crate) data: TempDir,
    registration: Registration,
    config: String,
    /// Bound once and kept, so that nobody else gets the port between two lives of the bridge.
    listener: std::net::TcpListener,
    running: Option<Running>,
}

struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(LoopbackConfig::default(), "").await
    }

    /// A network like this, and these lines in the section of the network.
    pub(crate) async fn with(network: LoopbackConfig, lines: &str) -> Self {
        let irc = Loopback::start_with(network).await.expect("a free port");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let registration = Registration::builder("irc")
            .url(format!("http://{}", listener.local_addr().expect("it is bound")))
            .sender_localpart("ircbot")
            .users(matrix_appservice::Namespace::exclusive(format!("@irc_{NETWORK}_.*:{DOMAIN}")))
            .aliases(matrix_appservice::Namespace::exclusive(format!("#irc_{NETWORK}_.*:{DOMAIN}")))
            .receive_ephemeral()
            .device_management()
            .build();
        let homeserver = Homeserver::builder(DOMAIN)
            .registration(registration.clone())
            .start()
            .await
            .expect("a homeserver");
        let config = format!(
            "homeserver: {{ url: '{}', domain: {DOMAIN} }}\nservers:\n  {NETWORK}:\n    address: 127.0.0.1\n    port: {}\n    \
             ssl: false\n    ircClients: {{ connectsPerSecond: 0, floodBurst: 0 }}\n{lines}",
            homeserver.url(),
            irc.address().port(),
        );
        let data = tempfile::tempdir().expect("a directory");
        let mut world = Self { homeserver, irc, data, registration, config, listener, running: None };
        world.start_bridge();
        world
    }

    /// Starts the bridge with what an earlier run left.
    pub(crate) fn start_bridge(&mut self) {
        let config = Config::parse(&self.config, Path::new("")).unwrap_or_else(|error| panic!("{error}"));
        let listener = self.listener.try_clone().and_then(TcpListener::from_std).expect("a socket of ours");
        let bridge = Bridge::<IrcBridge>::builder(self.registration.clone(), config)
            .homeserver(self.homeserver.url(), &ServerName::parse(DOMAIN).expect("a name"))
            .store_path(self.data.path().join("store"))
            .build()
            .expect("the bridge fits together");
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = tokio::spawn(async move { bridge.run(listener, stop).await.expect("the bridge runs") });
        self.running = Some(Running { shutdown, task });
    }

    /// Stops the bridge in order.
    pub(crate) async fn stop_bridge(&mut self) {
        let running = self.running.take().expect("the bridge runs");
        running.shutdown.cancel();
        tokio::time::timeout(PATIENCE, running.task)
            .await
            .expect("it stops in time")
            .expect("it does not panic");
    }

    pub(crate) fn alias(channel: &str) -> String {
        format!("#irc_{NETWORK}_{channel}:{DOMAIN}")
    }

    pub(crate) fn ghost(nick: &str) -> String {
        format!("@irc_{NETWORK}_{nick}:{DOMAIN}")
    }

    /// Bob on IRC and Alice on Matrix, in one channel.
    pub(crate) async fn meet(&self) -> Meeting {
        let mut bob = self.irc.client("bob").await;
        bob.join(CHANNEL).await;
        let alice = self.homeserver.user("alice").await.expect("registration is open");
        let room = alice.join(&Self::alias(CHANNEL)).await.expect("the bridge makes the room").to_string();
        bob.wait_for(|line| line.command == "JOIN" && line.nick() == "alice[m]").await;
        Meeting { alice, bob, room }
    }
}

pub(crate) struct Meeting {
    pub(crate) alice: TestUser,
    pub(crate) bob: TestClient,
    pub(crate) room: String,
}

impl Meeting {
    /// How often a text is in the room.
    pub(crate) async fn count(&self, text: &str) -> usize {
        let events = self.alice.messages(&self.room, 1000).await.expect("the room has a timeline");
        events.iter().filter(|event| event["content"]["body"] == text).count()
    }
}
