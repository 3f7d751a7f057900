//! IRC's text as plain text and HTML.

use super::code;

/// The colours 0 to 15, as clients show them.
const COLORS: [&str; 16] = [
    "#ffffff", "#000000", "#00007f", "#009300", "#ff0000", "#7f0000", "#9c009c", "#fc7f00", "#ffff00",
    "#00fc00", "#009393", "#00ffff", "#0000fc", "#ff00ff", "#7f7f7f", "#d2d2d2",
];

/// The colours 16 to 98: a cube of hues by brightness, then greys.
const MORE_COLORS: [&str; 83] = [
    "#470000", "#472100", "#474700", "#324700", "#004700", "#00472c", "#004747", "#002747", "#000047",
    "#2e0047", "#470047", "#47002a", "#740000", "#743a00", "#747400", "#517400", "#007400", "#007449",
    "#007474", "#004074", "#000074", "#4b0074", "#740074", "#740045", "#b50000", "#b56300", "#b5b500",
    "#7db500", "#00b500", "#00b571", "#00b5b5", "#0063b5", "#0000b5", "#7500b5", "#b500b5", "#b5006b",
    "#ff0000", "#ff8c00", "#ffff00", "#b2ff00", "#00ff00", "#00ffa0", "#00ffff", "#008cff", "#0000ff",
    "#a500ff", "#ff00ff", "#ff0098", "#ff5959", "#ffb459", "#ffff71", "#cfff60", "#6fff6f", "#65ffc9",
    "#6dffff", "#59b4ff", "#5959ff", "#c459ff", "#ff66ff", "#ff59bc", "#ff9c9c", "#ffd39c", "#ffff9c",
    "#e2ff9c", "#9cff9c", "#9cffdb", "#9cffff", "#9cd3ff", "#9c9cff", "#dc9cff", "#ff9cff", "#ff94d3",
    "#000000", "#131313", "#282828", "#363636", "#4d4d4d", "#656565", "#818181", "#9f9f9f", "#bcbcbc",
    "#e2e2e2", "#ffffff",
];

/// How text looks from some point on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Style {
    bold: bool,
    italic: bool,
    underline: bool,
    strike: bool,
    monospace: bool,
    foreground: Option<String>,
    background: Option<String>,
}

/// A text from IRC as plain text, and as HTML if it has formatting.
///
/// Bytes that are no UTF-8 are read as Windows-1252, which is what clients that do not send UTF-8 send.
pub fn from_irc(text: &[u8]) -> (String, Option<String>) {
    let text = decode(text);
    let mut runs: Vec<(Style, String)> = Vec::new();
    let mut style = Style::default();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            code::BOLD => style.bold = !style.bold,
            code::ITALIC => style.italic = !style.italic,
            code::UNDERLINE => style.underline = !style.underline,
            code::STRIKE => style.strike = !style.strike,
            code::MONOSPACE => style.monospace = !style.monospace,
            code::REVERSE => std::mem::swap(&mut style.foreground, &mut style.background),
            code::RESET => style = Style::default(),
            code::COLOR => {
                colors(&mut chars, &mut style, |chars| digits(chars, 2, 10).and_then(|text| named(&text)));
            }
            code::HEX_COLOR => colors(&mut chars, &mut style, |chars| {
                digits(chars, 6, 16)
                    .filter(|text| text.len() == 6)
                    .map(|text| format!("#{}", text.to_ascii_lowercase()))
            }),
            c if c.is_control() && c != '\t' => {}
            c => match runs.last_mut() {
                Some((last, run)) if *last == style => run.push(c),
                _ => runs.push((style.clone(), c.to_string())),
            },
        }
    }
    let plain = runs.iter().map(|(_, run)| run.as_str()).collect();
    if runs.iter().all(|(style, _)| *style == Style::default()) {
        return (plain, None);
    }
    let html = runs.iter().map(|(style, run)| style.html(run)).collect();
    (plain, Some(html))
}

