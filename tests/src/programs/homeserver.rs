//! `matrix-homeserver` as a process.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::program;
use crate::deadline::observe;
use crate::process::{Process, free_port, memory_of};

/// A running homeserver with a data directory, so that it can be killed and started again.
#[derive(Debug)]
pub struct HomeserverProcess {
    process: Process,
    folder: TempDir,
    registrations: Vec<PathBuf>,
    port: u16,
    starts: usize,
    options: Vec<String>,
}

impl HomeserverProcess {
    /// Starts one that knows the given registration files and flushes every write.
    pub async fn start(registrations: &[&Path]) -> Self {
        Self::start_with(registrations, &["--data-dir"]).await
    }

    /// Starts one with further options. `--data-dir` gets the harness's folder as its value; `--server-name` replaces
    /// the usual one.
    pub async fn start_with(registrations: &[&Path], options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let registrations: Vec<PathBuf> = registrations.iter().map(|file| (*file).to_owned()).collect();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let port = free_port();
        let process = launch(&folder, &registrations, port, &options);
        let mut server = Self { process, folder, registrations, port, starts: 0, options };
        server.ready().await;
        server
    }

    /// Where the client-server API is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The process, for its memory and its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// `kill -9`, then a new process with the same data.
    pub async fn kill_and_restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.folder, &self.registrations, self.port, &self.options);
        self.ready().await;
    }

    /// SIGTERM, then a new process with the same data.
    pub async fn restart(&mut self) {
        let status = self.process.terminate();
        assert!(
            status.success(),
            "the homeserver stops cleanly on SIGTERM: {status}\n{}",
            self.process.tail()
        );
        self.process = launch(&self.folder, &self.registrations, self.port, &self.options);
        self.ready().await;
    }

    /// How long a process of its own takes from the start to its `ready` line, and its memory in bytes then.
    ///
    /// # Errors
    ///
    /// When the process does not start or ends without being ready.
    pub fn time_to_ready(options: &[&str]) -> std::io::Result<(Duration, u64)> {
        let folder = tempfile::tempdir()?;
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let mut command = command(&folder, &[], 0, &options);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let began = Instant::now();
        let mut child = command.spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line)?;
        let took = began.elapsed();
        let memory = memory_of(child.id());
        child.kill()?;
        child.wait()?;
        if line.starts_with("ready http://") { Ok((took, memory)) } else { Err(std::io::Error::other(line)) }
    }

    async fn ready(&mut self) {
        self.starts += 1;
        let (starts, process) = (self.starts, &mut self.process);
        observe("the homeserver is ready", || {
            let running = process.is_running();
            let lines = process.log().lines().filter(|line| line.starts_with("ready http://")).count();
            assert!(running || lines >= starts, "the homeserver stopped:\n{}", process.tail());
            async move { (lines >= starts).then_some(()) }
        })
        .await;
    }
}

fn launch(folder: &TempDir, registrations: &[PathBuf], port: u16, options: &[String]) -> Process {
    let command = command(folder, registrations, port, options);
    Process::start("matrix-homeserver", &folder.path().join("log"), command)
}

fn command(folder: &TempDir, registrations: &[PathBuf], port: u16, options: &[String]) -> Command {
    let mut command = Command::new(program("matrix-homeserver"));
    if !options.iter().any(|option| option == "--server-name") {
        command.arg("--server-name").arg(crate::SERVER_NAME);
    }
    command
        .arg("--listen")
        .arg(format!("127.0.0.1:{port}"))
        .arg("--open-registration")
        .arg("--no-rate-limit");
    for file in registrations {
        command.arg("--registration").arg(file);
    }
    for option in options {
        command.arg(option);
        if option == "--data-dir" {
            command.arg(folder.path().join("data"));
        }
    }
    command
}
