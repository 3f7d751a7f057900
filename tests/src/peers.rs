//! Programs that are not ours: where they are, and what happens when they are absent.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::thread;

/// Where the executable `name` is: in `PATH`, or where Debian keeps daemons.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Synapse as `tests/run` installed it, or the one that `TESTS_SYNAPSE` names.
pub fn find_synapse() -> Option<PathBuf> {
    if let Some(named) = env::var_os("TESTS_SYNAPSE") {
        return Some(PathBuf::from(named));
    }
    let peers = crate::programs::target_directory().join("peers");
    let installed = std::fs::read_dir(peers).ok()?;
    installed
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("synapse-"))
        .map(|entry| entry.path().join("bin/synapse_homeserver"))
        .find(|file| file.is_file())
}

/// Says, past the capture of the test runner, that the running test is skipped because `peer` is absent, and leaves a
/// line for `tests/run` to count.
pub fn skipped(peer: &str) {
    let thread = thread::current();
    let test = thread.name().unwrap_or("?");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {peer} is not installed (tests/run installs it)");
    let Some(file) = env::var_os("TESTS_SKIPPED") else { return };
    let written = OpenOptions::new()
        .append(true)
        .create(true)
        .open(&file)
        .and_then(|mut file| file.write_all(format!("{test}: {peer}\n").as_bytes()));
    written.expect("the file for skipped tests is writable");
}

/// Unwraps a peer, or leaves the test as skipped.
#[macro_export]
macro_rules! require {
    ($peer:expr) => {
        match $peer {
            Some(peer) => peer,
            None => return,
        }
    };
}
