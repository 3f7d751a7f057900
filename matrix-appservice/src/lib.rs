//! A framework for Matrix application services.

pub mod network_id;

#[cfg(feature = "framework")]
pub mod bridge;
