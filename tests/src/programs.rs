//! Our own programs as processes.

mod bridge;
mod homeserver;

use std::env;
use std::path::PathBuf;

pub use self::bridge::{BridgeFiles, BridgeProcess, NETWORK};
pub use self::homeserver::HomeserverProcess;

/// The folder of the profile that this test was built with, as in `target/debug`.
fn profile_directory() -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    let folder = test.parent().expect("a program is in a folder");
    if folder.ends_with("deps") {
        folder.parent().expect("deps is in a profile").to_owned()
    } else {
        folder.to_owned()
    }
}

/// Cargo's target directory.
pub fn target_directory() -> PathBuf {
    profile_directory().parent().expect("a profile is in the target directory").to_owned()
}

/// One of our programs.
///
/// # Panics
///
/// When it was not built: `cargo test` builds no programs of other packages; `tests/run` does.
pub fn program(name: &str) -> PathBuf {
    let file = profile_directory().join(name);
    assert!(file.is_file(), "{} is missing: run `cargo build --workspace --bins` first", file.display());
    file
}
