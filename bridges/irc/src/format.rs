//! Text of one side as text of the other. Pure.
//!
//! IRC has no markup but control codes that switch a style on and off ([formatting]). A text here is a string with
//! these codes in it, its lines apart by `\n`; only [`split`] knows how long a line may be.
//!
//! [formatting]: https://modern.ircdocs.horse/formatting

mod cluster;
mod colour;
mod html;
mod irc;
mod split;
mod style;

pub use self::html::{html_to_irc, html_to_irc_with};
pub use self::irc::{from_irc, plain_to_irc, strip_codes, strip_quotation};
pub use self::split::{Pieces, split, split_at_most};
