//! The bridge between a homeserver and an IRC network, all three in this process, over the wire.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod conversation;
mod membership;
mod restart;
mod world;
