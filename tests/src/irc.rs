//! A plain IRC client for tests. It shares no code with the bridge on purpose: a mistake in the bridge's codec must
//! not hide behind the same mistake here.

pub mod hostile;
mod line;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::line::Line;
use crate::deadline::{LOOK_AGAIN, PATIENCE};

/// A registered connection that keeps every line it received and answers `PING` by itself.
#[derive(Debug)]
pub struct IrcClient {
    nick: String,
    shared: Arc<Shared>,
    received: watch::Receiver<Progress>,
    /// Lines before this one were already waited for.
    position: usize,
    reader: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    lines: Mutex<Vec<Line>>,
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    lines: usize,
    closed: bool,
}

impl IrcClient {
    /// Connects and registers.
    pub async fn connect(server: SocketAddr, nick: &str) -> Self {
        Self::connect_with(server, nick, &[]).await
    }

    /// Connects, asks for `capabilities` and registers.
    pub async fn connect_with(server: SocketAddr, nick: &str, capabilities: &[&str]) -> Self {
        let mut client = Self::open(server, nick).await;
        if !capabilities.is_empty() {
            client.send(&format!("CAP REQ :{}", capabilities.join(" "))).await;
        }
        client.send(&format!("NICK {nick}")).await;
        client.send(&format!("USER {nick} 0 * :{nick}")).await;
        if !capabilities.is_empty() {
            client
                .wait_for("the capabilities", |line| line.command == "CAP" && line.parameter(1) == "ACK")
                .await;
            client.send("CAP END").await;
        }
        client.wait_for("the welcome", |line| line.command == "001").await;
        client
    }

    /// Connects and sends nothing.
    pub async fn open(server: SocketAddr, nick: &str) -> Self {
        let stream = TcpStream::connect(server).await.expect("the IRC server accepts connections");
        stream.set_nodelay(true).expect("a connected socket takes options");
        let (reader, writer) = stream.into_split();
        let shared = Arc::new(Shared { lines: Mutex::default(), writer: tokio::sync::Mutex::new(writer) });
        let (progress, received) = watch::channel(Progress::default());
        let reader = tokio::spawn(read(BufReader::new(reader), Arc::clone(&shared), progress));
        Self { nick: nick.to_owned(), shared, received, position: 0, reader }
    }

    /// The nick it registered with.
    pub fn nick(&self) -> &str {
        &self.nick
    }

    /// Sends one line.
    pub async fn send(&self, line: &str) {
        self.send_bytes(format!("{line}\r\n").as_bytes()).await;
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&self, bytes: &[u8]) {
        let mut writer = self.shared.writer.lock().await;
        let _ = writer.write_all(bytes).await;
    }

    /// Sends a message to a channel or a nick.
    pub async fn say(&self, target: &str, text: &str) {
        self.send(&format!("PRIVMSG {target} :{text}")).await;
    }

    /// Joins a channel and waits for the end of the list of names.
    pub async fn join(&mut self, channel: &str) {
        self.send(&format!("JOIN {channel}")).await;
        self.wait_for(&format!("the names of {channel}"), |line| {
            line.command == "366" && line.parameter(1).eq_ignore_ascii_case(channel)
        })
        .await;
    }

    /// The nicks in a channel, without their prefixes.
    pub async fn names(&mut self, channel: &str) -> Vec<String> {
        let from = self.shared.lines.lock().len();
        self.position = from;
        self.send(&format!("NAMES {channel}")).await;
        self.wait_for("the end of names", |line| line.command == "366").await;
        let lines = self.shared.lines.lock();
        lines[from..]
            .iter()
            .filter(|line| line.command == "353")
            .flat_map(|line| line.parameter(3).split_whitespace())
            .map(|name| name.trim_start_matches(['~', '&', '@', '%', '+']).to_owned())
            .collect()
    }

    /// Waits until somebody with this nick is online.
    ///
    /// # Panics
    ///
    /// When nobody is after [`PATIENCE`].
    pub async fn until_present(&mut self, nick: &str) {
        let began = Instant::now();
        loop {
            self.send(&format!("ISON {nick}")).await;
            let answer = self.wait_for("who is online", |line| line.command == "303").await;
            if answer.parameter(1).trim().eq_ignore_ascii_case(nick) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{nick} is not online");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits for a line and skips what came before it.
    ///
    /// # Panics
    ///
    /// When none came within [`PATIENCE`], or the server closed the connection; with everything that was received.
    pub async fn wait_for(&mut self, expectation: &str, wanted: impl Fn(&Line) -> bool) -> Line {
        let outcome = tokio::time::timeout(PATIENCE, self.next(&wanted)).await;
        match outcome.ok().flatten() {
            Some(line) => line,
            None => panic!("{}: no sign of {expectation}\n{}", self.nick, self.transcript()),
        }
    }

    /// Waits for a message with this text, in a channel or in private.
    pub async fn wait_for_message(&mut self, text: &str) -> Line {
        self.wait_for(&format!("the message {text:?}"), |line| {
            matches!(line.command.as_str(), "PRIVMSG" | "NOTICE") && line.parameter(1) == text
        })
        .await
    }

    /// Waits until the server has closed the connection.
    pub async fn wait_for_close(&mut self) {
        let closed = self.received.wait_for(|progress| progress.closed);
        tokio::time::timeout(PATIENCE, closed).await.expect("the server closes the connection").ok();
    }

    async fn next(&mut self, wanted: impl Fn(&Line) -> bool) -> Option<Line> {
        loop {
            let progress = *self.received.borrow_and_update();
            while self.position < progress.lines {
                let line = self.shared.lines.lock()[self.position].clone();
                self.position += 1;
                if wanted(&line) {
                    return Some(line);
                }
            }
            if progress.closed || self.received.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Every line so far, in the order of arrival.
    pub fn lines(&self) -> Vec<Line> {
        self.shared.lines.lock().clone()
    }

    /// The lines from the given position on.
    pub fn lines_from(&self, position: usize) -> Vec<Line> {
        self.shared.lines.lock().get(position..).unwrap_or_default().to_vec()
    }

    /// Waits until there are more than `position` lines.
    ///
    /// # Panics
    ///
    /// When the server closes the connection before.
    pub async fn more_than(&self, position: usize) {
        let mut received = self.received.clone();
        let more = received.wait_for(|progress| progress.lines > position || progress.closed).await;
        let closed = more.is_ok_and(|progress| progress.lines <= position);
        assert!(!closed, "{}: closed by the server\n{}", self.nick, self.transcript());
    }

    /// What was received, for a failure.
    pub fn transcript(&self) -> String {
        let lines = self.shared.lines.lock();
        let skipped = lines.len().saturating_sub(60);
        lines[skipped..].iter().map(|line| line.raw.as_str()).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for IrcClient {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(mut reader: BufReader<OwnedReadHalf>, shared: Arc<Shared>, progress: watch::Sender<Progress>) {
    let mut bytes = Vec::new();
    while matches!(reader.read_until(b'\n', &mut bytes).await, Ok(1..)) {
        let line = Line::parse(&bytes);
        bytes.clear();
        if line.command == "PING" {
            let answer = format!("PONG :{}\r\n", line.parameter(0));
            let _ = shared.writer.lock().await.write_all(answer.as_bytes()).await;
        }
        shared.lines.lock().push(line);
        progress.send_modify(|progress| progress.lines += 1);
    }
    progress.send_modify(|progress| progress.closed = true);
}
