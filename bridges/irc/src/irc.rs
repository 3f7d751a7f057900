//! The IRC protocol. Knows no Matrix.
//!
//! Pure parts take bytes and give values: [`message`], [`tags`], [`numeric`], [`casemapping`], [`isupport`], [`mode`],
//! [`ctcp`], [`limits`], [`framing`]. [`registration`] is the conversation by which a network lets a client in, as a
//! state machine without a socket. [`connection`] is the only part that touches the outside world.

pub mod casemapping;
pub mod connection;
pub mod ctcp;
pub mod framing;
pub mod isupport;
pub mod limits;
pub mod message;
pub mod mode;
pub mod numeric;
pub mod registration;
pub mod tags;
