//! What the server counts.

use prometheus_client::metrics::counter::Counter;

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Panics of handlers, caught.
    pub(crate) panics: Counter,
    /// Answers with a status of 500 or more.
    pub(crate) server_errors: Counter,
}
