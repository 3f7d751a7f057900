//! What is counted, under names that are fixed here.
//!
//! Every [`Metrics`] has its own registry, so that several application services in one process do not
//! add up. Times are in seconds.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry},
};

use crate::client::ClientError;

/// The counters of one application service. Cheap to clone; clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<parking_lot::Mutex<Registry>>,
    pub(crate) transactions: Family<ByResult, Counter>,
    pub(crate) transaction_seconds: Histogram,
    pub(crate) events_accepted: Counter,
    pub(crate) events_repeated: Counter,
    pub(crate) events: Family<ByOutcome, Counter>,
    pub(crate) inbox_events: Gauge,
    pub(crate) rooms_parked: Gauge,
    pub(crate) inbox_lag: Histogram,
    pub(crate) dead_letters: Counter,
    client_requests: Family<ByResult, Counter>,
    client_seconds: Histogram,
    pub(crate) client_retries: Counter,
    pub(crate) outbox_events: Gauge,
}

/// `result`: `ok`, or what kind of failure.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByResult {
    pub(crate) result: &'static str,
}

/// `outcome`: `done`, `retry`, `reject`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByOutcome {
    pub(crate) outcome: &'static str,
}

impl Metrics {
    /// Adds a metric of one's own, to be shown with the others.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: &M) {
        self.registry.lock().register(name, help, metric.clone());
    }

    /// All metrics in the Prometheus text format.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry.lock()).expect("writing to a string cannot fail");
        text
    }

    pub(crate) fn request(&self, error: Option<&ClientError>, took: Duration) {
        let result = match error {
            None => "ok",
            Some(ClientError::Api(error)) if error.status == 429 => "limited",
            Some(ClientError::Api(error)) if error.status < 500 => "refused",
            Some(ClientError::Api(_) | ClientError::Answer { .. }) => "server_error",
            Some(ClientError::Timeout) => "timeout",
            Some(ClientError::Connect(_) | ClientError::Broken(_)) => "connection",
            Some(ClientError::Invalid(_)) => "invalid",
        };
        self.client_requests.get_or_create(&ByResult { result }).inc();
        self.client_seconds.observe(took.as_secs_f64());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_5, 2.0, 18));
        let metrics = Self {
            registry: Arc::default(),
            transactions: Family::default(),
            transaction_seconds: seconds(),
            events_accepted: Counter::default(),
            events_repeated: Counter::default(),
            events: Family::default(),
            inbox_events: Gauge::default(),
            rooms_parked: Gauge::default(),
            inbox_lag: seconds(),
            dead_letters: Counter::default(),
            client_requests: Family::default(),
            client_seconds: seconds(),
            client_retries: Counter::default(),
            outbox_events: Gauge::default(),
        };
        let m = &metrics;
        m.register("appservice_transactions", "Transactions by how they were answered", &m.transactions);
        m.register(
            "appservice_transaction_seconds",
            "Time until a transaction was answered",
            &m.transaction_seconds,
        );
        m.register("appservice_events_accepted", "Room events journalled", &m.events_accepted);
        m.register(
            "appservice_events_repeated",
            "Room events that had been journalled before",
            &m.events_repeated,
        );
        m.register("appservice_events_handled", "Attempts to handle a room event, by outcome", &m.events);
        m.register("appservice_inbox_events", "Room events that wait to be handled", &m.inbox_events);
        m.register(
            "appservice_rooms_parked",
            "Rooms whose first event waits for its next attempt",
            &m.rooms_parked,
        );
        m.register("appservice_inbox_lag_seconds", "Time from journalled to handled", &m.inbox_lag);
        m.register("appservice_dead_letters", "Room events given up and kept", &m.dead_letters);
        m.register("appservice_requests", "Requests to the homeserver by result", &m.client_requests);
        m.register("appservice_request_seconds", "Time until a request was answered", &m.client_seconds);
        m.register("appservice_request_retries", "Requests to the homeserver sent again", &m.client_retries);
        m.register(
            "appservice_outbox_events",
            "Events that wait to be sent to the homeserver",
            &m.outbox_events,
        );
        metrics
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
