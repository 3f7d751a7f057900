//! Text between the two worlds: mIRC's codes and HTML, and lines short enough for IRC.

mod from_irc;
mod split;
mod to_irc;

pub use self::from_irc::from_irc;
pub use self::split::split;
pub use self::to_irc::{html_to_irc, plain_to_irc};

/// The codes in IRC's text ([formatting]).
///
/// [formatting]: https://modern.ircdocs.horse/formatting
mod code {
    pub(super) const BOLD: char = '\x02';
    pub(super) const COLOR: char = '\x03';
    pub(super) const HEX_COLOR: char = '\x04';
    pub(super) const RESET: char = '\x0f';
    pub(super) const MONOSPACE: char = '\x11';
    pub(super) const REVERSE: char = '\x16';
    pub(super) const ITALIC: char = '\x1d';
    pub(super) const STRIKE: char = '\x1e';
    pub(super) const UNDERLINE: char = '\x1f';
}
