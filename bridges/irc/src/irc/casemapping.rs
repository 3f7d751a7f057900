//! How a network compares names: `ISUPPORT CASEMAPPING`.

/// The equivalence that a network applies to nicks and channel names ([ISUPPORT]).
///
/// Two names are the same exactly when their folded forms are equal. Only ASCII is folded, also under mappings
/// that are called after Unicode: a wrong guess about letters would merge two people into one.
///
/// [ISUPPORT]: https://modern.ircdocs.horse/#casemapping-parameter
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CaseMapping {
    /// `A` to `Z` are capitals of `a` to `z`.
    Ascii,
    /// Also `[]\~` as capitals of `{}|^`. The default until the server says otherwise.
    #[default]
    Rfc1459,
    /// Also `[]\` as capitals of `{}|`, but `~` and `^` are two.
    Rfc1459Strict,
}

impl CaseMapping {
    /// The mapping with this name. An unknown one folds letters only.
    pub fn from_token(value: &str) -> Self {
        match value {
            "rfc1459" => Self::Rfc1459,
            "strict-rfc1459" | "rfc1459-strict" => Self::Rfc1459Strict,
            _ => Self::Ascii,
        }
    }

    /// The name under which servers announce it.
    pub fn token(self) -> &'static str {
        match self {
            Self::Ascii => "ascii",
            Self::Rfc1459 => "rfc1459",
            Self::Rfc1459Strict => "strict-rfc1459",
        }
    }

    /// The form to compare and to key maps by; keep the original for display.
    pub fn fold(self, name: &str) -> String {
        name.chars().map(|c| self.fold_char(c)).collect()
    }

    /// Whether two names are the same.
    pub fn same(self, one: &str, other: &str) -> bool {
        one.chars().map(|c| self.fold_char(c)).eq(other.chars().map(|c| self.fold_char(c)))
    }

    fn fold_char(self, c: char) -> char {
        match (c, self) {
            ('[', Self::Rfc1459 | Self::Rfc1459Strict) => '{',
            (']', Self::Rfc1459 | Self::Rfc1459Strict) => '}',
            ('\\', Self::Rfc1459 | Self::Rfc1459Strict) => '|',
            ('~', Self::Rfc1459) => '^',
            _ => c.to_ascii_lowercase(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::CaseMapping::{self, Ascii, Rfc1459, Rfc1459Strict};

    #[test]
    fn nicks_that_differ_only_in_brackets_are_one_nick_under_rfc1459() {
        for (mapping, name, folded) in [
            (Rfc1459, "Dan[~]\\", "dan{^}|"),
            (Rfc1459Strict, "Dan[~]\\", "dan{~}|"),
            (Ascii, "Dan[~]\\", "dan[~]\\"),
            (Rfc1459, "#Ünder", "#Ünder"),
            (Rfc1459, "^", "^"),
        ] {
            assert_eq!(mapping.fold(name), folded, "{mapping:?}");
            assert!(mapping.same(name, folded));
        }
        assert!(!Ascii.same("a[", "a{"));
    }

    #[test]
    fn a_mapping_is_known_by_its_announced_name_and_a_strange_one_folds_letters() {
        for mapping in [Ascii, Rfc1459, Rfc1459Strict] {
            assert_eq!(CaseMapping::from_token(mapping.token()), mapping);
        }
        assert_eq!(CaseMapping::from_token("rfc7613"), Ascii);
    }

    proptest! {
        #[test]
        fn folding_twice_is_folding_once(name in ".*", which in 0..3_usize) {
            let mapping = [Ascii, Rfc1459, Rfc1459Strict][which];
            let once = mapping.fold(&name);
            prop_assert_eq!(mapping.fold(&once), once.clone());
            prop_assert_eq!(once.len(), name.len());
        }
    }
}
