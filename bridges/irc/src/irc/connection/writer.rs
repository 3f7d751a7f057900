//! Writing lines without flooding.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::trace;

use crate::irc::message::Line;

/// How long a connection that nobody reads from any more may take to write what is queued.
const FAREWELL: Duration = Duration::from_secs(5);

/// How fast lines may be written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// So many at once; 0 is no limit.
    pub burst: u32,
    /// Then one in this time.
    pub delay: Duration,
}

/// Writes lines, in order. Dropping the last one closes the connection after what is queued was written.
///
/// The queue has no limit of its own: whoever sends much waits for each line to be written ([`write`](Self::write)).
#[derive(Debug, Clone)]
pub struct Writer {
    queue: mpsc::UnboundedSender<Item>,
}

struct Item {
    line: Line,
    /// Written before all that is not, and not counted.
    urgent: bool,
    written: Option<oneshot::Sender<()>>,
}

impl Writer {
    /// Writes a line when its turn comes, and waits until the socket took it. Whether it did: of a line that was not
    /// taken nothing has left this machine, as far as anybody can tell. Cancelling the wait does not take the line
    /// back.
    pub async fn write(&self, line: Line) -> bool {
        let (written, wait) = oneshot::channel();
        self.put(line, false, Some(written)) && wait.await.is_ok()
    }

    /// Writes a line when its turn comes.
    pub fn queue(&self, line: Line) {
        self.put(line, false, None);
    }

    /// Writes a line before all others: what keeps a connection alive.
    pub fn urgent(&self, line: Line) {
        self.put(line, true, None);
    }

    /// Writes lines before all others.
    pub(super) fn answer(&self, lines: Vec<Line>) {
        for line in lines {
            self.urgent(line);
        }
    }

    fn put(&self, line: Line, urgent: bool, written: Option<oneshot::Sender<()>>) -> bool {
        self.queue.send(Item { line, urgent, written }).is_ok()
    }
}

/// Starts the task that writes. `gone` resolves when nobody reads any more: a peer that does not take what is
/// queued holds the socket no longer than a farewell takes.
pub(super) fn spawn<W>(writer: W, pace: Pace, gone: oneshot::Receiver<Infallible>) -> Writer
where
    W: AsyncWrite + Unpin + Send + 'static,
{
    let (queue, lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let deserted = async {
            let _ = gone.await;
            sleep(FAREWELL).await;
        };
        tokio::select! {
            () = write_all(writer, lines, pace) => {}
            () = deserted => {}
        }
    });
    Writer { queue }
}

/// Urgent lines at once, the others at the pace.
async fn write_all<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut queue: mpsc::UnboundedReceiver<Item>,
    pace: Pace,
) {
    let mut waiting: VecDeque<Item> = VecDeque::new();
    let mut bucket = Bucket::new(pace);
    let mut bytes = Vec::new();
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
        trace!("> {}", item.line);
        bytes.clear();
        bytes.extend_from_slice(item.line.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
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
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn line(text: &str) -> Line {
        Line::raw(text).expect("a command")
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_written_at_once_the_rest_at_the_pace_and_urgent_lines_in_between() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let (_reading, gone) = oneshot::channel();
        let writer = spawn(ours, Pace { burst: 2, delay: Duration::from_secs(1) }, gone);
        let start = Instant::now();
        for text in ["L1", "L2", "L3"] {
            writer.queue(line(text));
        }
        let mut last = Box::pin(writer.write(line("L4")));
        tokio::select! {
            biased;
            _ = &mut last => panic!("the fourth line waits"),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        writer.urgent(line("PONG"));
        assert!(last.await);
        assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
        let mut written = vec![0; 22];
        theirs.read_exact(&mut written).await.expect("all lines");
        assert_eq!(written, b"L1\r\nL2\r\nPONG\r\nL3\r\nL4\r\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_the_peer_never_takes_is_reported_once_nobody_reads() {
        let (ours, _theirs) = tokio::io::duplex(4);
        let (reading, gone) = oneshot::channel();
        let writer = spawn(ours, Pace::default(), gone);
        let mut stuck = Box::pin(writer.write(line("PRIVMSG #c :more than four bytes")));
        tokio::select! {
            biased;
            _ = &mut stuck => panic!("the peer takes four bytes"),
            () = tokio::time::sleep(Duration::from_mins(10)) => {}
        }
        drop(reading);
        assert!(!stuck.await);
        assert!(!writer.write(line("PING x")).await);
    }

    #[tokio::test]
    async fn what_is_queued_is_written_before_the_connection_closes() {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let (_reading, gone) = oneshot::channel();
        let writer = spawn(ours, Pace::default(), gone);
        writer.queue(line("QUIT :bye"));
        drop(writer);
        let mut written = Vec::new();
        theirs.read_to_end(&mut written).await.expect("an end");
        assert_eq!(written, b"QUIT :bye\r\n");
    }
}
