//! A socket on which the network let us in: what is said on it, and what it is called.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::dial::Writer;
use crate::irc::connection::Known;
use crate::irc::limits;
use crate::irc::message::{Line, LineBuilder};
use crate::irc::tags::Tags;

/// A socket on which the network let us in.
#[derive(Debug)]
pub(crate) struct Link {
    /// Unique for all time: names what comes and goes on this socket.
    pub(crate) identity: String,
    lines: AtomicU64,
    labels: AtomicU64,
    nick: Mutex<String>,
    known: Arc<Mutex<Known>>,
    writer: Writer,
    /// Cancelled to end the connection.
    pub(super) close: CancellationToken,
}

impl Link {
    pub(super) fn new(nick: String, known: Arc<Mutex<Known>>, writer: Writer) -> Self {
        Self {
            identity: format!("{:016x}", rand::random::<u64>()),
            lines: AtomicU64::new(0),
            labels: AtomicU64::new(0),
            nick: Mutex::new(nick),
            known,
            writer,
            close: CancellationToken::new(),
        }
    }

    pub(crate) fn nick(&self) -> String {
        self.nick.lock().clone()
    }

    pub(super) fn set_nick(&self, nick: &str) {
        nick.clone_into(&mut self.nick.lock());
    }

    pub(crate) fn has(&self, capability: &str) -> bool {
        self.known.lock().capabilities.contains(capability)
    }

    /// Whether what is said comes back.
    pub(crate) fn echoes(&self) -> bool {
        self.has("echo-message")
    }

    pub(crate) fn next_line_id(&self) -> String {
        format!("{}-{}", self.identity, self.lines.fetch_add(1, Ordering::Relaxed))
    }

    /// A label for a request, where the network gives labels back.
    pub(crate) fn label(&self) -> Option<String> {
        self.has("labeled-response").then(|| format!("l{}", self.labels.fetch_add(1, Ordering::Relaxed)))
    }

    /// How many bytes of text fit into a message so that it reaches the others whole, behind what the network puts
    /// before it: `:nick!user@host COMMAND target :text`.
    pub(crate) fn budget(&self, command: &str, target: &str) -> usize {
        let known = self.known.lock();
        let userhost = known.userhost.as_deref();
        limits::text_budget(known.line_length, &self.nick.lock(), userhost, command, target).max(32)
    }

    /// Says a line; waits until it is written to the socket. Whether it was.
    pub(crate) async fn say(&self, label: Option<&str>, command: &str, target: &str, text: &[u8]) -> bool {
        match line(label, command, &[target], Some(text)) {
            Some(line) => self.writer.write(line).await,
            None => true,
        }
    }

    /// Says a line as soon as the socket takes it.
    pub(crate) fn say_later(&self, command: &str, target: &str, text: &[u8]) {
        if let Some(line) = line(None, command, &[target], Some(text)) {
            self.writer.queue(line);
        }
    }

    /// Sends a command as soon as the socket takes it. The last word may have blanks.
    pub(crate) fn send_later(&self, words: &[&str]) {
        self.send_labelled(None, words);
    }

    /// The same with a label.
    pub(crate) fn send_labelled(&self, label: Option<&str>, words: &[&str]) {
        let Some((command, words)) = words.split_first() else { return };
        let made = match words.split_last() {
            None => line(label, command, &[], None),
            Some((last, middle)) => line(label, command, words, None)
                .or_else(|| line(label, command, middle, Some(last.as_bytes()))),
        };
        if let Some(line) = made {
            self.writer.queue(line);
        }
    }

    /// `+typing` ([specification](https://ircv3.net/specs/client-tags/typing)).
    pub(crate) fn send_typing(&self, target: &str, typing: bool) {
        let mut tags = Tags::new();
        tags.insert("+typing", if typing { "active" } else { "done" });
        if let Some(line) = line(None, "TAGMSG", &[target], None) {
            self.writer.queue(line.with_tags(&tags));
        }
    }
}

/// A line, or `None` if a word is missing or cannot stand where it should.
fn line(label: Option<&str>, command: &str, words: &[&str], trailing: Option<&[u8]>) -> Option<Line> {
    let middle = words.iter().try_fold(Line::new(command), LineBuilder::middle).ok()?;
    let line = match trailing {
        Some(text) => middle.trailing(text),
        None => middle.end(),
    };
    let mut tags = Tags::new();
    label.map(|label| tags.insert("label", label));
    Some(line.with_tags(&tags))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(label: Option<&str>, command: &str, words: &[&str], text: Option<&[u8]>) -> Option<Vec<u8>> {
        line(label, command, words, text).map(|line| line.as_bytes().to_vec())
    }

    #[test]
    fn no_text_makes_a_second_line() {
        assert_eq!(
            written(None, "PRIVMSG", &["#c"], Some(b"one\r\nQUIT :two\0")).as_deref(),
            Some(&b"PRIVMSG #c :oneQUIT :two"[..])
        );
        for target in ["#c d", "#c\r\nQUIT", "", ":x", "a\0b"] {
            assert_eq!(written(None, "PRIVMSG", &[target], Some(b"x")), None, "{target:?}");
        }
        assert_eq!(written(Some("l1"), "NAMES", &["#c"], None).as_deref(), Some(&b"@label=l1 NAMES #c"[..]));
    }
}
