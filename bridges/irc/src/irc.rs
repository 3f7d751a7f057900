//! The IRC protocol: everything about the network that knows no Matrix.
//!
//! Pure parts take bytes and give values: [`message`], [`casemapping`], [`isupport`], [`mode`]. [`registration`] is
//! the conversation by which a network lets a client in, as a state machine without a socket. [`connection`] is the
//! only part that touches the outside world.

pub mod casemapping;
pub mod connection;
pub mod isupport;
pub mod message;
pub mod mode;
pub mod registration;
