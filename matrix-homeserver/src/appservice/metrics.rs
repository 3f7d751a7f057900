//! What is counted of the way to application services.

use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};

/// `appservice`, its ID.
pub(crate) type Labels = Vec<(String, String)>;

/// Counts for every application service. Cloning gives another handle.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeliveryMetrics {
    /// Transactions that were acknowledged.
    pub(crate) transactions: Family<Labels, Counter>,
    /// Events in acknowledged transactions.
    pub(crate) events: Family<Labels, Counter>,
    /// Attempts to deliver a transaction that failed.
    pub(crate) failures: Family<Labels, Counter>,
    /// Events that wait.
    pub(crate) waiting: Family<Labels, Gauge>,
}

/// The counts of one application service.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) transactions: Counter,
    pub(super) events: Counter,
    pub(super) failures: Counter,
    pub(super) waiting: Gauge,
}

impl DeliveryMetrics {
    pub(super) fn of(&self, appservice: &str) -> Delivery {
        let labels = vec![("appservice".to_owned(), appservice.to_owned())];
        Delivery {
            transactions: self.transactions.get_or_create(&labels).clone(),
            events: self.events.get_or_create(&labels).clone(),
            failures: self.failures.get_or_create(&labels).clone(),
            waiting: self.waiting.get_or_create(&labels).clone(),
        }
    }
}
