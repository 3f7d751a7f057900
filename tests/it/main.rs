//! Integration tests: everything crosses the real wire.

mod harness;
mod scene;
mod talk;
