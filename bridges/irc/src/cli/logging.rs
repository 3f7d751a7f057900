//! What is written to standard error.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::LoggingConfig;

/// Begins to log. `RUST_LOG` goes before the configuration.
pub(crate) fn begin(config: &LoggingConfig) -> anyhow::Result<()> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(directives) if !directives.is_empty() => EnvFilter::try_new(directives).context("RUST_LOG")?,
        _ => EnvFilter::try_new(directives(&config.level)).context("logging.level")?,
    };
    let logging = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let begun = if config.json { logging.json().try_init() } else { logging.try_init() };
    begun.map_err(|error| anyhow::anyhow!("cannot begin to log: {error}"))
}

/// A plain level is the bridge's: libraries say what they have to say from warnings up.
fn directives(level: &str) -> String {
    let plain = level.chars().all(|c| c.is_ascii_alphabetic());
    if plain {
        format!("warn,sled=off,matrix_irc_bridge={level},matrix_appservice={level}")
    } else {
        level.to_owned()
    }
}
