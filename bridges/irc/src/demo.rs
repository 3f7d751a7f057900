//! A homeserver, an IRC network and the bridge between them, in one process on local ports.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use matrix_appservice::bridge::Bridge;
use matrix_homeserver::Homeserver;
use ruma::ServerName;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bridge::IrcBridge;
use crate::cli::{generate, logging, run};
use crate::config::{Config, LoggingConfig};
use crate::loopback::{Loopback, LoopbackConfig};

mod scene;

/// The homeserver's name.
const DOMAIN: &str = "hsdomain.com";
/// The network's name.
const NETWORK: &str = "irc.freenode.net";
/// The channel that is listened to before anybody asks for it.
const CHANNEL: &str = "#matrix";

/// Runs until Ctrl-C, or plays the scene and stops.
pub(crate) async fn demo(scene: bool) -> anyhow::Result<ExitCode> {
    let mut level = LoggingConfig::default();
    "warn".clone_into(&mut level.level);
    logging::begin(&level)?;
    let stage = Stage::set().await?;
    if scene {
        scene::play(&stage).await?;
    } else {
        stage.explain()?;
        run::stop_on_signal(stage.shutdown.clone()).await;
    }
    stage.clear().await?;
    Ok(ExitCode::SUCCESS)
}

/// Everything that runs.
struct Stage {
    homeserver: Homeserver,
    irc: Loopback,
    bridge: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
    _data: Directory,
}

impl Stage {
    /// Starts the three, each on a free port.
    async fn set() -> anyhow::Result<Self> {
        let data = Directory::new()?;
        let irc =
            Loopback::start_with(LoopbackConfig { name: NETWORK.to_owned(), ..LoopbackConfig::default() })
                .await
                .context("the IRC network cannot start")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut config = Config::parse(&configuration(irc.address().port()), Path::new(""))?;
        config.appservice.listen = listener.local_addr()?.to_string();
        let registration = generate::registration_for(&config);
        let homeserver = Homeserver::builder(DOMAIN)
            .registration(registration.clone())
            .start()
            .await
            .context("the homeserver cannot start")?;
        homeserver.url().clone_into(&mut config.homeserver.url);
        let server_name = ServerName::parse(DOMAIN)?;
        let bridge = Bridge::<IrcBridge>::builder(registration, config)
            .homeserver(homeserver.url(), &server_name)
            .store_path(&data.0)
            .build()?;
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let bridge = tokio::spawn(async move { Ok(bridge.run(listener, stop).await?) });
        Ok(Self { homeserver, irc, bridge, shutdown, _data: data })
    }

    /// Says how to take part.
    fn explain(&self) -> anyhow::Result<()> {
        let mut out = std::io::stdout();
        let (url, irc) = (self.homeserver.url(), self.irc.address());
        writeln!(out, "A Matrix homeserver, an IRC network and the bridge between them are running.\n")?;
        writeln!(
            out,
            "From IRC:     any client to {}, port {}, without TLS; then /join {CHANNEL}",
            irc.ip(),
            irc.port()
        )?;
        writeln!(out, "From Matrix:  any client to the homeserver {url}; register there (open), and")?;
        writeln!(out, "              join #{NETWORK}/{CHANNEL}:{DOMAIN}")?;
        writeln!(
            out,
            "              Any other channel works as well: put its name in the place of {CHANNEL}.\n"
        )?;
        writeln!(out, "Ctrl-C stops everything. Nothing is kept.")?;
        Ok(())
    }

    /// Stops everything.
    async fn clear(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        let stopped = self.bridge.await.context("the bridge panicked")?;
        self.irc.shutdown().await;
        self.homeserver.shutdown().await;
        stopped
    }
}

/// The configuration of the bridge, with the names of the application-service draft's example.
fn configuration(port: u16) -> String {
    format!(
        "homeserver: {{ url: http://localhost, domain: {DOMAIN} }}
servers:
  {NETWORK}:
    address: 127.0.0.1
    port: {port}
    ssl: false
    dynamicChannels: {{ aliasTemplate: '#{NETWORK}/$CHANNEL' }}
    matrixClients: {{ userTemplate: '@{NETWORK}/$NICK', displayName: '$NICK' }}
    ircClients: {{ connectsPerSecond: 0, floodBurst: 0 }}
    scrollback: {{ hours: 0 }}
    mappings: {{ '{CHANNEL}': {{}} }}
"
    )
}

/// A directory that is removed in the end.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new() -> anyhow::Result<Self> {
        let path =
            std::env::temp_dir().join(format!("matrix-irc-bridge-demo-{:016x}", rand::random::<u64>()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left behind does no harm in the directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
