//! `matrix-irc-bridge` as a process.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::program;
use crate::SERVER_NAME;
use crate::deadline::observe;
use crate::http;
use crate::process::{Process, free_port};

/// What the bridge calls the network in user IDs and aliases.
pub const NETWORK: &str = "irc.test";

/// The files of a bridge that is not started yet: its registration goes to the homeserver first.
#[derive(Debug)]
pub struct BridgeFiles {
    folder: TempDir,
    port: u16,
    server: String,
}

impl BridgeFiles {
    /// Writes a configuration for one network in plain text, without limits, and lets the bridge write its
    /// registration.
    pub fn new(irc: SocketAddr) -> Self {
        Self::with_server(&format!(
            "    address: {}\n    port: {}\n    ssl: false\n{UNLIMITED}",
            irc.ip(),
            irc.port()
        ))
    }

    /// The same with the given lines, indented by four spaces, below the network's name.
    pub fn with_server(lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let files = Self { folder, port: free_port(), server: lines.to_owned() };
        files.write_config("http://127.0.0.1:1");
        let made = files.run(&["generate-registration"]);
        assert!(made.status.success(), "generate-registration: {made:?}");
        assert!(files.registration().is_file(), "generate-registration wrote no file: {made:?}");
        files
    }

    /// The registration file for the homeserver.
    pub fn registration(&self) -> PathBuf {
        self.folder.path().join("registration.yaml")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    /// Where the bridge keeps its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs a command of the bridge with this configuration to its end.
    pub fn run(&self, command: &[&str]) -> Output {
        let mut process = Command::new(program("matrix-irc-bridge"));
        process.args(command).arg("--config").arg(self.config());
        process.output().expect("the bridge can be started")
    }

    /// Starts the bridge for the homeserver at `homeserver` and waits until it is ready.
    pub async fn start(self, homeserver: &str) -> BridgeProcess {
        self.write_config(homeserver);
        let process = self.launch();
        let mut bridge = BridgeProcess { process, files: self };
        bridge.ready().await;
        bridge
    }

    fn launch(&self) -> Process {
        let mut command = Command::new(program("matrix-irc-bridge"));
        command.arg("run").arg("--config").arg(self.config());
        Process::start("matrix-irc-bridge", &self.folder.path().join("log"), command)
    }

    fn write_config(&self, homeserver: &str) {
        let config = format!(
            "homeserver:\n  url: {homeserver}\n  domain: {SERVER_NAME}\n\
             appservice:\n  listen: 127.0.0.1:{}\n  registration: registration.yaml\n  database: data\n\
             logging:\n  level: {}\n\
             servers:\n  {NETWORK}:\n{}",
            self.port,
            std::env::var("TESTS_BRIDGE_LOG").unwrap_or_else(|_| "info".to_owned()),
            self.server
        );
        fs::write(self.config(), config).expect("a writable folder");
    }
}

/// No brakes: the servers of the tests have none either.
const UNLIMITED: &str =
    "    ircClients:\n      connectsPerSecond: 0\n      floodBurst: 0\n      maxClients: 0\n";

/// A running bridge that can be killed and started again.
#[derive(Debug)]
pub struct BridgeProcess {
    /// Before the files, so that its log is still there when a failure shows it.
    process: Process,
    files: BridgeFiles,
}

impl BridgeProcess {
    /// Its files.
    pub fn files(&self) -> &BridgeFiles {
        &self.files
    }

    /// The process, for its memory and its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where it listens for the homeserver.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.files.port))
    }

    /// The alias of a channel's room.
    pub fn alias(channel: &str) -> String {
        format!("#irc_{NETWORK}_{channel}:{SERVER_NAME}")
    }

    /// The user ID of a ghost whose nick needs no escape.
    pub fn ghost(nick: &str) -> String {
        format!("@irc_{NETWORK}_{nick}:{SERVER_NAME}")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with its data, after [`kill`](Self::kill).
    pub async fn start_again(&mut self) {
        self.process = self.files.launch();
        self.ready().await;
    }

    /// SIGTERM, then a new process with the same data.
    pub async fn restart(&mut self) {
        self.stop();
        self.start_again().await;
    }

    /// SIGTERM, and a clean end.
    pub fn stop(&mut self) {
        let status = self.process.terminate();
        assert!(status.success(), "the bridge stops cleanly on SIGTERM: {status}\n{}", self.process.tail());
    }

    /// The value of a metric, all labels added up; 0 while there is none.
    pub async fn metric(&self, name: &str) -> u64 {
        let url = format!("http://{}/metrics", self.address());
        let text = match http::client().get(url).send().await {
            Ok(response) => response.text().await.unwrap_or_default(),
            Err(_) => return 0,
        };
        sum_of(name, &text)
    }

    async fn ready(&mut self) {
        let url = format!("http://{}/health/ready", self.address());
        let (process, client) = (&mut self.process, http::client());
        observe("the bridge is ready", || {
            assert!(process.is_running(), "the bridge stopped:\n{}", process.tail());
            let request = client.get(&url).send();
            async move { request.await.ok()?.status().is_success().then_some(()) }
        })
        .await;
    }
}

fn sum_of(name: &str, text: &str) -> u64 {
    let value = |line: &str| -> Option<u64> {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with(['{', ' ']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse().ok()
    };
    text.lines().filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::sum_of;

    #[test]
    fn a_metric_is_added_up_over_its_labels_and_not_over_longer_names() {
        let text = "# HELP sent x\nsent{to=\"a\"} 2\nsent{to=\"b c\"} 3\nsent_late 7\nother 1\n";
        assert_eq!(sum_of("sent", text), 5);
        assert_eq!(sum_of("absent", text), 0);
    }
}
