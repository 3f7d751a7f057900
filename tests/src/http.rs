//! Requests: those of an ordinary client, and bytes over a socket that no client would send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::deadline::within;

/// An ordinary HTTP client.
pub fn client() -> reqwest::Client {
    // Somebody else in the process may have chosen it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client without special options")
}

/// An answer as far as it could be read.
#[derive(Debug, Clone)]
pub struct RawResponse {
    /// The status; `None` when the connection was closed without an answer.
    pub status: Option<u16>,
    /// All that was received.
    pub text: String,
}

/// Sends `bytes` and reads until the server closes, as it does when they ask for that or cannot be a request.
pub async fn send_raw(server: SocketAddr, bytes: &[u8]) -> RawResponse {
    exchange(server, bytes, false).await
}

/// Sends `bytes`, says that nothing follows, and reads until the server closes. A server may take the half-closed
/// connection for one that was given up, and not answer.
pub async fn send_half_closed(server: SocketAddr, bytes: &[u8]) -> RawResponse {
    exchange(server, bytes, true).await
}

async fn exchange(server: SocketAddr, bytes: &[u8], half_close: bool) -> RawResponse {
    let mut stream = TcpStream::connect(server).await.expect("the server accepts connections");
    // A server may answer and close before it has read everything; the answer is still there to be read.
    let _ = stream.write_all(bytes).await;
    if half_close {
        let _ = stream.shutdown().await;
    }
    let mut answer = Vec::new();
    let _ = within("the server answers and closes", stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    RawResponse { status, text }
}
