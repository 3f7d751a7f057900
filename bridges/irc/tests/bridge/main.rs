//! The bridge between a homeserver and an IRC network, all three in this process, over the wire.

mod conversation;
mod membership;
mod restart;
mod world;
