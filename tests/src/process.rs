//! A child process that logs to a file, can be killed, and takes its end with its owner.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::deadline::PATIENCE;

/// How much of a log is shown when a test fails.
const SHOWN: usize = 6_000;

/// A running program, stopped on drop.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `command`; both outputs are appended to `log`.
    pub fn start(name: &str, log: &Path, mut command: Command) -> Self {
        let file = File::options().append(true).create(true).open(log).expect("the log can be opened");
        let errors = file.try_clone().expect("a file handle can be cloned");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { name: name.to_owned(), log: log.to_owned(), child }
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the program has printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// `kill -9`: no goodbye, no flush.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to stop and waits until it has.
    ///
    /// # Panics
    ///
    /// When it does not within [`PATIENCE`].
    pub fn terminate(&mut self) -> ExitStatus {
        let process = i32::try_from(self.child.id()).expect("a process ID fits");
        let _ = signal::kill(Pid::from_raw(process), Signal::SIGTERM);
        self.wait()
    }

    /// Waits until it has stopped by itself.
    ///
    /// # Panics
    ///
    /// When it has not within [`PATIENCE`].
    pub fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "{} does not stop:\n{}", self.name, self.tail());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> u64 {
        memory_of(self.id())
    }

    /// The end of the log.
    pub fn tail(&self) -> String {
        let log = self.log();
        let mut start = log.len().saturating_sub(SHOWN);
        while !log.is_char_boundary(start) {
            start += 1;
        }
        log[start..].to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("---- the end of {}'s log\n{}", self.name, self.tail());
        }
    }
}

/// A port on the loopback interface that nobody listens on, for a program that binds it in a moment.
///
/// Taken from below the range from which the kernel gives out ports of outgoing connections and of listeners on port
/// 0, and never twice in one process: nobody else comes in between.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Two processes begin far from each other.
    let start = std::process::id().wrapping_mul(2_654_435_761) % COUNT;
    for _ in 0..COUNT {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset).expect("below 30,000");
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("every port from {FIRST} on is taken");
}

/// Resident memory of a process in bytes; 0 where it cannot be known.
pub fn memory_of(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    kib.unwrap_or(0_u64) * 1024
}
