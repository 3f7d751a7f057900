//! The program `matrix-homeserver`.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Parser};
use matrix_appservice::Registration;
use matrix_homeserver::{Homeserver, LoginSettings};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[path = "main/tools.rs"]
mod tools;

/// A Matrix homeserver core for tests of bridges and clients.
///
/// Prints `ready http://HOST:PORT` on standard output when it accepts requests, logs to standard error (RUST_LOG sets how
/// much), and stops on SIGTERM and SIGINT. With a command, it does that instead and ends.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    tool: Option<tools::Tool>,
    #[command(flatten)]
    options: Option<Options>,
}

#[derive(Debug, Args)]
struct Options {
    /// The name in the IDs of users, rooms and aliases
    #[arg(long, value_name = "NAME")]
    server_name: String,
    /// Where to listen; port 0 takes any free port
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8008")]
    listen: String,
    /// Where data stays; every answer is then given only after its write is flushed. Without it nothing stays
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The registration of an application service; may be given several times
    #[arg(long, value_name = "FILE")]
    registration: Vec<PathBuf>,
    /// Let anybody register
    #[arg(long)]
    open_registration: bool,
    /// Let whoever knows the secret register anybody, at /_synapse/admin/v1/register
    #[arg(long, value_name = "SECRET")]
    registration_shared_secret: Option<String>,
    /// A token that lets somebody register where registration is open; then nobody can without. May be given several times
    #[arg(long, value_name = "TOKEN")]
    registration_token: Vec<String>,
    /// Let anybody in as a guest
    #[arg(long)]
    guests: bool,
    /// Where another server is found, whose keys are believed; may be given several times
    #[arg(long, value_name = "NAME=URL", value_parser = named_url)]
    peer: Vec<(String, String)>,
    /// An identity server that is trusted to say whose an address is; may be given several times
    #[arg(long, value_name = "NAME=URL", value_parser = named_url)]
    identity_server: Vec<(String, String)>,
    /// Let clients name push gateways by http, too
    #[arg(long)]
    plain_push_gateways: bool,
    /// How people log in and register, as JSON: stages, mail relay, OAuth 2.0 providers (see LoginSettings)
    #[arg(long, value_name = "FILE")]
    login: Option<PathBuf>,
    /// The version of rooms that are made without naming one
    #[arg(long, value_name = "V", default_value = "12")]
    default_room_version: String,
    /// Do not limit requests by rate
    #[arg(long)]
    no_rate_limit: bool,
    /// Serve what only the drafts of 2014 and 2015 know, too
    #[arg(long)]
    drafts: bool,
    /// Serve the draft of a client-server API v2, under /_matrix/client/v2_alpha
    #[arg(long)]
    v2_draft: bool,
    /// Make users and rooms from what application services answer to queries, as a draft has it
    #[arg(long)]
    draft_provisioning: bool,
    /// Serve the fault dial at /_fault, to whoever asks
    #[arg(long)]
    fault_control: bool,
    /// Serve what the server counts at /metrics, for Prometheus, to whoever asks
    #[arg(long)]
    metrics: bool,
}

/// Reads `NAME=URL`.
fn named_url(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, url)) if !name.is_empty() && url.starts_with("http") => Ok((name.into(), url.into())),
        _ => Err("this is not of the form NAME=URL".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,sled::config=off,ruma_state_res=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let ended = match (arguments.tool, arguments.options) {
        (Some(tool), _) => tool.run(),
        (None, Some(options)) => run(options).await.map(|()| ExitCode::SUCCESS),
        (None, None) => unreachable!("the server name is required without a command"),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "matrix-homeserver: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<()> {
    // Before anything can be told to stop.
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut builder = Homeserver::builder(&options.server_name)
        .listen(options.listen)
        .default_room_version(options.default_room_version)
        .open_registration(options.open_registration)
        .guests(options.guests)
        .plain_push_gateways(options.plain_push_gateways)
        .rate_limits(!options.no_rate_limit)
        .drafts(options.drafts)
        .draft_provisioning(options.draft_provisioning)
        .v2_draft(options.v2_draft)
        .fault_control(options.fault_control)
        .metrics(options.metrics);
    if let Some(path) = options.data_dir {
        builder = builder.data_dir(path);
    }
    if let Some(secret) = options.registration_shared_secret {
        builder = builder.registration_shared_secret(&secret);
    }
    for token in &options.registration_token {
        builder = builder.registration_token(token);
    }
    if let Some(path) = options.login {
        let context = || format!("cannot use {}", path.display());
        let settings = std::fs::read(&path).with_context(context)?;
        let settings: LoginSettings = serde_json::from_slice(&settings).with_context(context)?;
        builder = settings.apply(builder).with_context(context)?;
    }
    for (name, url) in options.peer {
        builder = builder.peer(name, url);
    }
    for (name, url) in options.identity_server {
        builder = builder.identity_server(name, url);
    }
    for path in options.registration {
        let registration =
            Registration::load(&path).with_context(|| format!("cannot use {}", path.display()))?;
        builder = builder.registration(registration);
    }
    let mut homeserver = builder.start().await?;
    let mut out = io::stdout();
    writeln!(out, "ready {}", homeserver.url())
        .and_then(|()| out.flush())
        .context("cannot say that it is ready")?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot wait for SIGINT")?;
                break;
            }
            () = homeserver.restart_requested() => {
                homeserver = homeserver.restart().await.context("cannot start again")?;
            }
        }
    }
    homeserver.shutdown().await;
    Ok(())
}
