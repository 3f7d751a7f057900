//! The programs of `tests/clients`: real clients and frameworks of other languages, as `tests/run` installed them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::deadline::observe;
use crate::peers;
use crate::process::Process;
use crate::programs::target_directory;

/// A running program of `tests/clients`.
#[derive(Debug)]
pub struct ClientProgram {
    name: String,
    process: Process,
    _folder: TempDir,
}

impl ClientProgram {
    /// Starts a program by the name of its file; `None`, and the test counts as skipped, where what it needs is not
    /// installed.
    pub fn start(name: &str, arguments: &[&str]) -> Option<Self> {
        let mut command = if Path::new(name).extension().is_some_and(|extension| extension == "mjs") {
            in_node(name)?
        } else {
            in_python(name)?
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        command.args(arguments).current_dir(folder.path());
        let process = Process::start(name, &folder.path().join("log"), command);
        Some(Self { name: name.to_owned(), process, _folder: folder })
    }

    /// Waits until the program has come to its end, and finds that it has found no fault.
    ///
    /// # Panics
    ///
    /// When it has, with what it printed.
    pub async fn finished(&mut self) {
        let what = format!("{} ends", self.name);
        observe(&what, || {
            let running = self.process.is_running();
            async move { (!running).then_some(()) }
        })
        .await;
        let status = self.process.wait();
        assert!(status.success(), "{}: {status}", self.name);
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

fn in_python(name: &str) -> Option<Command> {
    let python = target_directory().join("peers/clients-python/bin/python");
    if !python.is_file() {
        peers::skipped("matrix-nio and mautrix");
        return None;
    }
    let mut command = Command::new(python);
    command.arg("-B").arg(folder().join(name));
    Some(command)
}

/// Node looks for packages beside a program and above it, so it is shown the programs beside the packages.
fn in_node(name: &str) -> Option<Command> {
    let installed = target_directory().join("peers/clients-node");
    let node = peers::find("node").filter(|_| installed.join("node_modules").is_dir());
    let Some(node) = node else {
        peers::skipped("the packages from npm");
        return None;
    };
    let mut command = Command::new(node);
    command
        .args(["--preserve-symlinks", "--preserve-symlinks-main"])
        .arg(installed.join("programs").join(name));
    Some(command)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}
