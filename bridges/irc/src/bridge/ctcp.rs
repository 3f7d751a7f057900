//! Requests between programs, wrapped in `\x01` ([CTCP]).
//!
//! [CTCP]: https://modern.ircdocs.horse/ctcp

/// The command and its words, if a text is such a request. The closing mark may be missing: servers cut long lines.
pub(crate) fn parse(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"\x01")?;
    let inner = inner.strip_suffix(b"\x01").unwrap_or(inner);
    let end = inner.iter().position(|byte| *byte == b' ').unwrap_or(inner.len());
    Some((&inner[..end], inner.get(end + 1..).unwrap_or_default()))
}

/// What the bridge answers to a request, without the marks. `None` if the text asks for nothing it answers.
pub(crate) fn answer(text: &[u8]) -> Option<Vec<u8>> {
    let (command, words) = parse(text)?;
    match command {
        b"VERSION" => Some(concat!("VERSION matrix-irc-bridge ", env!("CARGO_PKG_VERSION")).into()),
        b"PING" => {
            let words = &words[..words.len().min(64)];
            Some([b"PING ", words].concat())
        }
        b"CLIENTINFO" => Some(b"CLIENTINFO ACTION CLIENTINFO PING VERSION".to_vec()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_taken_apart_even_if_they_were_cut() {
        for (text, parsed) in [
            (&b"\x01ACTION waves\x01"[..], Some((&b"ACTION"[..], &b"waves"[..]))),
            (b"\x01ACTION waves", Some((b"ACTION", b"waves"))),
            (b"\x01VERSION\x01", Some((b"VERSION", b""))),
            (b"\x01\x01", Some((b"", b""))),
            (b"hello", None),
            (b"", None),
        ] {
            assert_eq!(parse(text), parsed, "{text:?}");
        }
    }

    #[test]
    fn only_harmless_requests_are_answered() {
        assert_eq!(answer(b"\x01PING 42\x01"), Some(b"PING 42".to_vec()));
        assert!(answer(b"\x01VERSION\x01").is_some());
        assert_eq!(answer(b"\x01DCC SEND x\x01"), None);
        assert_eq!(answer(b"hello"), None);
    }
}
