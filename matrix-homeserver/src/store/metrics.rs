//! What the committer counts.

use prometheus_client::metrics::histogram::Histogram;

/// The upper bounds of the classes of batch sizes.
const SETS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// The upper bounds of the classes of commit times, in seconds.
const SECONDS: [f64; 11] = [0.000_02, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0];

/// How the commits go. Cloning gives another handle.
#[derive(Debug, Clone)]
pub(crate) struct CommitMetrics {
    /// How many sets a batch has.
    pub(crate) batch: Histogram,
    /// How long a batch takes, with its flush if there is one, in seconds.
    pub(crate) seconds: Histogram,
}

impl Default for CommitMetrics {
    fn default() -> Self {
        Self { batch: Histogram::new(SETS), seconds: Histogram::new(SECONDS) }
    }
}
