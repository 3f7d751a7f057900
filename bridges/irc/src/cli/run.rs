//! `run`: the bridge until it is told to stop.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use matrix_appservice::bridge::Bridge;
use matrix_appservice::registration::Registration;
use ruma::ServerName;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{agreement, logging};
use crate::bridge::IrcBridge;
use crate::config::Config;

pub(super) async fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::load(file).with_context(|| format!("in {}", file.display()))?;
    logging::begin(&config.logging)?;
    let registration = load_registration(&config)?;
    let problems = agreement::problems(&config, &registration);
    if !problems.is_empty() {
        let listed: Vec<_> = problems.iter().map(ToString::to_string).collect();
        bail!("the registration does not fit the configuration:\n  {}", listed.join("\n  "));
    }
    let listen = &config.appservice.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let server_name = ServerName::parse(&config.homeserver.domain).context("homeserver.domain")?;
    let (url, store) = (config.homeserver.url.clone(), config.appservice.database.clone());
    let bridge = Bridge::<IrcBridge>::builder(registration, config)
        .homeserver(url, &server_name)
        .store_path(store)
        .build()
        .context("the bridge cannot start")?;
    let shutdown = CancellationToken::new();
    tokio::spawn(stop_on_signal(shutdown.clone()));
    info!(address = %listener.local_addr()?, "the bridge listens for the homeserver");
    bridge.run(listener, shutdown).await.context("the bridge stopped")?;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The registration that the configuration names.
pub(super) fn load_registration(config: &Config) -> anyhow::Result<Registration> {
    let path = &config.appservice.registration;
    if !Path::new(path).exists() {
        bail!("there is no {path}; make it with `matrix-irc-bridge generate-registration`");
    }
    Registration::load(path).with_context(|| format!("in {path}"))
}

/// Waits for what tells programs to stop.
pub(crate) async fn stop_on_signal(shutdown: CancellationToken) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminate), Ok(mut interrupt)) =
            (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
        else {
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = shutdown.cancelled() => return,
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        return;
    }
    info!("stopping");
    shutdown.cancel();
}
