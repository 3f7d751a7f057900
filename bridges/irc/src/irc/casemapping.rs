//! How a network compares names: `ISUPPORT CASEMAPPING`.

/// The equivalence that a network applies to nicks and channel names ([ISUPPORT]).
///
/// Two names are the same exactly when their folded forms are equal. Only ASCII is folded: a
/// network compares bytes, not letters.
///
/// [ISUPPORT]: https://modern.ircdocs.horse/#casemapping-parameter
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaseMapping {
    /// Letters only.
    Ascii,
    /// Also `[]\~` as capitals of `{}|^`. The default until the server says otherwise.
    #[default]
    Rfc1459,
    /// Also `[]\` as capitals of `{}|`, but not `~` of `^`.
    StrictRfc1459,
}

impl CaseMapping {
    /// The mapping with this name. Unknown ones compare letters only, which never takes two users for one.
    pub fn named(name: &str) -> Self {
        match name {
            "rfc1459" => Self::Rfc1459,
            "rfc1459-strict" | "strict-rfc1459" => Self::StrictRfc1459,
            _ => Self::Ascii,
        }
    }

    /// The form to compare and to key maps by; keep the original for display.
    pub fn fold(self, name: &str) -> String {
        name.chars().map(|c| self.fold_char(c)).collect()
    }

    fn fold_char(self, c: char) -> char {
        match c {
            '[' if self != Self::Ascii => '{',
            ']' if self != Self::Ascii => '}',
            '\\' if self != Self::Ascii => '|',
            '~' if self == Self::Rfc1459 => '^',
            c => c.to_ascii_lowercase(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::CaseMapping::{Ascii, Rfc1459, StrictRfc1459};
    use super::*;

    #[test]
    fn nicks_that_differ_only_in_brackets_are_one_nick_under_rfc1459() {
        for (mapping, name, folded) in [
            (Rfc1459, "Bob[]\\~", "bob{}|^"),
            (StrictRfc1459, "Bob[]\\~", "bob{}|~"),
            (Ascii, "Bob[]\\~", "bob[]\\~"),
            (Rfc1459, "ÄÖ", "ÄÖ"),
        ] {
            assert_eq!(mapping.fold(name), folded, "{mapping:?} {name}");
        }
        assert_eq!(CaseMapping::named("rfc7613"), Ascii);
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(name in ".*") {
            for mapping in [Ascii, Rfc1459, StrictRfc1459] {
                let once = mapping.fold(&name);
                prop_assert_eq!(mapping.fold(&once), once);
            }
        }
    }
}
