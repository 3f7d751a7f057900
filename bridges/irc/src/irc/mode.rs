//! Changes of channel modes, taken apart (RFC 2812, section 3.2.3).

use super::isupport::Isupport;

/// One mode that is set or taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeChange {
    /// Set, or taken.
    pub add: bool,
    /// The letter.
    pub mode: char,
    /// What it is set to, or whose rank it is.
    pub argument: Option<String>,
}

/// Takes a change apart: `["+ov-k", "alice", "bob", "key"]`.
///
/// Which letters take an argument is what the network said; guessing it wrong would give a rank to the wrong nick.
pub fn parse_channel_modes(isupport: &Isupport, words: &[String]) -> Vec<ModeChange> {
    let Some((letters, arguments)) = words.split_first() else { return Vec::new() };
    let mut arguments = arguments.iter();
    let mut add = true;
    let mut changes = Vec::new();
    for mode in letters.chars() {
        match mode {
            '+' => add = true,
            '-' => add = false,
            mode => {
                let takes = isupport.is_rank(mode)
                    || match isupport.mode_kind(mode) {
                        0 | 1 => true,
                        2 => add,
                        _ => false,
                    };
                let argument = if takes { arguments.next().cloned() } else { None };
                changes.push(ModeChange { add, mode, argument });
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Vec<(bool, char, Option<String>)> {
        let isupport = Isupport::parse("PREFIX=(ov)@+ CHANMODES=b,k,l,imnst");
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let changes = parse_channel_modes(&isupport, &words);
        changes.into_iter().map(|change| (change.add, change.mode, change.argument)).collect()
    }

    #[test]
    fn every_letter_gets_its_own_argument() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            parse("+ml-k+ov 5 key alice bob"),
            [
                (true, 'm', None),
                (true, 'l', some("5")),
                (false, 'k', some("key")),
                (true, 'o', some("alice")),
                (true, 'v', some("bob"))
            ]
        );
        assert_eq!(parse("-l+b x!*@*"), [(false, 'l', None), (true, 'b', some("x!*@*"))]);
        assert_eq!(parse("+o"), [(true, 'o', None)]);
        assert_eq!(parse(""), []);
    }
}
