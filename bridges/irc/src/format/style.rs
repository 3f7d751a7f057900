//! How a piece of text looks, and the codes that switch between looks.

use std::fmt::Write as _;

use super::colour::{Colour, Rgb};

pub(super) const BOLD: char = '\x02';
pub(super) const COLOUR: char = '\x03';
pub(super) const HEX_COLOUR: char = '\x04';
pub(super) const RESET: char = '\x0f';
pub(super) const MONOSPACE: char = '\x11';
pub(super) const REVERSE: char = '\x16';
pub(super) const ITALIC: char = '\x1d';
pub(super) const STRIKE: char = '\x1e';
pub(super) const UNDERLINE: char = '\x1f';

/// Reads a colour at the beginning of a text: the colour, `None` for the reader's own, and what follows it.
type ReadColour = fn(&str) -> Option<(Option<Colour>, &str)>;

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) bold: bool,
    pub(super) italic: bool,
    pub(super) underline: bool,
    pub(super) strike: bool,
    pub(super) monospace: bool,
    pub(super) reverse: bool,
    pub(super) front: Option<Colour>,
    pub(super) back: Option<Colour>,
}

impl Style {
    pub(super) fn is_plain(self) -> bool {
        self == Self::default()
    }

    /// Reads one code at the beginning of `text`: what follows it. `None` if it is not one.
    pub(super) fn apply<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let mut rest = text.chars();
        match rest.next()? {
            BOLD => self.bold ^= true,
            ITALIC => self.italic ^= true,
            UNDERLINE => self.underline ^= true,
            STRIKE => self.strike ^= true,
            MONOSPACE => self.monospace ^= true,
            REVERSE => self.reverse ^= true,
            RESET => *self = Self::default(),
            COLOUR => return Some(self.colours(rest.as_str(), palette)),
            HEX_COLOUR => return Some(self.colours(rest.as_str(), hex)),
            _ => return None,
        }
        Some(rest.as_str())
    }

    /// Reads `front,back` after a colour code. Without a number both are off; a comma without a number is text.
    fn colours<'a>(&mut self, text: &'a str, read: ReadColour) -> &'a str {
        let Some((front, rest)) = read(text) else {
            self.front = None;
            self.back = None;
            return text;
        };
        self.front = front;
        // `read` returns a tail of what it was given.
        let rest = &text[text.len() - rest.len()..];
        let Some((back, after)) = rest.strip_prefix(',').and_then(read) else { return rest };
        self.back = back;
        &rest[rest.len() - after.len()..]
    }

    /// The codes that lead from this style to `next`, before the text `following`.
    pub(super) fn codes_to(self, next: Self, following: &str) -> String {
        let mut codes = String::new();
        if self == next {
            return codes;
        }
        if next.is_plain() {
            codes.push(RESET);
            return codes;
        }
        for (one, other, code) in [
            (self.bold, next.bold, BOLD),
            (self.italic, next.italic, ITALIC),
            (self.underline, next.underline, UNDERLINE),
            (self.strike, next.strike, STRIKE),
            (self.monospace, next.monospace, MONOSPACE),
            (self.reverse, next.reverse, REVERSE),
        ] {
            if one != other {
                codes.push(code);
            }
        }
        if (self.front, self.back) != (next.front, next.back) {
            // 99 is the colour that the reader has chosen. A text that begins with a comma must not be read as
            // a background.
            codes.push(COLOUR);
            let _ = write!(codes, "{:02}", number(next.front));
            if self.back != next.back || following.starts_with(',') {
                let _ = write!(codes, ",{:02}", number(next.back));
            }
        }
        codes
    }
}

fn number(colour: Option<Colour>) -> u8 {
    match colour {
        None => 99,
        Some(Colour::Palette(index)) => index,
        Some(Colour::Hex(rgb)) => match rgb.nearest() {
            Colour::Palette(index) => index,
            Colour::Hex(_) => 99,
        },
    }
}

/// One or two digits.
fn palette(text: &str) -> Option<(Option<Colour>, &str)> {
    let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
    let index: u8 = text.get(..digits)?.parse().ok()?;
    Some(((index < 99).then_some(Colour::Palette(index)), &text[digits..]))
}

/// Six hexadecimal digits.
fn hex(text: &str) -> Option<(Option<Colour>, &str)> {
    let digits = text.get(..6).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some((Rgb::parse(&format!("#{digits}")).map(Colour::Hex), &text[6..]))
}
