//! A bridge between Matrix and IRC.

pub mod config;
pub mod loopback;
