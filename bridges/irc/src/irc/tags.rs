//! Message tags: what stands before a line, between `@` and a space.

use std::fmt;

use super::limits;

/// The tags of a message, in their order ([message-tags](https://ircv3.net/specs/extensions/message-tags)).
///
/// A tag without value and a tag with an empty value are the same. Of a tag that stands twice the last counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(Vec<(Box<str>, Box<str>)>);

impl Tags {
    /// No tags.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads what stands between `@` and the space. What is not UTF-8 is replaced.
    pub fn parse(section: &[u8]) -> Self {
        let mut tags = Self::default();
        for tag in section.split(|byte| *byte == b';').filter(|tag| !tag.is_empty()) {
            let (key, value) = match tag.iter().position(|byte| *byte == b'=') {
                Some(at) => (&tag[..at], &tag[at + 1..]),
                None => (tag, &tag[..0]),
            };
            if !key.is_empty() {
                let key = String::from_utf8_lossy(key);
                tags.put(&key, &unescape(&String::from_utf8_lossy(value)));
            }
        }
        tags
    }

    /// The value of a tag; empty if it has none.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| &**known == key).map(|(_, value)| &**value)
    }

    /// Sets a tag. `false`, and nothing is set, if the key cannot be one.
    pub fn insert(&mut self, key: &str, value: &str) -> bool {
        let valid = is_key(key);
        if valid {
            self.put(key, value);
        }
        valid
    }

    fn put(&mut self, key: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| &**known == key) {
            Some((_, old)) => *old = value.into(),
            None => self.0.push((key.into(), value.into())),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// What the network calls the message ([msgid](https://ircv3.net/specs/extensions/message-ids)).
    pub fn msgid(&self) -> Option<&str> {
        self.get("msgid").filter(|id| !id.is_empty())
    }

    /// The label of the request that this answers
    /// ([labeled-response](https://ircv3.net/specs/extensions/labeled-response)).
    pub fn label(&self) -> Option<&str> {
        self.get("label").filter(|label| !label.is_empty())
    }

    /// The batch that this belongs to ([batch](https://ircv3.net/specs/extensions/batch)).
    pub fn batch(&self) -> Option<&str> {
        self.get("batch").filter(|batch| !batch.is_empty())
    }

    /// The sender's account ([account-tag](https://ircv3.net/specs/extensions/account-tag)).
    pub fn account(&self) -> Option<&str> {
        self.get("account").filter(|account| !account.is_empty())
    }

    /// When the network says it happened, in milliseconds since 1970
    /// ([server-time](https://ircv3.net/specs/extensions/server-time)).
    pub fn time(&self) -> Option<u64> {
        parse_time(self.get("time")?)
    }

    /// Whether they fit into what a client may send.
    pub fn fit(&self) -> bool {
        self.is_empty() || self.to_string().len() + "@ ".len() <= limits::TAGS_SENT
    }
}

/// Writes what stands between `@` and the space.
impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, value)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            f.write_str(key)?;
            if !value.is_empty() {
                write!(f, "={}", escape(value))?;
            }
        }
        Ok(())
    }
}

/// `+vendor.example/key-name`
fn is_key(key: &str) -> bool {
    let key = key.strip_prefix('+').unwrap_or(key);
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    !name.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'/'))
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            ';' => out.push_str("\\:"),
            ' ' => out.push_str("\\s"),
            '\\' => out.push_str("\\\\"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            '\0' => {}
            c => out.push(c),
        }
    }
    out
}

/// An unknown escape is the character itself; a lone backslash at the end is nothing.
fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(':') => out.push(';'),
            Some('s') => out.push(' '),
            Some('r') => out.push('\r'),
            Some('n') => out.push('\n'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

/// Reads `2015-01-16T14:01:23.133Z`.
fn parse_time(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-')?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(clock, ':')?;
    let plausible = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !plausible {
        return None;
    }
    let millis: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    // Days since 1970-01-01 in the proleptic Gregorian calendar, by years that begin in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000 + millis)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let numbers: Option<Vec<u64>> = text
        .split(separator)
        .map(|word| word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok()).flatten())
        .collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Tags, escape, parse_time, unescape};

    #[test]
    fn sections_are_read_as_the_specification_says() {
        for (section, expected) in [
            ("a=b", &[("a", "b")][..]),
            ("a=;b;c=", &[("a", ""), ("b", ""), ("c", "")]),
            ("a=1;a=2", &[("a", "2")]),
            ("+draft/reply=x;a=\\:\\s\\\\\\r\\n", &[("+draft/reply", "x"), ("a", "; \\\r\n")]),
            ("a=\\b\\", &[("a", "b")]),
            ("a=b=c", &[("a", "b=c")]),
            (";;a;;", &[("a", "")]),
            ("=x;a", &[("a", "")]),
            ("", &[]),
        ] {
            let tags = Tags::parse(section.as_bytes());
            assert_eq!(tags.iter().collect::<Vec<_>>(), expected, "{section}");
        }
    }

    #[test]
    fn broken_utf8_in_a_value_is_replaced() {
        assert_eq!(Tags::parse(b"a=\xff").get("a"), Some("\u{fffd}"));
    }

    #[test]
    fn a_key_that_would_end_the_section_is_refused() {
        let mut tags = Tags::new();
        for key in ["", "a b", "a;b", "a=b", "+", "a/", "ü", "a\nb"] {
            assert!(!tags.insert(key, "x"), "{key:?}");
        }
        assert!(tags.insert("+example.org/a-b", "x y"));
        assert_eq!(tags.to_string(), "+example.org/a-b=x\\sy");
        assert!(tags.fit());
        assert!(tags.insert("big", &"x".repeat(4096)) && !tags.fit());
    }

    #[test]
    fn times_are_read_as_server_time_writes_them() {
        for (text, millis) in [
            ("1970-01-01T00:00:00.000Z", Some(0_u64)),
            ("2015-01-16T14:01:23.133Z", Some(1_421_416_883_133)),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000)),
            ("2000-02-29T00:00:00.5Z", Some(951_782_400_500)),
            ("2024-12-31T23:59:60.1234Z", Some(1_735_689_600_123)),
            ("2015-01-16T14:01:23.133", None),
            ("2015-13-16T14:01:23.133Z", None),
            ("1969-01-01T00:00:00Z", None),
            ("+015-01-16T14:01:23Z", None),
            ("2015-01-16T14:01:23.éZ", None),
            ("2015-01-16T14:01:23.Z", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text), millis, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_value_without_nul_comes_back(value in "[^\0]*") {
            let escaped = escape(&value);
            prop_assert!(!escaped.contains([' ', ';', '\r', '\n']));
            prop_assert_eq!(unescape(&escaped), value);
        }

        #[test]
        fn no_section_is_too_strange(section in proptest::collection::vec(any::<u8>(), 0..200)) {
            let tags = Tags::parse(&section);
            prop_assert!(tags.time().is_none_or(|time| time > 0 || tags.get("time").is_some()));
        }
    }
}
