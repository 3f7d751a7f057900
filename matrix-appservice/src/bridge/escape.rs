//! Any string as part of a Matrix localpart, and back.
//!
//! Lower-case letters, digits, `-`, `.` and `/` stand for themselves, a capital letter is `_` and its small
//! form, `_` is `__`, any other byte is `=` and two hexadecimal digits: the mapping of the
//! [specification's appendix](https://spec.matrix.org/v1.19/appendices/#mapping-from-other-character-sets).

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::network_id::PortalKey;

/// `id` in the characters that a localpart may have. Different strings stay different.
pub(crate) fn localpart(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'/' => out.push(char::from(byte)),
            b'A'..=b'Z' => {
                out.push('_');
                out.push(char::from(byte.to_ascii_lowercase()));
            }
            b'_' => out.push_str("__"),
            _ => {
                let _ = write!(out, "={byte:02x}");
            }
        }
    }
    out
}

/// The string that [`localpart`] was given; `None` if it cannot have produced this.
pub(crate) fn from_localpart(escaped: &str) -> Option<String> {
    let mut bytes = escaped.bytes();
    let mut out = Vec::with_capacity(escaped.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'/' => byte,
            b'_' => match bytes.next()? {
                b'_' => b'_',
                letter @ b'a'..=b'z' => letter.to_ascii_uppercase(),
                _ => return None,
            },
            b'=' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            _ => return None,
        });
    }
    let id = String::from_utf8(out).ok()?;
    // One string has one escaped form: `=61` is no other way to write `a`.
    (localpart(&id) == escaped).then_some(id)
}

/// The alias of a portal that names nobody in it unless the chat is public.
pub(crate) fn portal_alias(prefix: &str, portal: &PortalKey) -> String {
    match &portal.receiver {
        None => format!("{prefix}{}", localpart(portal.id.as_str())),
        Some(receiver) => {
            let mut digest = Sha256::new();
            digest.update(portal.id.as_str());
            digest.update([0]);
            digest.update(receiver.as_str());
            format!("{prefix}=private={}", hex(&digest.finalize()[..16]))
        }
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{from_localpart, localpart, portal_alias};
    use crate::network_id::PortalKey;

    #[test]
    fn names_become_the_localparts_that_the_specification_suggests() {
        for (id, expected) in [
            ("bob", "bob"),
            ("Bob", "_bob"),
            ("a_b", "a__b"),
            ("libera/#rust", "libera/=23rust"),
            ("é", "=c3=a9"),
            ("", ""),
        ] {
            assert_eq!(localpart(id), expected, "{id:?}");
            assert_eq!(from_localpart(expected).as_deref(), Some(id));
        }
    }

    #[test]
    fn what_no_name_can_have_produced_is_refused() {
        for escaped in ["A", "=6", "=zz", "=61", "=FF", "_", "_1", "=ff", "a b"] {
            assert_eq!(from_localpart(escaped), None, "{escaped:?}");
        }
    }

    #[test]
    fn the_alias_of_a_private_chat_names_nobody_and_is_its_own() {
        let one = portal_alias("irc_", &PortalKey::private("libera/bob", "libera/alice"));
        let other = portal_alias("irc_", &PortalKey::private("libera/bob", "libera/carol"));
        assert!(one.starts_with("irc_") && !one.contains("bob") && !one.contains("alice"));
        assert_ne!(one, other);
        assert_eq!(portal_alias("irc_", &PortalKey::shared("#a")), "irc_=23a");
    }

    proptest! {
        #[test]
        fn every_string_comes_back(id in ".*") {
            let escaped = localpart(&id);
            prop_assert!(escaped.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-./_=".contains(&b)));
            prop_assert_eq!(from_localpart(&escaped), Some(id));
        }
    }
}
