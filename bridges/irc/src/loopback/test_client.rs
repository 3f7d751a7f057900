//! An IRC client for tests and for the demo: says lines, and waits for lines.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::wire::Request;

/// How long a line may take before a test has failed.
const DEADLINE: Duration = Duration::from_secs(10);

/// A line that a client received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IrcLine {
    /// Who sent it: `nick!user@host` or a server.
    pub source: String,
    /// The command or numeric.
    pub command: String,
    /// Its parameters.
    pub params: Vec<String>,
    /// The line as it came, without its end.
    pub raw: Vec<u8>,
}

impl IrcLine {
    fn parse(raw: &[u8]) -> Option<Self> {
        let untagged = match raw.strip_prefix(b"@") {
            Some(rest) => &rest[rest.iter().position(|byte| *byte == b' ')? + 1..],
            None => raw,
        };
        let source = match untagged.strip_prefix(b":") {
            Some(rest) => rest.split(|byte| *byte == b' ').next().unwrap_or_default(),
            None => b"",
        };
        let request = Request::parse(raw)?;
        Some(Self {
            source: String::from_utf8_lossy(source).into_owned(),
            command: request.command.clone(),
            params: (0..request.params.len()).map(|index| request.text(index).into_owned()).collect(),
            raw: raw.to_vec(),
        })
    }

    /// The nick of the sender.
    pub fn nick(&self) -> &str {
        self.source.split('!').next().unwrap_or_default()
    }

    /// The last parameter: what was said.
    pub fn text(&self) -> &str {
        self.params.last().map_or("", String::as_str)
    }

    /// Whether this is something said by `nick` to `target`.
    pub fn is_said(&self, nick: &str, target: &str, text: &str) -> bool {
        self.command == "PRIVMSG"
            && self.nick() == nick
            && self.params.first().is_some_and(|to| to == target)
            && self.text() == text
    }
}

/// A connected client. It answers `PING` by itself whenever it waits for a line.
#[derive(Debug)]
pub struct TestClient {
    nick: String,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    buffer: Vec<u8>,
}

impl TestClient {
    /// Connects, registers and waits for the welcome.
    ///
    /// # Panics
    ///
    /// If the server cannot be reached or does not let the client in.
    pub async fn connect(address: SocketAddr, nick: &str) -> Self {
        let mut client = Self::raw(address, nick).await;
        client.send(&format!("NICK {nick}")).await;
        client.send(&format!("USER {nick} 0 * :{nick}")).await;
        client.wait_for(|line| line.command == "001").await;
        client
    }

    /// Connects without saying anything.
    ///
    /// # Panics
    ///
    /// If the server cannot be reached.
    pub async fn raw(address: SocketAddr, nick: &str) -> Self {
        let stream = TcpStream::connect(address).await.expect("the IRC server listens");
        stream.set_nodelay(true).expect("a fresh socket can be configured");
        let (reader, writer) = stream.into_split();
        Self { nick: nick.to_owned(), reader: BufReader::new(reader), writer, buffer: Vec::new() }
    }

    /// The nick with which it connected.
    pub fn nick(&self) -> &str {
        &self.nick
    }

    /// Sends a line.
    ///
    /// # Panics
    ///
    /// If the connection is gone.
    pub async fn send(&mut self, line: &str) {
        self.send_bytes(line.as_bytes()).await;
    }

    /// Sends a line that need not be UTF-8.
    ///
    /// # Panics
    ///
    /// If the connection is gone.
    pub async fn send_bytes(&mut self, line: &[u8]) {
        self.writer.write_all(&[line, b"\r\n"].concat()).await.expect("the connection is open");
    }

    /// Enters a channel and waits until its names were listed.
    pub async fn join(&mut self, channel: &str) {
        self.send(&format!("JOIN {channel}")).await;
        self.wait_for(|line| line.command == "366").await;
    }

    /// Says something to a channel or a nick.
    pub async fn say(&mut self, target: &str, text: &str) {
        self.send(&format!("PRIVMSG {target} :{text}")).await;
    }

    /// The next line. `None` if the connection is closed.
    ///
    /// Cancel safe: a line that was read in part is kept.
    pub async fn line(&mut self) -> Option<IrcLine> {
        loop {
            match self.reader.read_until(b'\n', &mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
            let raw = std::mem::take(&mut self.buffer);
            let end = raw.iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |last| last + 1);
            let Some(line) = IrcLine::parse(&raw[..end]) else { continue };
            if line.command == "PING" {
                self.send(&format!("PONG :{}", line.text())).await;
                continue;
            }
            return Some(line);
        }
    }

    /// Waits for a line that fits and returns it; those before it are passed over.
    ///
    /// # Panics
    ///
    /// If none comes in time, with the lines that did.
    pub async fn wait_for(&mut self, fits: impl Fn(&IrcLine) -> bool) -> IrcLine {
        let mut passed = Vec::new();
        let found = timeout(DEADLINE, async {
            while let Some(line) = self.line().await {
                if fits(&line) {
                    return Some(line);
                }
                passed.push(String::from_utf8_lossy(&line.raw).into_owned());
            }
            None
        })
        .await;
        let Ok(found) = found else {
            panic!("{}: no such line came in {DEADLINE:?}; these did: {passed:#?}", self.nick)
        };
        found.unwrap_or_else(|| panic!("{}: the connection was closed after {passed:#?}", self.nick))
    }

    /// Waits until `nick` says `text` to `target`.
    ///
    /// # Panics
    ///
    /// If that does not happen in time.
    pub async fn hears(&mut self, nick: &str, target: &str, text: &str) -> IrcLine {
        self.wait_for(|line| line.is_said(nick, target, text)).await
    }

    /// Makes sure that the server has handled all that was sent, and returns the lines that came until then.
    ///
    /// # Panics
    ///
    /// If the server does not answer in time.
    pub async fn fence(&mut self) -> Vec<IrcLine> {
        self.send("PING :fence").await;
        let mut lines = Vec::new();
        let all = timeout(DEADLINE, async {
            while let Some(line) = self.line().await {
                if line.command == "PONG" && line.text() == "fence" {
                    return true;
                }
                lines.push(line);
            }
            false
        });
        assert!(matches!(all.await, Ok(true)), "{}: no answer to PING", self.nick);
        lines
    }
}
