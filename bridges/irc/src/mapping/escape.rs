//! Names in the characters that a Matrix localpart may have, and back.

use std::fmt::Write as _;

/// A name in the characters of a user's localpart: letters are small, `-` `.` `/` `_` and digits stand for
/// themselves, any other byte is `=` and two digits ([specification]).
///
/// Capital letters do not come back: the name has to be folded before, or compared without case.
///
/// [specification]: https://spec.matrix.org/v1.19/appendices/#mapping-from-other-character-sets
pub(super) fn localpart(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte.to_ascii_lowercase() {
            byte @ (b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'/' | b'_') => out.push(char::from(byte)),
            byte => {
                let _ = write!(out, "={byte:02x}");
            }
        }
    }
    out
}

/// The name that [`localpart`] was given, in small letters. `None` if it cannot have written this.
pub(super) fn from_localpart(escaped: &str) -> Option<String> {
    let mut out = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'=' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            byte => byte,
        });
    }
    let name = String::from_utf8(out).ok()?;
    // A name has one escaped form: `=61` is no other way to write `a`, and nobody is two people.
    (localpart(&name) == escaped).then_some(name)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{from_localpart, localpart};

    #[test]
    fn names_are_written_in_the_characters_of_localparts() {
        for (name, expected) in [
            ("bob", "bob"),
            ("bob_", "bob_"),
            ("a{b|", "a=7bb=7c"),
            ("`", "=60"),
            ("é", "=c3=a9"),
            ("a=b", "a=3db"),
        ] {
            assert_eq!(localpart(name), expected);
            assert_eq!(from_localpart(expected).as_deref(), Some(name));
        }
    }

    #[test]
    fn what_no_name_is_written_as_is_refused() {
        for escaped in ["=61", "=6", "=", "=zz", "=C3=A9", "Bob", "=ff", "a b"] {
            assert_eq!(from_localpart(escaped), None, "{escaped}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back_in_small_letters(name in ".*") {
            let escaped = localpart(&name);
            prop_assert!(escaped.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-./_=".contains(&b)));
            prop_assert_eq!(from_localpart(&escaped), Some(name.to_ascii_lowercase()));
        }
    }
}
