//! What the server counts about its requests.

use std::{fmt::Write, sync::Arc, time::Duration};

use http::Method;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};

/// The upper bounds of the classes of latency, in seconds: from a send in memory to a long poll.
const LATENCIES: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Where a request went.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Route {
    method: Verb,
    /// The path of the route, with the names of its parameters in place of their values.
    route: Arc<str>,
}

/// Where a request went, and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Answered {
    method: Verb,
    route: Arc<str>,
    status: u16,
}

/// A method of the interface; clients may send any others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Verb(&'static str);

impl Verb {
    fn of(method: &Method) -> Self {
        let known = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"];
        Self(known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other"))
    }
}

impl EncodeLabelValue for Verb {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(self.0)
    }
}

/// Counts of requests.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// Panics of handlers, caught.
    pub(crate) panics: Counter,
    /// Answers with a status of 500 or more.
    pub(crate) server_errors: Counter,
    /// Answers.
    pub(crate) requests: Family<Answered, Counter>,
    /// From the head of a request to the head of its answer, in seconds.
    pub(crate) latency: Family<Route, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            panics: Counter::default(),
            server_errors: Counter::default(),
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCIES)),
        }
    }
}

impl Metrics {
    /// Counts an answer. `route` is the path of the route, not that of the request, of which there are endlessly many.
    pub(crate) fn answered(&self, method: &Method, route: &str, status: u16, took: Duration) {
        let (method, route) = (Verb::of(method), Arc::<str>::from(route));
        self.latency.get_or_create(&Route { method, route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Answered { method, route, status }).inc();
    }
}
