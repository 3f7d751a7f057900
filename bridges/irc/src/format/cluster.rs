//! Characters that belong together.

/// The most bytes that are kept together; whoever piles up more marks than that sees them parted.
const LONGEST: usize = 64;

/// The length in bytes of what a reader sees as the first character: a letter with its accents, a flag, a family.
///
/// An approximation of [Unicode's grapheme clusters](https://www.unicode.org/reports/tr29/) that needs no tables:
/// where it is wrong, an exotic script is parted between two lines, but never within a character.
pub(super) fn first_cluster(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    let Some((_, first)) = chars.next() else { return 0 };
    let mut end = first.len_utf8();
    let mut joined = false;
    let mut flag_open = is_regional(first);
    while let Some((at, next)) = chars.peek().copied() {
        let belongs = extends(next) || joined || (flag_open && is_regional(next));
        if !belongs || at + next.len_utf8() > LONGEST {
            break;
        }
        flag_open = false;
        joined = next == '\u{200d}';
        end = at + next.len_utf8();
        chars.next();
    }
    end
}

fn is_regional(c: char) -> bool {
    matches!(c, '\u{1f1e6}'..='\u{1f1ff}')
}

/// Whether a character adds to the one before it.
fn extends(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{93c}' | '\u{93e}'..='\u{94d}' | '\u{9be}'..='\u{9cd}' | '\u{e31}'
        | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{1160}'..='\u{11ff}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{200c}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}' | '\u{3099}' | '\u{309a}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{1f3fb}'..='\u{1f3ff}'
        | '\u{e0020}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LONGEST, first_cluster};

    #[test]
    fn what_readers_see_as_one_stays_together() {
        for (text, first) in [
            ("ab", "a"),
            ("e\u{301}x", "e\u{301}"),
            ("👩‍👩‍👧x", "👩‍👩‍👧"),
            ("👍🏽👍", "👍🏽"),
            ("🇩🇪🇫🇷", "🇩🇪"),
            ("❤️!", "❤️"),
            ("\u{301}a", "\u{301}"),
            ("", ""),
        ] {
            assert_eq!(&text[..first_cluster(text)], first, "{text}");
        }
        assert!(first_cluster(&format!("e{}", "\u{301}".repeat(500))) <= LONGEST);
    }

    proptest! {
        #[test]
        fn every_text_is_taken_apart_between_characters(text in ".*") {
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let length = first_cluster(rest);
                prop_assert!(length > 0 && rest.is_char_boundary(length));
                rest = &rest[length..];
            }
        }
    }
}
