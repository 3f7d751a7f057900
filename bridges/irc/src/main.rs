//! `matrix-irc-bridge`: the program of the bridge.

use std::process::ExitCode;

use clap::Parser as _;
use matrix_irc_bridge::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().execute().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("matrix-irc-bridge: {error:#}");
            ExitCode::FAILURE
        }
    }
}
