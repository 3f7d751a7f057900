//! A line from the network, as the bridge reads it.

use std::borrow::Cow;

use ruma::{MilliSecondsSinceUnixEpoch, UInt};

/// A line from the network. Bytes where people write, text where the protocol speaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Who sent it; a server's name if a server did.
    pub(crate) nick: String,
    /// `user@host` of who sent it; `None` if a server did.
    pub(crate) userhost: Option<String>,
    /// The command in upper case, or the numeric.
    pub(crate) command: String,
    pub(crate) params: Vec<Vec<u8>>,
    /// The label of what this answers.
    pub(crate) label: Option<String>,
    /// What the network calls the message.
    pub(crate) msgid: Option<String>,
    /// `+typing`
    pub(crate) typing: Option<String>,
    /// When the network says it happened.
    pub(crate) time: Option<MilliSecondsSinceUnixEpoch>,
}

impl Seen {
    /// A parameter as text; empty where it is absent.
    pub(crate) fn text(&self, index: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes(index))
    }

    /// A parameter as it came; empty where it is absent.
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        self.params.get(index).map_or(b"", Vec::as_slice)
    }

    /// The last parameter as text.
    pub(crate) fn last(&self) -> Cow<'_, str> {
        self.text(self.params.len().saturating_sub(1))
    }

    /// The numeric, if it is one.
    pub(crate) fn numeric(&self) -> Option<u16> {
        (self.command.len() == 3).then(|| self.command.parse().ok()).flatten()
    }

    /// The time of the line: the network's, else now.
    pub(crate) fn at(&self) -> MilliSecondsSinceUnixEpoch {
        self.time.unwrap_or_else(MilliSecondsSinceUnixEpoch::now)
    }
}

/// Reads a time as `server-time` writes it: `2015-01-16T14:01:23.133Z` ([specification]).
///
/// [specification]: https://ircv3.net/specs/extensions/server-time
pub(crate) fn parse_time(text: &str) -> Option<MilliSecondsSinceUnixEpoch> {
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
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !plausible {
        return None;
    }
    let millis: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    // Days since 1970-01-01 in the proleptic Gregorian calendar, by years that begin in March.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 719_469;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    UInt::new(seconds * 1000 + millis).map(MilliSecondsSinceUnixEpoch)
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
    use super::*;

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
            ("", None),
        ] {
            let read = parse_time(text).map(|time| u64::from(time.0));
            assert_eq!(read, millis, "{text}");
        }
    }
}
