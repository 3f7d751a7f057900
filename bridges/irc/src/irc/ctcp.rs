//! Messages between programs: text between two `\x01`
//! ([CTCP](https://modern.ircdocs.horse/ctcp)).

const MARK: u8 = 0x01;

/// A request (in a `PRIVMSG`) or an answer (in a `NOTICE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ctcp<'a> {
    /// `ACTION`, `VERSION`, `PING`, as it was written. Compare with [`is`](Self::is).
    pub command: &'a str,
    /// What follows the space after the command.
    pub text: &'a [u8],
}

impl<'a> Ctcp<'a> {
    /// Reads a message's text. `None` if it is text for people. The `\x01` at the end may be missing, because
    /// servers cut.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let inner = text.strip_prefix(&[MARK])?;
        let inner = inner.strip_suffix(&[MARK]).unwrap_or(inner);
        let end = inner.iter().position(|byte| *byte == b' ').unwrap_or(inner.len());
        let command = std::str::from_utf8(&inner[..end]).ok().filter(|command| !command.is_empty())?;
        Some(Self { command, text: inner.get(end + 1..).unwrap_or_default() })
    }

    /// Whether it is this command, in whatever case it was written.
    pub fn is(&self, command: &str) -> bool {
        self.command.eq_ignore_ascii_case(command)
    }

    /// The message's text. Marks within it are left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![MARK];
        out.extend(self.command.bytes().filter(|byte| *byte > b' '));
        if !self.text.is_empty() {
            out.push(b' ');
            out.extend(self.text.iter().filter(|byte| !matches!(**byte, MARK | b'\r' | b'\n' | 0)));
        }
        out.push(MARK);
        out
    }
}

/// How many bytes an `ACTION` adds to its text.
pub const ACTION_FRAME: usize = b"\x01ACTION \x01".len();

/// What somebody does, as a message's text: `/me waves`.
pub fn action(text: &[u8]) -> Vec<u8> {
    Ctcp { command: "ACTION", text }.encode()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ACTION_FRAME, Ctcp, action};

    #[test]
    fn requests_are_told_from_text() {
        for (text, expected) in [
            (&b"\x01ACTION waves\x01"[..], Some(("ACTION", &b"waves"[..]))),
            (b"\x01action waves", Some(("action", b"waves"))),
            (b"\x01VERSION\x01", Some(("VERSION", b""))),
            (b"\x01PING 1 2\x01", Some(("PING", b"1 2"))),
            (b"\x01ACTION  two\x01", Some(("ACTION", b" two"))),
            (b"\x01\x01", None),
            (b"\x01 x\x01", None),
            (b"\x01\xff x\x01", None),
            (b"hello \x01ACTION\x01", None),
            (b"", None),
        ] {
            let found = Ctcp::parse(text).map(|ctcp| (ctcp.command, ctcp.text));
            assert_eq!(found, expected, "{text:?}");
        }
        assert!(Ctcp::parse(b"\x01action x\x01").expect("a request").is("ACTION"));
    }

    #[test]
    fn an_action_is_framed_and_cannot_end_early() {
        assert_eq!(action(b"wa\x01ves\r\nQUIT"), b"\x01ACTION wavesQUIT\x01");
        assert_eq!(action(b"x").len(), ACTION_FRAME + 1);
    }

    proptest! {
        #[test]
        fn a_request_comes_back(command in "[A-Z]{1,8}", text in "[^\x01\r\n\0]{0,40}") {
            let ctcp = Ctcp { command: &command, text: text.as_bytes() };
            let encoded = ctcp.encode();
            prop_assert_eq!(Ctcp::parse(&encoded), Some(ctcp));
        }
    }
}
