//! What the server counts, for Prometheus ([OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/)).
//! Served only where it was enabled: it names the application services, and whoever reaches the server can read it.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::header;
use prometheus_client::{
    encoding::text::encode,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use ruma::MilliSecondsSinceUnixEpoch;

use super::{ApiError, ApiResult, AppState, Routes};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// What every name begins with.
const PREFIX: &str = "matrix_homeserver";

pub(super) fn routes() -> Routes {
    Routes::new().absolute("/metrics", get(metrics))
}

async fn metrics(State(app): State<AppState>) -> ApiResult<Response> {
    let text = tokio::task::spawn_blocking(move || collect(&app)).await;
    let text = text.map_err(|error| ApiError::internal(&error))??;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}

/// Everything that is counted, and what is looked up when somebody asks.
fn collect(app: &AppState) -> ApiResult<String> {
    let mut registry = Registry::with_prefix(PREFIX);
    requests(app, &mut registry);
    storage(app, &mut registry);
    appservices(app, &mut registry)?;
    gauge(&mut registry, "rooms", "Rooms", app.rooms.count());
    gauge(&mut registry, "users", "Users of this server", app.users.count());
    if let Some(bytes) = resident_memory() {
        gauge(&mut registry, "resident_memory_bytes", "Memory of the process", bytes);
    }
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| ApiError::internal(&error))?;
    Ok(text)
}

fn requests(app: &AppState, registry: &mut Registry) {
    let metrics = &app.metrics;
    registry.register("requests", "Answers, by route and status", metrics.requests.clone());
    let help =
        "From the head of a request to the head of its answer; requests that wait for news wait here too";
    registry.register("request_duration_seconds", help, metrics.latency.clone());
    registry.register("panics", "Handlers that panicked", metrics.panics.clone());
    registry.register("internal_errors", "Answers with the status 500", metrics.server_errors.clone());
    let waiting = app.rooms.wakers().requests();
    gauge(registry, "long_polls_waiting", "Requests that wait for something to happen", waiting);
}

fn storage(app: &AppState, registry: &mut Registry) {
    let help = "Events that were accepted, by class: message, state, membership, redaction";
    registry.register("events", help, app.rooms.counts().family.clone());
    let store = app.rooms.store();
    let metrics = store.metrics();
    registry.register("commit_batch_sets", "Writes that are committed together", metrics.batch.clone());
    let help = "How long a commit takes, with its flush where there is a data directory";
    registry.register("commit_duration_seconds", help, metrics.seconds.clone());
    gauge(registry, "commit_queue_sets", "Writes that wait for the committer", store.waiting());
}

fn appservices(app: &AppState, registry: &mut Registry) -> ApiResult<()> {
    let metrics = &app.appservices.metrics;
    let help = "Transactions that an application service acknowledged";
    registry.register("appservice_transactions", help, metrics.transactions.clone());
    let help = "Events in acknowledged transactions";
    registry.register("appservice_events", help, metrics.events.clone());
    let help = "Attempts to deliver a transaction that failed";
    registry.register("appservice_failures", help, metrics.failures.clone());
    registry.register("appservice_queue_events", "Events that wait", metrics.waiting.clone());
    let ages = Family::<Vec<(String, String)>, Gauge>::default();
    let now: u64 = MilliSecondsSinceUnixEpoch::now().get().into();
    for appservice in app.appservices.all() {
        let oldest = app.appservices.oldest_waiting(&appservice)?;
        let sent = oldest.map(|number| app.rooms.events().get(number)).transpose()?.flatten();
        let age = sent.map_or(0, |event| now.saturating_sub(event.pdu.origin_server_ts.get().into()));
        let labels = vec![("appservice".to_owned(), appservice.id().to_owned())];
        ages.get_or_create(&labels).set(i64::try_from(age / 1000).unwrap_or(i64::MAX));
    }
    let help = "How long ago the event was sent that waits longest; 0 if none waits";
    registry.register("appservice_queue_oldest_age_seconds", help, ages);
    Ok(())
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: usize) {
    let gauge: Gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

/// The memory of the process in bytes, where the system tells.
fn resident_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<usize>().ok().map(|kib| kib * 1024)
}
