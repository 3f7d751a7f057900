//! Benchmarks, beside Synapse in the same run where there is something to compare with.
//!
//! ```sh
//! cargo build --release --workspace --bins
//! cargo run --release -p tests --bin bench -- all
//! ```
//!
//! Each prints a table of medians in Markdown. Run them on a machine that has nothing else to do.

#![expect(clippy::print_stdout, reason = "the tables are what this program is for")]

mod figures;
mod ghosts;
mod inbox;
mod latency;
mod memory;
mod send;
mod start;
mod sync;

use anyhow::Result;
use clap::{Parser, ValueEnum};

/// Measures the homeserver, the framework and the IRC bridge.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, required = true)]
    what: Vec<Benchmark>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// `PUT send` per second in one room, with 1 and 16 clients.
    Send,
    /// From one client to another over the homeserver alone, one message at a time.
    Sync,
    /// A thousand ghosts registered and joined to one room.
    Ghosts,
    /// From the start of the process until it is ready.
    Start,
    /// Transactions per second into the framework's inbox.
    Inbox,
    /// From one side of the bridge to the other, one message at a time.
    Latency,
    /// Memory of the bridge with 100 puppets.
    Memory,
    /// Everything.
    All,
}

fn main() -> Result<()> {
    let wanted = Arguments::parse().what;
    let runs = |benchmark| wanted.contains(&benchmark) || wanted.contains(&Benchmark::All);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cores = std::thread::available_parallelism()?;
    println!("{cores} cores; medians; Synapse with SQLite, everything on loopback.\n");
    runtime.block_on(async {
        if runs(Benchmark::Start) {
            start::measure().await?;
        }
        if runs(Benchmark::Send) {
            send::measure().await?;
        }
        if runs(Benchmark::Sync) {
            sync::measure().await?;
        }
        if runs(Benchmark::Ghosts) {
            ghosts::measure().await?;
        }
        if runs(Benchmark::Inbox) {
            inbox::measure().await?;
        }
        if runs(Benchmark::Latency) {
            latency::measure().await?;
        }
        if runs(Benchmark::Memory) {
            memory::measure().await?;
        }
        Ok(())
    })
}
