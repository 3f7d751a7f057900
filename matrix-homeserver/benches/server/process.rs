//! The server as its own process, with an application service that may be anybody.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};

/// The application service's token.
pub(crate) const TOKEN: &str = "bench-as-token";

const REGISTRATION: &str = r#"
id: bench
url: null
as_token: bench-as-token
hs_token: bench-hs-token
sender_localpart: bench
rate_limited: false
namespaces:
  users: [{ exclusive: true, regex: "@g_.*" }]
  aliases: []
  rooms: []
"#;

/// A running server, until it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From the start of the process to its line `ready`.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts a server, with its data in a directory if there is one.
    pub(crate) fn start(scratch: &Path, data_dir: Option<&Path>) -> Self {
        let registration = scratch.join("registration.yaml");
        fs::File::create(&registration)
            .and_then(|mut file| file.write_all(REGISTRATION.as_bytes()))
            .expect("the registration can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_matrix-homeserver"));
        command.args(["--server-name", "hs", "--listen", "127.0.0.1:0", "--no-rate-limit", "--registration"]);
        command.arg(registration).stdout(Stdio::piped());
        if let Some(dir) = data_dir {
            command.arg("--data-dir").arg(dir);
        }
        let started = Instant::now();
        let mut child = command.spawn().expect("the server can be started");
        let mut line = String::new();
        let out = child.stdout.take().expect("the output is piped");
        BufReader::new(out).read_line(&mut line).expect("the server says that it is ready");
        let ready_after = started.elapsed();
        let address = line.trim().strip_prefix("ready http://").and_then(|address| address.parse().ok());
        Self { child, address: address.expect("the server says where it listens"), ready_after }
    }

    /// Stops it in order.
    pub(crate) fn stop(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process ID"));
        signal::kill(pid, Signal::SIGTERM).expect("it is ours");
        assert!(self.child.wait().is_ok_and(|status| status.success()), "it stops in order");
    }

    /// Processor time used so far, of all threads, in the usual unit of a hundredth of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    /// Memory in use, in MiB.
    pub(crate) fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
