//! Servers that are not ours, each with a configuration that was tried.

mod atheme;
mod inspircd;
mod ngircd;
mod synapse;

use std::net::SocketAddr;

use tokio::net::TcpStream;

pub use self::atheme::Atheme;
pub use self::inspircd::InspIrcd;
pub use self::ngircd::NgIrcd;
pub use self::synapse::Synapse;
use crate::deadline::observe;
use crate::process::Process;

/// Waits until `process` accepts connections at `address`.
pub(crate) async fn listening(process: &mut Process, address: SocketAddr) {
    observe(&format!("something listens on {address}"), || {
        assert!(process.is_running(), "it stopped at once:\n{}", process.tail());
        async move { TcpStream::connect(address).await.ok() }
    })
    .await;
}

/// The user `nobody`: some servers refuse to run as root.
const NOBODY: u32 = 65_534;

/// Whether we run as root.
fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}
