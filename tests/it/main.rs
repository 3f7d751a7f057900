//! Integration tests: everything crosses the real wire.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected fails")]
#![expect(clippy::print_stdout, reason = "the runner shows what a failed test has printed")]

mod bad_input;
mod clients;
mod crash;
mod differential;
mod documents;
mod draft;
mod durability;
mod fallback_page;
mod guide;
mod harness;
mod intents;
mod irc_sessions;
mod scene;
mod state_resolution;
mod talk;
