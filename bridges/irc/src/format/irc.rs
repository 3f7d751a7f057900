//! Text from IRC for Matrix, and plain text for IRC.

use std::fmt::Write as _;

use super::colour::{Colour, Rgb};
use super::style::Style;
use crate::irc::message::decode;

/// Text with IRC's codes as what Matrix shows: the plain text, and HTML if any of it is styled.
///
/// The HTML has only elements and attributes that the specification lists for messages.
pub fn from_irc(text: &[u8]) -> (String, Option<String>) {
    let text = decode(text);
    let mut plain = String::with_capacity(text.len());
    let mut html = String::new();
    let mut styled = false;
    for (style, run) in runs(&text) {
        plain.push_str(&run);
        styled |= !style.is_plain();
        push_run(&mut html, style, &run);
    }
    (plain, styled.then_some(html))
}

/// The text without its codes.
pub fn strip_codes(text: &str) -> String {
    runs(text).into_iter().map(|(_, run)| run).collect()
}

/// Plain text for IRC: what would be a code is left out, the ends of lines stay.
pub fn plain_to_irc(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\t' => out.push(' '),
            c if is_control(c) => {}
            c => out.push(c),
        }
    }
    out
}

/// The text of an answer without what older clients quote before it: lines that begin with `>`, and an empty one
/// ([rich replies](https://spec.matrix.org/v1.12/client-server-api/#fallbacks-for-rich-replies)). Only for messages
/// that say that they are answers: others mean what they quote.
pub fn strip_quotation(body: &str) -> &str {
    let mut rest = body;
    while rest.starts_with("> ") || rest.starts_with(">\n") {
        rest = rest.split_once('\n').map_or("", |(_, after)| after);
    }
    let stripped = rest.len() < body.len();
    if stripped { rest.strip_prefix('\n').unwrap_or(rest) } else { body }
}

/// Characters that mean something to programs, or that turn the order of what others read around.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The text in pieces of one style each.
fn runs(text: &str) -> Vec<(Style, String)> {
    let mut runs: Vec<(Style, String)> = Vec::new();
    let mut style = Style::default();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = style.apply(rest) {
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if c.is_control() && c != '\t' {
            continue;
        }
        match runs.last_mut() {
            Some((last, run)) if *last == style => run.push(c),
            _ => runs.push((style, c.to_string())),
        }
    }
    runs
}

fn push_run(html: &mut String, style: Style, text: &str) {
    let mut close = Vec::new();
    let (front, back) = shown_colours(style);
    if front.is_some() || back.is_some() {
        html.push_str("<span");
        for (name, colour) in [("data-mx-color", front), ("data-mx-bg-color", back)] {
            if let Some(Rgb(red, green, blue)) = colour {
                let _ = write!(html, " {name}=\"#{red:02x}{green:02x}{blue:02x}\"");
            }
        }
        html.push('>');
        close.push("span");
    }
    for (on, name) in [
        (style.bold, "strong"),
        (style.italic, "em"),
        (style.underline, "u"),
        (style.strike, "del"),
        (style.monospace, "code"),
    ] {
        if on {
            let _ = write!(html, "<{name}>");
            close.push(name);
        }
    }
    let mut after_space = false;
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            // HTML shows several spaces as one; drawings need them.
            ' ' if after_space => html.push_str("&nbsp;"),
            c => html.push(c),
        }
        after_space = c == ' ';
    }
    for name in close.into_iter().rev() {
        let _ = write!(html, "</{name}>");
    }
}

