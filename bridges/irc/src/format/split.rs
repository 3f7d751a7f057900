//! Lines that reach the others whole.

use super::cluster::first_cluster;
use super::style::Style;

/// What became of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pieces {
    /// The lines to send, each within the budget.
    pub lines: Vec<String>,
    /// How many lines were left out because of the limit.
    pub left_out: usize,
}

/// Splits a text with codes into lines of at most `budget` bytes.
///
/// Lines end where the text's lines end, else between words, else between characters as readers see them. A style
/// that goes on is opened again on each line. Lines without visible text are left out: servers refuse them.
/// A budget too small for a single character is exceeded by it.
pub fn split(text: &str, budget: usize) -> Vec<String> {
    text.split('\n')
        .fold((Vec::new(), Style::default()), |(mut lines, style), line| {
            let style = split_line(line, style, budget, &mut lines);
            (lines, style)
        })
        .0
}

/// The same, at most `limit` lines of it; 0 is no limit.
pub fn split_at_most(text: &str, budget: usize, limit: usize) -> Pieces {
    let mut lines = split(text, budget);
    let left_out = if limit == 0 { 0 } else { lines.len().saturating_sub(limit) };
    lines.truncate(lines.len() - left_out);
    Pieces { lines, left_out }
}

/// A character as readers see it, and how it looks.
type Cell<'a> = (Style, &'a str);

/// Splits one line. The style at its end.
fn split_line(line: &str, mut style: Style, budget: usize, lines: &mut Vec<String>) -> Style {
    let mut cells: Vec<Cell<'_>> = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        if let Some(after) = style.apply(rest) {
            rest = after;
            continue;
        }
        let (cluster, after) = rest.split_at(first_cluster(rest));
        // A pile of marks that does not fit is parted between its characters.
        if cluster.len() > budget / 2 {
            cells.extend(cluster.char_indices().map(|(at, c)| (style, &cluster[at..at + c.len_utf8()])));
        } else {
            cells.push((style, cluster));
        }
        rest = after;
    }
    let mut cells = cells.as_slice();
    while !cells.is_empty() {
        let (now, later) = cells.split_at(fitting(cells, budget));
        let shown = trim(now);
        if !shown.is_empty() {
            lines.push(write(shown));
        }
        // The space at which the line was broken is not the next line's indentation.
        let blank = later.iter().take_while(|(_, text)| *text == " ").count();
        cells = &later[blank..];
    }
    style
}

/// How many cells go on the next line: as many as fit, but no part of a word if there is a space before it.
fn fitting(cells: &[Cell<'_>], budget: usize) -> usize {
    let mut style = Style::default();
    let mut length = 0;
    let mut word_end = None;
    for (index, (next, text)) in cells.iter().enumerate() {
        length += style.codes_to(*next, text).len() + text.len();
        style = *next;
        if length > budget && index > 0 {
            // A space that does not fit is where the line ends anyway.
            return if *text == " " {
                index
            } else {
                word_end.filter(|end| *end * 3 > index).unwrap_or(index)
            };
        }
        if *text == " " {
            word_end = Some(index + 1);
        }
    }
    cells.len()
}

/// Without the spaces at the end, and nothing if only spaces are left. Spaces at the beginning are indentation.
fn trim<'a, 'b>(cells: &'b [Cell<'a>]) -> &'b [Cell<'a>] {
    let blank = |text: &str| text.trim().is_empty();
    let end = cells.iter().rposition(|(_, text)| !blank(text)).map_or(0, |last| last + 1);
    &cells[..end]
}

fn write(cells: &[Cell<'_>]) -> String {
    let mut style = Style::default();
    let mut line = String::new();
    for (next, text) in cells {
        line.push_str(&style.codes_to(*next, text));
        line.push_str(text);
        style = *next;
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{split, split_at_most};
    use crate::format::{from_irc, strip_codes};

    #[test]
    fn lines_end_between_words_and_never_within_a_character() {
        for (text, budget, lines) in [
            ("one two three", 8, &["one two", "three"][..]),
            ("one two", 7, &["one two"]),
            ("abcdefgh", 3, &["abc", "def", "gh"]),
            ("a bcdefghijklm", 7, &["a bcdef", "ghijklm"]),
            ("a bcdefghijkl", 5, &["a", "bcdef", "ghijk", "l"]),
            ("äöü", 4, &["äö", "ü"]),
            ("xxxxe\u{301}", 6, &["xxxx", "e\u{301}"]),
            ("a\n\n  \nb", 10, &["a", "b"]),
            ("  indented", 20, &["  indented"]),
            ("", 10, &[]),
            ("äö", 1, &["ä", "ö"]),
            ("🦀", 0, &["🦀"]),
        ] {
            assert_eq!(split(text, budget), lines, "{text:?}");
        }
    }

    #[test]
    fn a_style_goes_on_with_the_next_line() {
        assert_eq!(split("\x02one two\x02 x", 5), ["\x02one", "\x02two", "x"]);
        assert_eq!(split("\x02one\ntwo\x0f\nx", 50), ["\x02one", "\x02two", "x"]);
        assert_eq!(split("\x034,5one two", 9), ["\x0304,05one", "\x0304,05two"]);
        assert_eq!(split("\x0304a\x03,5", 50), ["\x0304a\x0f,5"]);
        assert_eq!(split("\x0304a\x02\x03,5", 50), ["\x0304a\x02\x0399,99,5"]);
        assert_eq!(split("\x02\x02", 50), Vec::<String>::new());
    }

    #[test]
    fn a_limit_says_how_much_it_left_out() {
        let pieces = split_at_most("a\nb\nc", 10, 2);
        assert_eq!((pieces.lines.as_slice(), pieces.left_out), (&["a".to_owned(), "b".to_owned()][..], 1));
        assert_eq!(split_at_most("a\nb", 10, 0).left_out, 0);
    }

    fn letters(text: &str) -> String {
        text.chars().filter(|c| !c.is_whitespace()).collect()
    }

    proptest! {
        #[test]
        fn nothing_visible_is_lost_and_every_line_fits(
            text in "([a-z\u{e9}\u{1f980} \n]|\x02|\x1d|\x0304|\x0303,12|\x0f|e\u{301}){0,120}", budget in 40..90_usize,
        ) {
            let lines = split(&text, budget);
            prop_assert!(lines.iter().all(|line| line.len() <= budget && !line.contains('\n')));
            let sent: String = lines.iter().map(|line| strip_codes(line)).collect();
            prop_assert_eq!(letters(&sent), letters(&strip_codes(&text.replace('\n', " "))));
        }

        #[test]
        fn lines_that_fit_look_the_same(text in "([a-z,0-9]|\x02|\x1d|\x0304|\x0303,12|\x0399|\x0f){1,60}") {
            let lines = split(&text, 10_000);
            let (plain, html) = from_irc(text.as_bytes());
            if plain.is_empty() {
                prop_assert!(lines.is_empty());
            } else {
                prop_assert_eq!(from_irc(lines[0].as_bytes()), (plain, html));
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "[\x00-\x20a\u{301}\u{1f3fb}\u{200d}]{0,60}", budget in 0..20_usize) {
            let lines = split(&text, budget);
            prop_assert!(lines.iter().all(|line| !line.is_empty()));
        }
    }
}
