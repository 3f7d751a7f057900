//! Bridges to a scripted network, against a real homeserver, over the wire.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod scene;
mod scripted;

mod commands;
mod from_matrix;
mod from_network;
mod restart;
mod rooms;