impl Style {
    fn html(&self, text: &str) -> String {
        let mut html = escape(text);
        for (on, tag) in [
            (self.monospace, "code"),
            (self.strike, "del"),
            (self.underline, "u"),
            (self.italic, "em"),
            (self.bold, "strong"),
        ] {
            if on {
                html = format!("<{tag}>{html}</{tag}>");
            }
        }
        let attribute = |name: &str, color: &Option<String>| {
            color.as_ref().map_or_else(String::new, |color| format!(" data-mx-{name}=\"{color}\""))
        };
        match attribute("color", &self.foreground) + &attribute("bg-color", &self.background) {
            none if none.is_empty() => html,
            attributes => format!("<span{attributes}>{html}</span>"),
        }
    }
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Reads `foreground[,background]`; a code without a number ends both.
fn colors(chars: &mut Chars<'_>, style: &mut Style, read: impl Fn(&mut Chars<'_>) -> Option<String>) {
    let starts = chars.peek().is_some_and(char::is_ascii_hexdigit);
    let Some(foreground) = starts.then(|| read(chars)).flatten() else {
        style.foreground = None;
        style.background = None;
        return;
    };
    style.foreground = Some(foreground);
    let mut ahead = chars.clone();
    if ahead.next() == Some(',')
        && ahead.peek().is_some_and(char::is_ascii_hexdigit)
        && let Some(background) = read(&mut ahead)
    {
        style.background = Some(background);
        *chars = ahead;
    }
}

fn digits(chars: &mut Chars<'_>, most: usize, radix: u32) -> Option<String> {
    let mut text = String::new();
    while text.len() < most
        && let Some(c) = chars.next_if(|c| c.is_digit(radix))
    {
        text.push(c);
    }
    (!text.is_empty()).then_some(text)
}

fn named(number: &str) -> Option<String> {
    let number: usize = number.parse().ok()?;
    let color = COLORS.get(number).or_else(|| MORE_COLORS.get(number.checked_sub(16)?))?;
    Some((*color).to_owned())
}

/// Text that cannot be taken for HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn decode(text: &[u8]) -> String {
    match std::str::from_utf8(text) {
        Ok(text) => text.to_owned(),
        // A long line may have been cut within its last character.
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
            String::from_utf8_lossy(&text[..error.valid_up_to()]).into_owned()
        }
        Err(_) => text.iter().map(|byte| windows_1252(*byte)).collect(),
    }
}

/// A byte of Windows-1252 as a character.
fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        byte => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_become_html_and_vanish_from_the_plain_text() {
        for (irc, plain, html) in [
            ("hello", "hello", None),
            ("\x02loud\x02 word", "loud word", Some("<strong>loud</strong> word")),
            ("\x02a\x1db\x0fc", "abc", Some("<strong>a</strong><strong><em>b</em></strong>c")),
            (
                "\x0304red\x03 & <b>",
                "red & <b>",
                Some("<span data-mx-color=\"#ff0000\">red</span> &amp; &lt;b&gt;"),
            ),
            ("\x034,1x", "x", Some("<span data-mx-color=\"#ff0000\" data-mx-bg-color=\"#000000\">x</span>")),
            ("\x034, x", ", x", Some("<span data-mx-color=\"#ff0000\">, x</span>")),
            ("\x04ff00AAx", "x", Some("<span data-mx-color=\"#ff00aa\">x</span>")),
            ("\x03x\x02\x02y", "xy", None),
            ("\x0399x", "x", None),
            ("\x11code\x11", "code", Some("<code>code</code>")),
            ("a\x07b", "ab", None),
        ] {
            assert_eq!(from_irc(irc.as_bytes()), (plain.to_owned(), html.map(str::to_owned)), "{irc:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_read_as_windows_does() {
        assert_eq!(from_irc(b"caf\xe9 \x80").0, "café €");
        assert_eq!(from_irc("grü".as_bytes()).0, "grü");
        assert_eq!(from_irc(&"grün".as_bytes()[..3]).0, "gr", "cut within a character");
    }

    proptest! {
        #[test]
        fn no_text_does_harm_and_html_is_always_closed(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (plain, html) = from_irc(&text);
            prop_assert!(!plain.contains(['\x02', '\x03', '\n', '\0']));
            if let Some(html) = html {
                prop_assert_eq!(html.matches('<').count() % 2, 0);
            }
        }
    }
}
