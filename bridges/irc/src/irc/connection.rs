//! Sockets: connecting, TLS, reading lines without trusting their length, writing them without flooding.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, split};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::oneshot;
use tokio::time::timeout;

mod stream;
mod tls;
mod writer;

use super::framing::LineBuffer;

pub use self::stream::{Keepalive, Known, Lost, OpenError, Stream};
pub use self::tls::{TlsError, client_config, client_config_as};
pub use self::writer::{Pace, Writer};

/// How much is read at once.
const READ: usize = 2048;
/// How long connecting may take, name resolution and TLS included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where to connect.
#[derive(Debug, Clone)]
pub struct Target {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How to speak TLS; `None` for plain text.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// How fast lines may be written.
    pub pace: Pace,
    /// The address to connect from; `None` leaves it to the system.
    pub source: Option<IpAddr>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host cannot be reached.
    #[error("cannot reach {host}: {source}")]
    Unreachable {
        /// The host with its port.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate is not trusted, or TLS is not spoken there.
    #[error("no TLS with {host}: {source}")]
    Tls {
        /// The host with its port.
        host: String,
        /// What is wrong.
        source: io::Error,
    },
    /// The host is silent.
    #[error("{0} does not answer")]
    Silent(String),
}

/// Connects.
///
/// # Errors
///
/// When there is no connection, or no trust.
pub async fn connect(target: &Target) -> Result<(Lines, Writer), ConnectError> {
    let host = format!("{}:{}", target.host, target.port);
    match timeout(PATIENCE, open(target, &host)).await {
        Ok(connected) => connected,
        Err(_elapsed) => Err(ConnectError::Silent(host)),
    }
}

async fn open(target: &Target, host: &str) -> Result<(Lines, Writer), ConnectError> {
    let unreachable = |source| ConnectError::Unreachable { host: host.to_owned(), source };
    let stream = tcp(target).await.map_err(unreachable)?;
    stream.set_nodelay(true).map_err(unreachable)?;
    let Some(config) = &target.tls else { return Ok(halves(stream, target.pace)) };
    let tls = |source| ConnectError::Tls { host: host.to_owned(), source };
    let name = ServerName::try_from(target.host.clone()).map_err(|error| tls(io::Error::other(error)))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
    let stream = connector.connect(name, stream).await.map_err(tls)?;
    Ok(halves(stream, target.pace))
}

fn halves<S>(stream: S, pace: Pace) -> (Lines, Writer)
where
    S: AsyncRead + AsyncWrite + Send + Sync + 'static,
{
    let (reader, writer) = split(stream);
    let (reading, gone) = oneshot::channel();
    let writer = writer::spawn(writer, pace, gone);
    (Lines { reader: Box::pin(reader), buffer: LineBuffer::default(), _reading: reading }, writer)
}

/// Connects to the first of the host's addresses that answers.
async fn tcp(target: &Target) -> io::Result<TcpStream> {
    let host = (target.host.as_str(), target.port);
    let Some(source) = target.source else { return TcpStream::connect(host).await };
    let mut last =
        io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no address of the source's kind");
    for address in lookup_host(host).await?.filter(|address| address.is_ipv4() == source.is_ipv4()) {
        let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind((source, 0).into())?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads lines.
pub struct Lines {
    reader: std::pin::Pin<Box<dyn AsyncRead + Send + Sync>>,
    buffer: LineBuffer,
    /// Tells the writer, when it is dropped, that nobody reads any more.
    _reading: oneshot::Sender<Infallible>,
}

impl Lines {
    /// The next line, without its LF. `None` at the end of the connection.
    ///
    /// A line that is too long is passed over whole. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the connection breaks.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(line) = self.buffer.next_line() {
                return Ok(Some(line));
            }
            self.buffer.shrink();
            if self.reader.read_buf(self.buffer.space(READ)).await? == 0 {
                return Ok(None);
            }
        }
    }
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").field("skipped", &self.buffer.skipped()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
