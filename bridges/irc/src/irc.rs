//! The IRC protocol. Knows no Matrix.
//!
//! Pure parts take bytes and give values: [`message`], [`tags`], [`numeric`], [`casemapping`], [`isupport`], [`mode`],
//! [`ctcp`], [`limits`], [`framing`]. [`session`] is what one connection knows of itself, with [`cap`]
//! and [`sasl`]: state machines without a socket. [`connection`] touches the outside world.

pub mod cap;
pub mod casemapping;
pub mod connection;
pub mod ctcp;
pub mod framing;
pub mod isupport;
pub mod limits;
pub mod message;
pub mod mode;
pub mod numeric;
pub mod sasl;
pub mod session;
pub mod tags;
