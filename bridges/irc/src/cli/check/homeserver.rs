//! Whether the homeserver and the bridge reach and know each other.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use matrix_appservice::Store;
use matrix_appservice::appservice::Appservice;
use matrix_appservice::registration::Registration;
use matrix_appservice::service::{AppserviceHandler, EventContext, Outcome, RoomEvent};
use ruma::ServerName;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Findings;
use crate::config::Config;

/// How long the homeserver may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Events that come while we look are left to the bridge: the homeserver sends them again.
struct NotNow;

#[async_trait]
impl AppserviceHandler for NotNow {
    async fn event(&self, _cx: &EventContext, _event: RoomEvent) -> Outcome {
        Outcome::Done
    }
}

pub(super) async fn check(config: &Config, registration: &Registration, findings: &mut Findings) {
    let Ok(server_name) = ServerName::parse(&config.homeserver.domain) else { return };
    let url = &config.homeserver.url;
    let built: Result<Appservice, String> =
        Store::temporary().map_err(|error| error.to_string()).and_then(|store| {
            Appservice::builder(registration.clone())
                .homeserver(url)
                .server_name(&server_name)
                .store(store)
                .build()
                .map_err(|error| error.to_string())
        });
    let appservice = match built {
        Ok(appservice) => appservice,
        Err(error) => return findings.wrong(&error),
    };
    let known = tokio::time::timeout(PATIENCE, appservice.intents().bot().ensure_registered()).await;
    match known {
        Ok(Ok(())) => findings.fine(&format!("{url} knows this application service")),
        Ok(Err(error)) => {
            return findings.wrong(&format!(
                "{url}: {error}. Is homeserver.url right, and has the homeserver loaded {}?",
                config.appservice.registration
            ));
        }
        Err(_elapsed) => return findings.wrong(&format!("{url} does not answer. Is homeserver.url right?")),
    }
    ping(config, registration, &appservice, findings).await;
}

/// Asks the homeserver to reach the bridge. If no bridge runs, this process stands in for it.
async fn ping(
    config: &Config,
    registration: &Registration,
    appservice: &Appservice,
    findings: &mut Findings,
) {
    let shutdown = CancellationToken::new();
    let stand_in = match TcpListener::bind(&config.appservice.listen).await {
        Ok(listener) => {
            let (appservice, shutdown) = (appservice.clone(), shutdown.clone());
            Some(tokio::spawn(async move { appservice.run(Arc::new(NotNow), listener, shutdown).await }))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => None,
        Err(error) => {
            findings
                .wrong(&format!("appservice.listen: cannot listen on {}: {error}", config.appservice.listen));
            return;
        }
    };
    let url = registration.url.as_deref().unwrap_or("(none)");
    match tokio::time::timeout(PATIENCE, appservice.ping()).await {
        Ok(Ok(took)) => findings.fine(&format!("the homeserver reaches the bridge at {url} ({took:?})")),
        Ok(Err(error)) => findings.wrong(&format!(
            "the homeserver does not reach the bridge at {url}: {error}. `url` in {} must lead from the homeserver to {}.",
            config.appservice.registration, config.appservice.listen
        )),
        Err(_elapsed) => findings.wrong("the homeserver did not say whether it reaches the bridge"),
    }
    shutdown.cancel();
    if let Some(stand_in) = stand_in {
        let _ = stand_in.await;
    }
}
