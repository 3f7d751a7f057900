//! One line as a client receives it.

use std::time::Instant;

/// A received line, taken apart ([RFC 1459, section 2.3.1](https://www.rfc-editor.org/rfc/rfc1459#section-2.3.1),
/// [message tags](https://ircv3.net/specs/extensions/message-tags)).
#[derive(Debug, Clone)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    /// The whole line without its end, broken UTF-8 replaced.
    pub raw: String,
    /// What stands between `@` and the first space.
    pub tags: String,
    /// The nick or the server that it comes from.
    pub nick: String,
    /// The command or the three digits.
    pub command: String,
    /// The parameters, the last one without its colon.
    pub parameters: Vec<String>,
}

impl Line {
    /// Takes a line apart. Nothing is refused: what is missing is empty.
    pub fn parse(bytes: &[u8]) -> Self {
        let raw = String::from_utf8_lossy(bytes).trim_end_matches(['\r', '\n']).to_owned();
        let (tags, rest) = leading('@', &raw);
        let (prefix, rest) = leading(':', rest);
        let (middle, trailing) = match rest.split_once(" :") {
            Some((middle, trailing)) => (middle, Some(trailing)),
            None => (rest, None),
        };
        let mut words = middle.split_whitespace().map(str::to_owned);
        let command = words.next().unwrap_or_default();
        let parameters = words.chain(trailing.map(str::to_owned)).collect();
        let nick = prefix.split('!').next().unwrap_or_default().to_owned();
        Self { at: Instant::now(), tags: tags.to_owned(), nick, command, parameters, raw: raw.clone() }
    }

    /// A parameter, empty when there is none.
    pub fn parameter(&self, index: usize) -> &str {
        self.parameters.get(index).map_or("", String::as_str)
    }

    /// The value of a tag as it was sent.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.split(';').find_map(|tag| {
            let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
            (key == name).then_some(value)
        })
    }
}

fn leading(mark: char, line: &str) -> (&str, &str) {
    match line.strip_prefix(mark) {
        Some(line) => line.split_once(' ').map_or((line, ""), |(first, rest)| (first, rest.trim_start())),
        None => ("", line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_everything_is_taken_apart() {
        let line = Line::parse(b"@time=x;msgid=7 :bob!b@host PRIVMSG #c :hello  :there\r\n");
        assert_eq!((line.nick.as_str(), line.command.as_str()), ("bob", "PRIVMSG"));
        assert_eq!(line.parameters, ["#c", "hello  :there"]);
        assert_eq!(line.tag("msgid"), Some("7"));
        assert_eq!(line.tag("label"), None);
    }

    #[test]
    fn a_line_with_nothing_is_empty() {
        let line = Line::parse(b"\r\n");
        assert_eq!((line.command.as_str(), line.parameter(0)), ("", ""));
    }
}
