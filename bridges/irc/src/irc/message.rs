//! Lines of the protocol (RFC 2812, section 2.3.1, with [message tags]). Bytes throughout: a text need not be UTF-8.
//!
//! [message tags]: https://ircv3.net/specs/extensions/message-tags

use std::borrow::Cow;

/// A line from the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The tags in their order, unescaped.
    pub tags: Vec<(String, String)>,
    /// Who sent it.
    pub source: Option<Source>,
    /// The command in upper case, or the numeric.
    pub command: String,
    /// The parameters.
    pub params: Vec<Vec<u8>>,
}

/// Who sent a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// A nick, or the name of a server.
    pub nick: String,
    /// `user@host`, if a user sent it.
    pub userhost: Option<String>,
}

impl Message {
    /// Reads a line, with or without its end. `None` if there is no command in it.
    pub fn parse(line: &[u8]) -> Option<Self> {
        let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        let mut rest = trim_start(&line[..end]);
        let mut message = Self::default();
        if let Some(tagged) = rest.strip_prefix(b"@") {
            let (tags, after) = word(tagged);
            message.tags = parse_tags(&String::from_utf8_lossy(tags));
            rest = after;
        }
        if let Some(sourced) = rest.strip_prefix(b":") {
            let (source, after) = word(sourced);
            message.source = Some(Source::parse(&String::from_utf8_lossy(source)));
            rest = after;
        }
        let (command, mut rest) = word(rest);
        if command.is_empty() {
            return None;
        }
        message.command = String::from_utf8_lossy(command).to_ascii_uppercase();
        while !rest.is_empty() {
            if let Some(trailing) = rest.strip_prefix(b":") {
                message.params.push(trailing.to_vec());
                break;
            }
            let (param, after) = word(rest);
            message.params.push(param.to_vec());
            rest = after;
        }
        Some(message)
    }

    /// A parameter as text; empty where it is absent.
    pub fn text(&self, index: usize) -> Cow<'_, str> {
        self.params.get(index).map_or(Cow::Borrowed(""), |param| String::from_utf8_lossy(param))
    }

    /// The last parameter as text.
    pub fn last(&self) -> Cow<'_, str> {
        self.text(self.params.len().saturating_sub(1))
    }

    /// The value of a tag.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().rev().find(|(tag, _)| tag == name).map(|(_, value)| value.as_str())
    }
}

impl Source {
    fn parse(text: &str) -> Self {
        match text.split_once('!') {
            Some((nick, userhost)) => Self { nick: nick.to_owned(), userhost: Some(userhost.to_owned()) },
            // Some networks leave the user out: `nick@host`.
            None => match text.split_once('@') {
                Some((nick, host)) => Self { nick: nick.to_owned(), userhost: Some(host.to_owned()) },
                None => Self { nick: text.to_owned(), userhost: None },
            },
        }
    }
}

/// What stands before the next blank, and what stands after the blanks.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    (&text[..end], trim_start(&text[end..]))
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| *byte != b' ').unwrap_or(text.len());
    &text[start..]
}

fn parse_tags(tags: &str) -> Vec<(String, String)> {
    let parse = |tag: &str| {
        let (name, value) = tag.split_once('=').unwrap_or((tag, ""));
        (name.to_owned(), unescape(value))
    };
    tags.split(';').filter(|tag| !tag.is_empty()).map(parse).collect()
}

/// A tag's value as it was meant ([escaping]).
///
/// [escaping]: https://ircv3.net/specs/extensions/message-tags#escaping-values
fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some(':') => plain.push(';'),
            Some('s') => plain.push(' '),
            Some('r') => plain.push('\r'),
            Some('n') => plain.push('\n'),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let message = Message::parse(b"@time=x;msgid=a\\:b\\s;+f :bob!u@h PRIVMSG #c  :: hi  there\r\n")
            .expect("a line");
        assert_eq!(message.tag("msgid"), Some("a;b "));
        assert_eq!(message.tag("+f"), Some(""));
        let source = message.source.expect("sent by bob");
        assert_eq!((source.nick.as_str(), source.userhost.as_deref()), ("bob", Some("u@h")));
        assert_eq!(message.command, "PRIVMSG");
        assert_eq!(message.params, [b"#c".to_vec(), b": hi  there".to_vec()]);
    }

    #[test]
    fn a_colon_before_the_last_word_never_has_a_meaning() {
        for line in [&b":a JOIN #c"[..], b":a JOIN :#c", b":a  join  #c\n"] {
            let message = Message::parse(line).expect("a line");
            assert_eq!((message.command.as_str(), &*message.text(0)), ("JOIN", "#c"));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        let message = Message::parse(b"PRIVMSG #c :caf\xe9").expect("a line");
        assert_eq!(message.params[1], b"caf\xe9");
    }

    #[test]
    fn lines_without_a_command_are_none() {
        for line in [&b""[..], b"\r\n", b"   ", b"@tag", b":source", b"@tag :source ", b"@ "] {
            assert_eq!(Message::parse(line), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_does_harm(line in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(message) = Message::parse(&line) {
                prop_assert!(!message.command.is_empty());
            }
        }
    }
}
