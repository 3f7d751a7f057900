//! One line of IRC, read and written as bytes.
//!
//! [`Message`] is what a server sent. [`Line`] is what is sent to it: it can only be made in ways that keep it one
//! line, whatever a Matrix user typed.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::limits;
use super::numeric::Numeric;
use super::tags::Tags;

mod line;
mod source;
#[cfg(test)]
mod tests;

pub use self::line::{BadParameter, Line, LineBuilder};
pub use self::source::Source;

/// A message from a server ([RFC 1459, section 2.3.1], with tags).
///
/// Text need not be UTF-8: parameters are bytes, and [`text`](Self::text) decodes them. A colon before the last
/// parameter means nothing beyond where it ends: `JOIN :#c` and `JOIN #c` are the same message.
///
/// [RFC 1459, section 2.3.1]: https://www.rfc-editor.org/rfc/rfc1459#section-2.3.1
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// What stood between `@` and the first space.
    pub tags: Tags,
    /// Who sent it. Absent: the server at the other end.
    pub source: Option<Source>,
    /// The command in upper case, or three digits.
    pub command: Box<str>,
    /// The parameters as they came.
    pub params: Vec<Bytes>,
}

impl Message {
    /// A message from the server at the other end.
    pub fn new(command: &str, params: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        Self {
            tags: Tags::new(),
            source: None,
            command: command.to_ascii_uppercase().into(),
            params: params.into_iter().map(Into::into).collect(),
        }
    }

    /// Reads a line, with or without its end. `None` if there is no command in it.
    ///
    /// A NUL is left out. A CR ends nothing: at the end of the line it belongs to the end, elsewhere it stays in
    /// its parameter.
    ///
    /// ```
    /// use matrix_irc_bridge::irc::message::Message;
    ///
    /// let line = b"@time=2015-01-16T14:01:23.133Z :bob!b@example.org PRIVMSG #rust :hello there\r\n";
    /// let message = Message::parse(line).expect("a command");
    /// assert_eq!(&*message.command, "PRIVMSG");
    /// assert_eq!(message.source.as_ref().map(|source| source.nick()), Some("bob"));
    /// assert_eq!(message.text(1), "hello there");
    /// ```
    pub fn parse(line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut rest = line;
        while let Some(shorter) = rest.strip_suffix(b"\r") {
            rest = shorter;
        }
        let clean: Bytes = rest.iter().copied().filter(|byte| *byte != 0).collect();
        let mut scan = Scan { line: &clean, at: 0 };
        scan.skip_spaces();
        let tags = if scan.skip(b'@') { Tags::parse(scan.word()) } else { Tags::new() };
        scan.skip_spaces();
        let source = scan.skip(b':').then(|| Source::parse(&String::from_utf8_lossy(scan.word())));
        scan.skip_spaces();
        let command = scan.word();
        if command.is_empty() {
            return None;
        }
        let command = String::from_utf8_lossy(command).to_ascii_uppercase().into();
        let mut params = Vec::new();
        while let Some((start, end)) = scan.param(params.len() + 1 == limits::PARAMS) {
            params.push(clean.slice(start..end));
        }
        Some(Self { tags, source: source.filter(|source| !source.is_empty()), command, params })
    }

    /// A parameter as it came; empty where it is absent.
    pub fn bytes(&self, index: usize) -> &[u8] {
        self.params.get(index).map_or(b"", |param| param)
    }

    /// A parameter as text ([`decode`]); empty where it is absent.
    pub fn text(&self, index: usize) -> Cow<'_, str> {
        decode(self.bytes(index))
    }

    /// The last parameter as it came; empty where there is none.
    pub fn bytes_last(&self) -> &[u8] {
        self.bytes(self.params.len().saturating_sub(1))
    }

    /// The last parameter as text.
    pub fn last(&self) -> Cow<'_, str> {
        self.text(self.params.len().saturating_sub(1))
    }

    /// The numeric, if it is one.
    pub fn numeric(&self) -> Option<Numeric> {
        Numeric::parse(&self.command)
    }

    /// The nick of the sender, or the server's name; empty if the message names none.
    pub fn nick(&self) -> &str {
        self.source.as_ref().map_or("", Source::nick)
    }

    /// The same message as a line to send.
    ///
    /// # Errors
    /// If it is no message: a parameter other than the last is empty, has a space or begins with a colon, or
    /// anything in it would end the line.
    pub fn to_line(&self) -> Result<Line, BadParameter> {
        line::from_message(self)
    }
}

/// Text from the network, which need not be UTF-8.
///
/// What is not UTF-8 is read as Windows-1252, which old clients write; only a character that was cut in two at the
/// end of a line, as servers do, is replaced.
pub fn decode(text: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(text) {
        Ok(text) => Cow::Borrowed(text),
        Err(error) if error.error_len().is_none() => String::from_utf8_lossy(text),
        Err(_) => Cow::Owned(text.iter().map(|byte| windows_1252(*byte)).collect()),
    }
}

fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// A place in a line.
struct Scan<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn skip(&mut self, byte: u8) -> bool {
        let found = self.line.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn skip_spaces(&mut self) {
        while self.skip(b' ') {}
    }

    fn word(&mut self) -> &'a [u8] {
        let rest = &self.line[self.at..];
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Where the next parameter begins and ends. The last takes all that is left.
    fn param(&mut self, last: bool) -> Option<(usize, usize)> {
        self.skip_spaces();
        if self.at >= self.line.len() {
            return None;
        }
        if self.skip(b':') || last {
            let start = self.at;
            self.at = self.line.len();
            return Some((start, self.at));
        }
        let start = self.at;
        self.word();
        Some((start, self.at))
    }
}

/// Writes the line without its end, for logs and errors; what is not UTF-8 is replaced. Not for sending.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, ":{source} ")?;
        }
        f.write_str(&self.command)?;
        for (index, param) in self.params.iter().enumerate() {
            let colon = if index + 1 == self.params.len() { ":" } else { "" };
            write!(f, " {colon}{}", String::from_utf8_lossy(param))?;
        }
        Ok(())
    }
}
