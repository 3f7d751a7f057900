//! A bridge between Matrix and IRC.

pub mod bridge;
pub mod cli;
pub mod config;
#[cfg(feature = "demo")]
mod demo;
pub mod format;
pub mod irc;
pub mod loopback;
pub mod mapping;
