//! Harness of the integration tests: real IRC servers, a real Synapse, our own programs as processes that can be
//! killed, and an IRC client that shares no code with the bridge.
//!
//! A test that needs a program which this machine lacks is skipped, loudly: see [`peers`].

pub mod appservice;
pub mod browser;
pub mod clients;
pub mod deadline;
pub mod http;
pub mod irc;
pub mod load;
pub mod peers;
pub mod process;
pub mod programs;
pub mod servers;

/// The `server_name` of every homeserver that the harness starts.
pub const SERVER_NAME: &str = "hs.test";
