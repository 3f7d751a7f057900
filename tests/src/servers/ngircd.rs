//! ngIRCd: a plain server of the old school. No capabilities but `multi-prefix`, ASCII case mapping.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use super::listening;
use crate::peers;
use crate::process::{Process, free_port};

/// A running ngIRCd.
#[derive(Debug)]
pub struct NgIrcd {
    /// Where clients connect.
    pub address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl NgIrcd {
    /// Starts one; `None`, and the test counts as skipped, where ngIRCd is not installed.
    pub async fn start() -> Option<Self> {
        let Some(program) = peers::find("ngircd") else {
            peers::skipped("ngircd");
            return None;
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port = free_port();
        let config = folder.path().join("ngircd.conf");
        fs::write(&config, CONFIG.replace("{port}", &port.to_string())).expect("a writable temporary folder");
        let mut command = Command::new(program);
        command.arg("--nodaemon").arg("--config").arg(&config);
        let mut process = Process::start("ngircd", &folder.path().join("log"), command);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        listening(&mut process, address).await;
        Some(Self { address, _process: process, _folder: folder })
    }
}

const CONFIG: &str = "
[Global]
    Name = irc.test.local
    Info = test
    Listen = 127.0.0.1
    Ports = {port}
    Network = testnet
    AdminEMail = t@example.org
[Options]
    Ident = no
    PAM = no
    DNS = no
    MorePrivacy = no
[Limits]
    MaxNickLength = 31
    MaxConnectionsIP = 0
    MaxConnections = 0
    MaxJoins = 0
    MaxPenaltyTime = 0
[Operator]
    Name = oper
    Password = operpw
";
