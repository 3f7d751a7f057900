//! A bridge between Matrix and IRC.

pub mod bridge;
pub mod config;
pub mod format;
pub mod irc;
pub mod loopback;
pub mod mapping;
