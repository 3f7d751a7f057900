//! Channel modes: which of them take an argument, and who has which rank.

use super::isupport::Isupport;

/// One mode that was set or unset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeChange {
    /// Whether it was set.
    pub add: bool,
    /// The letter.
    pub mode: char,
    /// Its argument: a nick for a rank, a mask for a list, a value. `None` where it takes none or it is missing.
    pub argument: Option<String>,
}

/// How a channel mode treats its argument (`ISUPPORT CHANMODES` and `PREFIX`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModeKind {
    /// A list, such as bans: the argument is the entry; without one it asks for the list.
    List,
    /// Always with an argument, such as the key.
    Always,
    /// With an argument when it is set, such as the limit.
    WhenSet,
    /// Never with an argument.
    Flag,
    /// A rank of the member that the argument names.
    Rank,
}

/// Takes the parameters of a `MODE` after the channel apart: `+ov-k alice bob secret`.
///
/// Which letters take an argument is what the server said; a wrong guess would make an operator of the wrong one.
/// Letters that the server did not mention take none.
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
                let takes = match isupport.mode_kind(mode) {
                    ModeKind::List | ModeKind::Always | ModeKind::Rank => true,
                    ModeKind::WhenSet => add,
                    ModeKind::Flag => false,
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
    use proptest::prelude::*;

    use super::parse_channel_modes;
    use crate::irc::isupport::Isupport;

    fn read(isupport: &str, words: &str) -> String {
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        let changes = parse_channel_modes(&Isupport::parse(isupport), &words);
        let show = |change: super::ModeChange| {
            let sign = if change.add { '+' } else { '-' };
            format!("{sign}{}{}", change.mode, change.argument.map(|a| format!("={a}")).unwrap_or_default())
        };
        changes.into_iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn arguments_go_to_the_letters_that_take_them() {
        let isupport = "PREFIX=(qaohv)~&@%+ CHANMODES=beI,k,lH,imnt";
        for (words, expected) in [
            ("+o alice", "+o=alice"),
            ("+ov-o alice bob carol", "+o=alice +v=bob -o=carol"),
            ("+nltk 5 key", "+n +l=5 +t +k=key"),
            ("-lk key", "-l -k=key"),
            ("+b", "+b"),
            ("+bo *!*@x alice", "+b=*!*@x +o=alice"),
            ("+Zo alice", "+Z +o=alice"),
            ("o alice", "+o=alice"),
            ("+H 20:1h", "+H=20:1h"),
            ("+oo alice", "+o=alice +o"),
            ("+", ""),
        ] {
            assert_eq!(read(isupport, words), expected, "{words}");
        }
    }

    #[test]
    fn before_the_server_says_anything_the_usual_modes_hold() {
        assert_eq!(read("", "+ovbkl a b c d 5"), "+o=a +v=b +b=c +k=d +l=5");
        assert!(parse_channel_modes(&Isupport::default(), &[]).is_empty());
    }

    proptest! {
        #[test]
        fn no_more_arguments_are_used_than_there_are(words in proptest::collection::vec(".{0,8}", 0..6)) {
            let changes = parse_channel_modes(&Isupport::default(), &words);
            let used = changes.iter().filter(|change| change.argument.is_some()).count();
            prop_assert!(used <= words.len().saturating_sub(1));
        }
    }
}
