//! Lines to a server. One line stays one line.

use std::fmt;

use bytes::Bytes;

use super::Message;
use crate::irc::tags::Tags;

/// A line that can be sent: never empty, without CR, LF and NUL, without its end.
///
/// `Debug` and `Display` hide what follows commands that carry secrets.
///
/// ```
/// use matrix_irc_bridge::irc::message::Line;
///
/// let line = Line::new("PRIVMSG").middle("#rust")?.trailing("one\r\nQUIT :two");
/// assert_eq!(line.as_bytes(), b"PRIVMSG #rust :oneQUIT :two");
/// assert!(Line::new("PRIVMSG").middle("#rust\r\nQUIT").is_err());
/// # Ok::<(), matrix_irc_bridge::irc::message::BadParameter>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Line(Bytes);

/// A line while it is written.
#[derive(Clone)]
pub struct LineBuilder {
    line: Vec<u8>,
}

/// A word that cannot stand where it should.
///
/// The word itself is not in the text: it may be a secret, or too strange to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parameter {index} of {command} {problem}")]
pub struct BadParameter {
    /// The command.
    pub command: String,
    /// Which one, from 1. 0 is the command itself.
    pub index: usize,
    problem: &'static str,
}

impl Line {
    /// Begins a line. What a command cannot have in its name is left out.
    #[expect(clippy::new_ret_no_self, reason = "a line is finished by its builder")]
    pub fn new(command: &str) -> LineBuilder {
        LineBuilder {
            line: command.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_uppercase()).collect(),
        }
    }

    /// A line as somebody typed it, for commands such as `!cmd`: everything from the first CR, LF or NUL is cut
    /// off. `None` if no command is in it.
    pub fn raw(text: &str) -> Option<Self> {
        let line = text.split(['\r', '\n', '\0']).next().unwrap_or_default().trim_start();
        Message::parse(line.as_bytes())?;
        Some(Self(Bytes::copy_from_slice(line.as_bytes())))
    }

    /// The line without its end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes on the wire.
    pub fn len_on_wire(&self) -> usize {
        self.0.len() + b"\r\n".len()
    }

    /// The same with tags before it.
    pub fn with_tags(self, tags: &Tags) -> Self {
        if tags.is_empty() {
            return self;
        }
        let mut line = format!("@{tags} ").into_bytes();
        line.extend_from_slice(&self.0);
        Self(line.into())
    }

    fn is_secret(&self) -> bool {
        let Some(message) = Message::parse(&self.0) else { return true };
        match &*message.command {
            "PASS" | "AUTHENTICATE" | "OPER" | "NS" | "NICKSERV" | "IDENTIFY" | "WEBIRC" | "REGISTER" => true,
            "PRIVMSG" | "NOTICE" | "SQUERY" => {
                let target = message.text(0).to_ascii_lowercase();
                target.split('@').next().is_some_and(|nick| nick.ends_with("serv") || nick == "q")
            }
            _ => false,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_secret() {
            let command = self.0.split(|byte| *byte == b' ').find(|word| !word.starts_with(b"@"));
            return write!(f, "{} …", String::from_utf8_lossy(command.unwrap_or_default()));
        }
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Line").field(&self.to_string()).finish()
    }
}

impl LineBuilder {
    /// Adds a word that others may follow.
    ///
    /// # Errors
    /// If it is empty, begins with a colon, or has a space, CR, LF or NUL.
    pub fn middle(mut self, word: impl AsRef<[u8]>) -> Result<Self, BadParameter> {
        let word = word.as_ref();
        let problem = match word {
            [] => Some("is empty"),
            [b':', ..] => Some("begins with a colon"),
            _ if word.iter().any(|b| matches!(b, b' ' | b'\r' | b'\n' | 0)) => {
                Some("has a space or the end of a line in it")
            }
            _ => None,
        };
        if let Some(problem) = problem {
            return Err(self.bad(problem));
        }
        self.line.push(b' ');
        self.line.extend_from_slice(word);
        Ok(self)
    }

    /// Finishes the line with text, which may be anything: what would end the line is left out.
    pub fn trailing(mut self, text: impl AsRef<[u8]>) -> Line {
        self.line.extend_from_slice(b" :");
        self.line.extend(text.as_ref().iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
        self.end()
    }

    /// Finishes the line.
    pub fn end(self) -> Line {
        Line(self.line.into())
    }

    fn bad(&self, problem: &'static str) -> BadParameter {
        let mut words = self.line.split(|byte| *byte == b' ');
        let command = String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
        BadParameter { command, index: words.count() + 1, problem }
    }
}

impl fmt::Debug for LineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The words may be secrets.
        f.debug_struct("LineBuilder").finish_non_exhaustive()
    }
}

pub(super) fn from_message(message: &Message) -> Result<Line, BadParameter> {
    let bad = |index, problem| BadParameter { command: message.command.to_string(), index, problem };
    if message.command.is_empty() || !message.command.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(bad(0, "is no command"));
    }
    let mut line = LineBuilder { line: Vec::new() };
    if let Some(source) = &message.source {
        let source = source.to_string();
        if source.is_empty() || source.contains([' ', '\r', '\n', '\0']) {
            return Err(bad(0, "has a source that is none"));
        }
        line.line.extend_from_slice(format!(":{source} ").as_bytes());
    }
    line.line.extend_from_slice(message.command.as_bytes());
    let Some((last, middle)) = message.params.split_last() else {
        return Ok(line.end().with_tags(&message.tags));
    };
    for param in middle {
        line = line.middle(param)?;
    }
    if last.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(bad(message.params.len(), "has the end of a line in it"));
    }
    Ok(line.trailing(last).with_tags(&message.tags))
}