fn shown_colours(style: Style) -> (Option<Rgb>, Option<Rgb>) {
    let (front, back) = (style.front.map(Colour::rgb), style.back.map(Colour::rgb));
    if style.reverse {
        (back.or(Some(Rgb(255, 255, 255))), front.or(Some(Rgb(0, 0, 0))))
    } else {
        (front, back)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{from_irc, plain_to_irc, strip_codes, strip_quotation};

    #[test]
    fn codes_become_html() {
        for (irc, html) in [
            ("\x02bold\x02 not", "<strong>bold</strong> not"),
            ("\x02b\x1di\x0f n", "<strong>b</strong><strong><em>i</em></strong> n"),
            ("\x1fu\x1f\x1es\x1e\x11m\x11", "<u>u</u><del>s</del><code>m</code>"),
            ("\x034red\x03 n", "<span data-mx-color=\"#ff0000\">red</span> n"),
            ("\x0304,02x", "<span data-mx-color=\"#ff0000\" data-mx-bg-color=\"#00007f\">x</span>"),
            ("\x034,x", "<span data-mx-color=\"#ff0000\">,x</span>"),
            ("\x03123", "<span data-mx-color=\"#0000fc\">3</span>"),
            ("\x0398x", "<span data-mx-color=\"#ffffff\">x</span>"),
            ("\x04ff8000x", "<span data-mx-color=\"#ff8000\">x</span>"),
            ("\x04FF8000,00ff00x", "<span data-mx-color=\"#ff8000\" data-mx-bg-color=\"#00ff00\">x</span>"),
            ("\x16x", "<span data-mx-color=\"#ffffff\" data-mx-bg-color=\"#000000\">x</span>"),
            ("\x034\x02x", "<span data-mx-color=\"#ff0000\"><strong>x</strong></span>"),
            ("\x02<b>&\"\x02", "<strong>&lt;b&gt;&amp;&quot;</strong>"),
            ("\x02a  b", "<strong>a &nbsp;b</strong>"),
        ] {
            assert_eq!(from_irc(irc.as_bytes()).1.as_deref(), Some(html), "{irc:?}");
        }
    }

    #[test]
    fn text_without_style_is_plain() {
        for (irc, plain) in [
            (&b"hello <world>"[..], "hello <world>"),
            (b"\x02\x02x", "x"),
            (b"\x0399x", "x"),
            (b"\x03,5x", ",5x"),
            (b"\x04zx", "zx"),
            (b"one\rtwo\x07", "onetwo"),
            (b"gr\xfcn", "gr\u{fc}n"),
            (b"", ""),
        ] {
            assert_eq!(from_irc(irc), (plain.to_owned(), None), "{irc:?}");
        }
        assert_eq!(strip_codes("\x02a\x0304,05b\x0f"), "ab");
    }

    #[test]
    fn plain_text_has_lines_but_no_codes() {
        assert_eq!(plain_to_irc("a\r\nb\rc\u{2028}d\te\x02\x01\0\u{202e}"), "a\nb\nc\nd e");
    }

    #[test]
    fn what_an_answer_quotes_is_left_out() {
        for (body, answer) in [
            ("> <@bob:hs> one\n> two\n\nthree\n> four", "three\n> four"),
            ("> <@bob:hs> one\nthree", "three"),
            ("> only a quotation", ""),
            ("no quotation", "no quotation"),
            (">.<", ">.<"),
            ("\nx", "\nx"),
        ] {
            assert_eq!(strip_quotation(body), answer, "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(prop_oneof![0..32_u8, any::<u8>(), b'0'..=b'9'], 0..100)) {
            let (plain, html) = from_irc(&bytes);
            prop_assert!(!plain.chars().any(|c| c.is_control() && c != '\t'));
            if let Some(html) = html {
                let parsed = ruma::html::Html::parse(&html);
                parsed.sanitize();
                let text = parsed.to_string();
                prop_assert_eq!(text.matches('<').count(), html.matches('<').count());
            }
        }

        #[test]
        fn plain_text_stays_itself(text in "[^\x00-\x1f\x7f-\u{9f}\u{2028}\u{2029}\u{202a}-\u{202e}\u{2066}-\u{2069}\u{feff}]*") {
            prop_assert_eq!(plain_to_irc(&text), text.clone());
            prop_assert_eq!(from_irc(text.as_bytes()), (text, None));
        }
    }
}
