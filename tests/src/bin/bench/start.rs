//! From the start of the process until it accepts requests.

use std::time::{Duration, Instant};

use anyhow::Result;
use tests::programs::HomeserverProcess;
use tests::servers::Synapse;

use crate::figures::{mebibytes, milliseconds, percentile, print};
use crate::row;

pub(crate) async fn measure() -> Result<()> {
    let mut rows = vec![row!["server", "ready after", "slowest", "memory"]];
    for (name, options) in [("ours, in memory", [].as_slice()), ("ours, on disk", &["--data-dir"])] {
        let (mut times, mut memory) = (Vec::new(), 0);
        for _ in 0..21 {
            let (took, used) = HomeserverProcess::time_to_ready(options)?;
            times.push(took);
            memory = used;
        }
        rows.push(row_of(name, times, memory));
    }
    let (mut times, mut memory) = (Vec::new(), 0);
    for _ in 0..5 {
        let began = Instant::now();
        let Some(server) = Synapse::start(&[]).await else { break };
        times.push(began.elapsed());
        memory = server.process().memory();
    }
    rows.push(row_of("Synapse", times, memory));
    print("Start of the process to ready", &rows);
    Ok(())
}

fn row_of(name: &str, mut times: Vec<Duration>, memory: u64) -> Vec<String> {
    let median = percentile(&mut times, 50);
    row![name, milliseconds(median), milliseconds(percentile(&mut times, 100)), mebibytes(memory)]
}
