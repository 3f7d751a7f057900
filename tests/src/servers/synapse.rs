//! Synapse on SQLite, without rate limits.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::listening;
use crate::peers;
use crate::process::{Process, free_port};

/// A running Synapse with open registration.
#[derive(Debug)]
pub struct Synapse {
    process: Process,
    program: PathBuf,
    address: SocketAddr,
    folder: TempDir,
}

impl Synapse {
    /// Starts one that knows the given registration files; `None`, and the test counts as skipped, where Synapse is
    /// not installed.
    pub async fn start(registrations: &[&Path]) -> Option<Self> {
        Self::start_with(registrations, "").await
    }

    /// The same with further settings, in YAML; none of them may be in the harness's configuration already.
    pub async fn start_with(registrations: &[&Path], settings: &str) -> Option<Self> {
        let Some(program) = peers::find_synapse() else {
            peers::skipped("Synapse");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        write_files(folder.path(), port, registrations, settings);
        let process = launch(&program, folder.path());
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut server = Self { process, program, address, folder };
        listening(&mut server.process, address).await;
        Some(server)
    }

    /// Stops it and starts it again with its data.
    pub async fn restart(&mut self) {
        self.process.terminate();
        self.process = launch(&self.program, self.folder.path());
        listening(&mut self.process, self.address).await;
    }

    /// Where the client-server API is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process, for its memory and its log.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn launch(program: &Path, folder: &Path) -> Process {
    let mut command = Command::new(program);
    command.arg("-c").arg(folder.join("homeserver.yaml"));
    Process::start("synapse", &folder.join("log"), command)
}

fn write_files(folder: &Path, port: u16, registrations: &[&Path], settings: &str) {
    let registrations: Vec<_> = registrations.iter().map(|file| file.display().to_string()).collect();
    let config = (CONFIG.to_owned() + settings)
        .replace("{folder}", &folder.display().to_string())
        .replace("{port}", &port.to_string())
        .replace("{server_name}", crate::SERVER_NAME)
        .replace("{registrations}", &format!("{registrations:?}"));
    fs::write(folder.join("homeserver.yaml"), config).expect("a writable folder");
    fs::write(folder.join("log.yaml"), LOG).expect("a writable folder");
    fs::write(folder.join("signing.key"), SIGNING_KEY).expect("a writable folder");
}

/// A key for tests; it signs nothing that leaves this machine.
const SIGNING_KEY: &str = "ed25519 a_test YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1\n";

const CONFIG: &str = r#"
server_name: "{server_name}"
pid_file: "{folder}/pid"
report_stats: false
suppress_key_server_warning: true
trusted_key_servers: []
signing_key_path: "{folder}/signing.key"
media_store_path: "{folder}/media"
log_config: "{folder}/log.yaml"
macaroon_secret_key: m
form_secret: f
registration_shared_secret: s
enable_registration: true
enable_registration_without_verification: true
bcrypt_rounds: 4
database: {name: sqlite3, args: {database: "{folder}/db"}}
listeners:
  - {port: {port}, bind_addresses: ["127.0.0.1"], type: http, tls: false, resources: [{names: [client, keys, openid]}]}
rc_message: {per_second: 1000000, burst_count: 1000000}
rc_registration: {per_second: 1000000, burst_count: 1000000}
rc_admin_redaction: {per_second: 1000000, burst_count: 1000000}
rc_login:
  address: {per_second: 1000000, burst_count: 1000000}
  account: {per_second: 1000000, burst_count: 1000000}
  failed_attempts: {per_second: 1000000, burst_count: 1000000}
rc_joins:
  local: {per_second: 1000000, burst_count: 1000000}
  remote: {per_second: 1000000, burst_count: 1000000}
rc_joins_per_room: {per_second: 1000000, burst_count: 1000000}
rc_invites:
  per_room: {per_second: 1000000, burst_count: 1000000}
  per_user: {per_second: 1000000, burst_count: 1000000}
  per_issuer: {per_second: 1000000, burst_count: 1000000}
rc_room_creation: {per_second: 1000000, burst_count: 1000000}
room_list_publication_rules: [{action: allow}]
app_service_config_files: {registrations}
"#;

const LOG: &str = "version: 1
formatters: {p: {format: '%(asctime)s %(levelname)s %(name)s %(message)s'}}
handlers: {c: {class: logging.StreamHandler, formatter: p}}
root: {level: WARNING, handlers: [c]}
";
