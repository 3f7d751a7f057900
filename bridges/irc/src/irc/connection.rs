//! Sockets: connecting, TLS, reading lines without trusting their length, writing them without flooding.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

mod tls;

use super::framing::LineBuffer;

pub use self::tls::{TlsError, client_config};

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
}

/// How fast lines may be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// So many at once; 0 is no limit.
    pub burst: u32,
    /// Then one in this time.
    pub delay: Duration,
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
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(unreachable)?;
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
    let (queue, lines) = mpsc::unbounded_channel();
    tokio::spawn(write_all(writer, lines, pace));
    (Lines::new(Box::pin(reader)), Writer { queue })
}

/// Reads lines.
pub struct Lines {
    reader: std::pin::Pin<Box<dyn AsyncRead + Send + Sync>>,
    buffer: LineBuffer,
}

impl Lines {
    fn new(reader: std::pin::Pin<Box<dyn AsyncRead + Send + Sync>>) -> Self {
        Self { reader, buffer: LineBuffer::default() }
    }

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

/// Writes lines, in order. Dropping the last one closes the connection after what is queued was written.
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::UnboundedSender<Item>,
}

struct Item {
    line: Vec<u8>,
    /// Written before all that is not, and not counted.
    urgent: bool,
    written: Option<oneshot::Sender<()>>,
}

impl Writer {
    /// Writes a line, given without its end; waits until the socket took it. Whether it did.
    pub async fn write(&self, line: Vec<u8>) -> bool {
        let (written, wait) = oneshot::channel();
        self.put(line, false, Some(written)) && wait.await.is_ok()
    }

    /// Writes a line when its turn comes.
    pub fn queue(&self, line: Vec<u8>) {
        self.put(line, false, None);
    }

    /// Writes a line before all others: what keeps a connection alive.
    pub fn urgent(&self, line: Vec<u8>) {
        self.put(line, true, None);
    }

    fn put(&self, mut line: Vec<u8>, urgent: bool, written: Option<oneshot::Sender<()>>) -> bool {
        line.extend_from_slice(b"\r\n");
        self.queue.send(Item { line, urgent, written }).is_ok()
    }
}

/// The task that writes: urgent lines at once, the others at the pace.
async fn write_all<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut queue: mpsc::UnboundedReceiver<Item>,
    pace: Pace,
) {
    let mut waiting: VecDeque<Item> = VecDeque::new();
    let mut bucket = Bucket::new(pace);
    let mut open = true;
    while open || !waiting.is_empty() {
        let turn = bucket.turn();
        let item = tokio::select! {
            biased;
            received = queue.recv(), if open => match received {
                Some(item) if item.urgent => item,
                Some(item) => {
                    waiting.push_back(item);
                    continue;
                }
                None => {
                    open = false;
                    continue;
                }
            },
            () = sleep_until(turn), if !waiting.is_empty() => match waiting.pop_front() {
                Some(item) => {
                    bucket.take();
                    item
                }
                None => continue,
            },
        };
        if writer.write_all(&item.line).await.is_err() || writer.flush().await.is_err() {
            return;
        }
        if let Some(written) = item.written {
            let _ = written.send(());
        }
    }
    let _ = writer.shutdown().await;
}

/// Lets a burst through at once and then one line in each delay.
struct Bucket {
    pace: Pace,
    /// When the line after the last would be due at a steady pace.
    due: Instant,
}

impl Bucket {
    fn new(pace: Pace) -> Self {
        Self { pace, due: Instant::now() }
    }

    /// When the next line may be written.
    fn turn(&self) -> Instant {
        let now = Instant::now();
        if self.pace.burst == 0 {
            return now;
        }
        let ahead = self.pace.delay * (self.pace.burst - 1);
        self.due.checked_sub(ahead).unwrap_or(now).max(now)
    }

    fn take(&mut self) {
        self.due = self.due.max(Instant::now()) + self.pace.delay;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_written_at_once_the_rest_at_the_pace_and_urgent_lines_in_between() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let pace = Pace { burst: 2, delay: Duration::from_secs(1) };
        let (_lines, writer) = halves(ours, pace);
        let start = Instant::now();
        for line in ["1", "2", "3"] {
            writer.queue(line.into());
        }
        let mut last = Box::pin(writer.write("4".into()));
        tokio::select! {
            biased;
            _ = &mut last => panic!("the fourth line waits"),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        writer.urgent("PONG".into());
        assert!(last.await);
        assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
        let mut written = vec![0; 18];
        theirs.read_exact(&mut written).await.expect("all lines");
        assert_eq!(written, b"1\r\n2\r\nPONG\r\n3\r\n4\r\n");
    }
}
