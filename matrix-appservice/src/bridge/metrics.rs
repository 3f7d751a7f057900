//! What the bridge counts.

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

/// What the bridge counts. All counters are since the start of the process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    pub(crate) journalled: Counter,
    pub(crate) remote_handled: Counter,
    pub(crate) remote_failed: Counter,
    pub(crate) remote_duplicates: Counter,
    pub(crate) remote_retries: Counter,
    pub(crate) remote_waiting: Gauge,
    pub(crate) sends: Counter,
    pub(crate) sends_rejected: Counter,
    pub(crate) sends_uncertain: Counter,
    pub(crate) sends_pending: Gauge,
    pub(crate) logins_open: Gauge,
    pub(crate) portals_made: Counter,
    pub(crate) ghosts_made: Counter,
}

impl Metrics {
    /// Shows them with the others. Counters get `_total` after their names.
    pub(crate) fn register(&self, registry: &crate::metrics::Metrics) {
        let counter = |name: &str, help: &str, metric: &Counter| registry.register(name, help, metric);
        counter(
            "bridge_remote_events_journalled",
            "Events of the network that are safe on disk",
            &self.journalled,
        );
        counter(
            "bridge_remote_events_handled",
            "Events of the network that reached Matrix or needed nothing",
            &self.remote_handled,
        );
        counter(
            "bridge_remote_events_failed",
            "Events of the network that the homeserver refused for good",
            &self.remote_failed,
        );
        counter(
            "bridge_remote_events_duplicate",
            "Messages of the network that were known already",
            &self.remote_duplicates,
        );
        counter(
            "bridge_remote_event_retries",
            "Repeated attempts to bring an event to Matrix",
            &self.remote_retries,
        );
        counter("bridge_sends", "Requests that the network accepted", &self.sends);
        counter(
            "bridge_sends_rejected",
            "Requests that were refused, and reported to the sender",
            &self.sends_rejected,
        );
        counter(
            "bridge_sends_uncertain",
            "Requests whose outcome nobody can tell, reported to the sender",
            &self.sends_uncertain,
        );
        counter("bridge_portals_made", "Rooms made for chats", &self.portals_made);
        counter("bridge_ghosts_made", "Ghosts made for users of the network", &self.ghosts_made);
        let gauge = |name: &str, help: &str, metric: &Gauge| registry.register(name, help, metric);
        gauge(
            "bridge_remote_events_waiting",
            "Events of the network on their way to Matrix",
            &self.remote_waiting,
        );
        gauge("bridge_sends_pending", "Requests that the network has not confirmed yet", &self.sends_pending);
        gauge("bridge_logins_open", "Logins that are open", &self.logins_open);
    }
}
