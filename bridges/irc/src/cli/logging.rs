//! What is written to standard error.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::LoggingConfig;

/// Begins to log. `RUST_LOG` goes before the configuration.
pub(crate) fn begin(config: &LoggingConfig) -> anyhow::Result<()> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(directives).context("RUST_LOG")?,
        _ => EnvFilter::try_new(&config.level).context("logging.level")?,
    };
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun = if config.json { logging.json().try_init() } else { logging.try_init() };
    begun.map_err(|error| anyhow::anyhow!("cannot begin to log: {error}"))
}
