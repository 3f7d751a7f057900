//! Lines short enough for IRC.

use super::code;

/// The lines of a text, each at most `budget` bytes, cut at blanks where there are any, never within a character.
///
/// Empty lines are left out: networks refuse them. Formatting that is on at a cut is on in the next piece as well.
pub fn split(text: &str, budget: usize) -> Vec<String> {
    // Room for the codes that a piece begins with, and for one character.
    let budget = budget.max(32);
    let mut lines = Vec::new();
    for line in text.split('\n').map(str::trim_end).filter(|line| has_words(line)) {
        pieces(line, budget, &mut lines);
    }
    lines
}

/// Whether anything can be seen of a line.
fn has_words(line: &str) -> bool {
    line.chars().any(|c| !c.is_whitespace() && !c.is_control())
}

fn pieces(line: &str, budget: usize, lines: &mut Vec<String>) {
    let mut open = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let room = budget - open.len();
        let (piece, after) = if rest.len() <= room { (rest, "") } else { cut(rest, room) };
        let said = format!("{open}{piece}");
        open = still_open(&said);
        if has_words(&said) {
            lines.push(said);
        }
        rest = after;
    }
}

/// Cuts a text that is too long: after the last blank that fits if it is not too near the beginning.
fn cut(text: &str, room: usize) -> (&str, &str) {
    let end = text.floor_char_boundary(room);
    let head = &text[..end];
    match head.rfind(' ').filter(|blank| *blank > room / 2) {
        Some(blank) => (&text[..blank], &text[blank + 1..]),
        // A character longer than the room cannot be: there are at least 16 bytes.
        None => text.split_at(end),
    }
}

/// The codes that switch on what is on at the end of a piece. Colours are not carried on.
fn still_open(piece: &str) -> String {
    let toggles = [code::BOLD, code::ITALIC, code::UNDERLINE, code::STRIKE, code::MONOSPACE];
    let since = piece.rfind(code::RESET).map_or(piece, |reset| &piece[reset..]);
    toggles.into_iter().filter(|toggle| since.matches(*toggle).count() % 2 == 1).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_is_cut_at_line_breaks_and_blanks() {
        assert_eq!(split("one\n\n  \ntwo ", 100), ["one", "two"]);
        let words = "word ".repeat(20);
        for line in split(&words, 40) {
            assert!(line.len() <= 40 && line.ends_with("word"), "{line:?}");
        }
        assert!(split("", 100).is_empty());
        assert!(split("\x02\x02\n\x0f", 100).is_empty());
    }

    #[test]
    fn formatting_goes_on_after_a_cut() {
        let text = format!("\x02{} end\x02 plain", "x".repeat(30));
        let lines = split(&text, 32);
        assert!(lines[1].starts_with('\x02'), "{lines:?}");
        assert!(lines.len() == 2 && lines[1].ends_with(" plain"), "{lines:?}");
    }

    proptest! {
        #[test]
        fn every_piece_fits_and_no_character_is_lost(text in "[a-zé€😀 ]{0,300}", budget in 32_usize..80) {
            let lines = split(&text, budget);
            prop_assert!(lines.iter().all(|line| line.len() <= budget));
            let kept: String = lines.concat().chars().filter(|c| *c != ' ').collect();
            let all: String = text.chars().filter(|c| *c != ' ').collect();
            prop_assert_eq!(kept, all);
        }
    }
}
