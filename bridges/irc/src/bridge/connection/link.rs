//! A socket on which the network let us in: what is said on it, and what it is called.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::dial::Writer;
use crate::irc::limits;

/// A socket on which the network let us in.
#[derive(Debug)]
pub(crate) struct Link {
    /// Unique for all time: names what comes and goes on this socket.
    pub(crate) identity: String,
    lines: AtomicU64,
    labels: AtomicU64,
    nick: Mutex<String>,
    capabilities: HashSet<String>,
    line_length: usize,
    writer: Writer,
    /// Cancelled to end the connection.
    pub(super) close: CancellationToken,
}

impl Link {
    pub(super) fn new(
        nick: String,
        capabilities: HashSet<String>,
        line_length: usize,
        writer: Writer,
    ) -> Self {
        Self {
            identity: format!("{:016x}", rand::random::<u64>()),
            lines: AtomicU64::new(0),
            labels: AtomicU64::new(0),
            nick: Mutex::new(nick),
            capabilities,
            line_length,
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
        self.capabilities.contains(capability)
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

    /// How many bytes of text fit into a message so that it reaches the others whole, whatever the network makes
    /// of our host: `:nick!user@host COMMAND target :text`.
    pub(crate) fn budget(&self, command: &str, target: &str) -> usize {
        limits::text_budget(self.line_length, &self.nick.lock(), None, command, target).max(32)
    }

    /// Says a line; waits until it is written to the socket. Whether it was.
    pub(crate) async fn say(&self, label: Option<&str>, command: &str, target: &str, text: &[u8]) -> bool {
        match line(label, &[command.as_bytes(), target.as_bytes()], Some(text)) {
            Some(line) => self.writer.write(line).await,
            None => true,
        }
    }

    /// Says a line as soon as the socket takes it.
    pub(crate) fn say_later(&self, command: &str, target: &str, text: &[u8]) {
        if let Some(line) = line(None, &[command.as_bytes(), target.as_bytes()], Some(text)) {
            self.writer.queue(line);
        }
    }

    /// Sends a command as soon as the socket takes it. The last word may have blanks.
    pub(crate) fn send_later(&self, words: &[&str]) {
        self.send_labelled(None, words);
    }

    /// The same with a label.
    pub(crate) fn send_labelled(&self, label: Option<&str>, words: &[&str]) {
        let bytes: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let Some((last, middle)) = bytes.split_last() else { return };
        let plain = middle.is_empty() || is_middle(last);
        let line = if plain { line(label, &bytes, None) } else { line(label, middle, Some(last)) };
        if let Some(line) = line {
            self.writer.queue(line);
        }
    }

    /// `+typing` ([specification](https://ircv3.net/specs/client-tags/typing)).
    pub(crate) fn send_typing(&self, target: &str, typing: bool) {
        if let Some(line) = line(None, &[b"TAGMSG", target.as_bytes()], None) {
            let tag: &[u8] = if typing { b"@+typing=active " } else { b"@+typing=done " };
            self.writer.queue([tag, &line].concat());
        }
    }
}

/// Whether a word can stand anywhere in a line.
fn is_middle(word: &[u8]) -> bool {
    !word.is_empty()
        && !word.starts_with(b":")
        && !word.iter().any(|byte| matches!(byte, b' ' | b'\r' | b'\n' | 0))
}

/// One line, and never two: whatever would end it or begin another is left out. `None` if a word is missing.
fn line(label: Option<&str>, words: &[&[u8]], trailing: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    if let Some(label) = label {
        line.extend_from_slice(format!("@label={label} ").as_bytes());
    }
    for (index, word) in words.iter().enumerate() {
        if !is_middle(word) {
            return None;
        }
        if index > 0 {
            line.push(b' ');
        }
        line.extend_from_slice(word);
    }
    if let Some(trailing) = trailing {
        line.extend_from_slice(b" :");
        line.extend(trailing.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
    }
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_makes_a_second_line() {
        assert_eq!(
            line(None, &[b"PRIVMSG", b"#c"], Some(b"one\r\nQUIT :two\0")).as_deref(),
            Some(&b"PRIVMSG #c :oneQUIT :two"[..])
        );
        for target in ["#c d", "#c\r\nQUIT", "", ":x", "a\0b"] {
            assert_eq!(line(None, &[b"PRIVMSG", target.as_bytes()], Some(b"x")), None, "{target:?}");
        }
        assert_eq!(line(Some("l1"), &[b"NAMES", b"#c"], None).as_deref(), Some(&b"@label=l1 NAMES #c"[..]));
    }
}
