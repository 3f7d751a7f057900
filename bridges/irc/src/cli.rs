//! The command line of `matrix-irc-bridge`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod agreement;
mod check;
pub(crate) mod generate;
pub(crate) mod logging;
pub(crate) mod run;

/// A bridge between Matrix and IRC networks.
#[derive(Debug, Parser)]
#[command(name = "matrix-irc-bridge", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration file.
    #[arg(long, short, global = true, default_value = "config.yaml", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the bridge (what happens without a command).
    Run,
    /// Write the registration file that the homeserver needs.
    GenerateRegistration {
        /// Replace a file that exists, with new tokens.
        #[arg(long)]
        force: bool,
    },
    /// Print a commented example of the configuration.
    GenerateConfig,
    /// Check the configuration, the registration, the homeserver and every IRC network, and say what to mend.
    Check,
    /// Start a homeserver, an IRC network and the bridge between them in this process.
    #[cfg(feature = "demo")]
    Demo {
        /// Play a short conversation, print what both sides saw, and stop.
        #[arg(long)]
        scene: bool,
    },
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    ///
    /// Whatever went wrong, in words for the operator.
    pub async fn execute(self) -> anyhow::Result<ExitCode> {
        match self.command.unwrap_or(Command::Run) {
            Command::Run => run::run(&self.config).await,
            Command::GenerateRegistration { force } => generate::registration(&self.config, force),
            Command::GenerateConfig => generate::config(),
            Command::Check => check::check(&self.config).await,
            #[cfg(feature = "demo")]
            Command::Demo { scene } => crate::demo::demo(scene).await,
        }
    }
}
