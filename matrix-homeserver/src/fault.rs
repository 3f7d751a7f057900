//! The fault dial: a torture kit for bridges and clients.
//!
//! A test turns the dial, and from then on requests go wrong the way they do in the world: answers are lost after the
//! work was done, connections break, servers are slow or answer 502, transactions come twice. What was turned can be
//! counted, limited and turned back.
//!
//! Two directions are told apart by their [`FaultTarget`]: what clients and application services ask of the homeserver
//! (a route), and what the homeserver tells an application service.

use std::{
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::glob;

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The work is done, and the answer never arrives: the connection is cut instead.
    LoseAcknowledgement,
    /// The answer has this status, and nothing is done.
    Status {
        /// From 400 to 599.
        status: u16,
        /// Told to clients as `retry_after_ms` and `Retry-After`, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// Everything happens as it should, but later.
    Delay {
        /// How much later, in milliseconds.
        delay_ms: u64,
    },
    /// The connection is cut, and nothing is done.
    CutConnection,
    /// An acknowledged transaction is sent once more, byte for byte. Only for application services.
    RepeatTransaction,
}

/// Which requests go wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultTarget {
    /// Requests to the homeserver: a method or `*`, a space, and a path in which `*` stands for any text, as in
    /// `PUT /_matrix/client/v3/rooms/*/send/*`. Paths are compared as they are on the wire, percent-encoded.
    Route(String),
    /// Requests of the homeserver to the application service with this ID.
    Appservice(String),
}

/// A turn of the dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRule {
    /// Which requests.
    #[serde(flatten)]
    pub target: FaultTarget,
    /// What goes wrong with them.
    #[serde(flatten)]
    pub fault: Fault,
    /// So many requests are left in peace first.
    #[serde(default)]
    pub skip: u64,
    /// So many go wrong then; all, if there is no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

impl FaultRule {
    /// What goes wrong with every request to a route; see [`FaultTarget::Route`].
    pub fn route(route: impl Into<String>, fault: Fault) -> Self {
        Self { target: FaultTarget::Route(route.into()), fault, skip: 0, times: None }
    }

    /// What goes wrong with everything that the homeserver tells an application service.
    pub fn appservice(id: impl Into<String>, fault: Fault) -> Self {
        Self { target: FaultTarget::Appservice(id.into()), fault, skip: 0, times: None }
    }

    /// Leaves so many requests in peace first.
    pub fn after(mut self, skip: u64) -> Self {
        self.skip = skip;
        self
    }

    /// Lets only so many requests go wrong.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }
}

/// Why the dial cannot be turned like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultRefused {
    /// The status is not an error.
    #[error("a fault has a status from 400 to 599")]
    Status,
    /// The route is not `METHOD /path`.
    #[error("a route is a method or *, a space, and a path that begins with /")]
    Route,
    /// The fault makes no sense for a route.
    #[error("only what is told to application services can be repeated")]
    Repeat,
}

/// Names a turn of the dial. Unique within a server, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FaultId(u64);

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for FaultId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The dial of one server. Clones turn the same dial.
#[derive(Debug, Clone, Default)]
pub struct FaultDial {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is any rule at all, so that a server without faults pays next to nothing.
    turned: AtomicBool,
    rules: Mutex<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    last_id: u64,
    rules: Vec<Turned>,
}

#[derive(Debug)]
struct Turned {
    id: FaultId,
    rule: FaultRule,
    seen: u64,
    hits: u64,
}

impl Turned {
    /// Counts a request to the target, and says whether it goes wrong.
    fn strikes(&mut self) -> bool {
        self.seen += 1;
        let strikes = self.seen > self.rule.skip && self.rule.times.is_none_or(|times| self.hits < times);
        self.hits += u64::from(strikes);
        strikes
    }
}

impl FaultDial {
    /// Turns the dial. The faults of several rules that hit one request: delays first, then the first other one.
    ///
    /// # Errors
    /// If the rule makes no sense.
    pub fn turn(&self, rule: FaultRule) -> Result<FaultId, FaultRefused> {
        if let Fault::Status { status, .. } = rule.fault
            && !(400..=599).contains(&status)
        {
            return Err(FaultRefused::Status);
        }
        if let FaultTarget::Route(route) = &rule.target {
            let (_, path) = route.split_once(' ').ok_or(FaultRefused::Route)?;
            if !path.starts_with(['/', '*']) {
                return Err(FaultRefused::Route);
            }
            if rule.fault == Fault::RepeatTransaction {
                return Err(FaultRefused::Repeat);
            }
        }
        let mut rules = self.inner.rules.lock();
        rules.last_id += 1;
        let id = FaultId(rules.last_id);
        rules.rules.push(Turned { id, rule, seen: 0, hits: 0 });
        self.inner.turned.store(true, Ordering::Release);
        Ok(id)
    }

    /// Turns one rule back. How many requests it let go wrong, if there was such a rule.
    pub fn turn_back(&self, id: FaultId) -> Option<u64> {
        let mut rules = self.inner.rules.lock();
        let position = rules.rules.iter().position(|turned| turned.id == id)?;
        let hits = rules.rules.remove(position).hits;
        self.inner.turned.store(!rules.rules.is_empty(), Ordering::Release);
        Some(hits)
    }

    /// Turns everything back.
    pub fn clear(&self) {
        self.inner.rules.lock().rules.clear();
        self.inner.turned.store(false, Ordering::Release);
    }

    /// How many requests a rule has let go wrong so far.
    pub fn hits(&self, id: FaultId) -> Option<u64> {
        let rules = self.inner.rules.lock();
        rules.rules.iter().find(|turned| turned.id == id).map(|turned| turned.hits)
    }

    /// Every rule with its ID and its hits.
    pub fn rules(&self) -> Vec<(FaultId, FaultRule, u64)> {
        let rules = self.inner.rules.lock();
        rules.rules.iter().map(|turned| (turned.id, turned.rule.clone(), turned.hits)).collect()
    }

    pub(crate) fn on_route(&self, method: &Method, path: &str) -> Struck {
        self.strike(|target| match target {
            FaultTarget::Route(route) => {
                let (wanted, pattern) = route.split_once(' ').unwrap_or(("*", route));
                (wanted == "*" || wanted.eq_ignore_ascii_case(method.as_str()))
                    && glob::matches(pattern, path)
            }
            FaultTarget::Appservice(_) => false,
        })
    }

    pub(crate) fn on_appservice(&self, id: &str) -> Struck {
        self.strike(|target| matches!(target, FaultTarget::Appservice(wanted) if wanted == id))
    }

    fn strike(&self, hits: impl Fn(&FaultTarget) -> bool) -> Struck {
        let mut struck = Struck::default();
        if !self.inner.turned.load(Ordering::Acquire) {
            return struck;
        }
        for turned in &mut self.inner.rules.lock().rules {
            if !hits(&turned.rule.target) || (struck.fault.is_some() && !turned.is_delay()) {
                continue;
            }
            if turned.strikes() {
                match turned.rule.fault {
                    Fault::Delay { delay_ms } => struck.delay += Duration::from_millis(delay_ms),
                    ref fault => struck.fault = Some(fault.clone()),
                }
            }
        }
        struck
    }
}

impl Turned {
    fn is_delay(&self) -> bool {
        matches!(self.rule.fault, Fault::Delay { .. })
    }
}

/// What goes wrong with one request.
#[derive(Debug, Default)]
pub(crate) struct Struck {
    pub(crate) delay: Duration,
    /// Anything but a delay.
    pub(crate) fault: Option<Fault>,
}

impl Struck {
    /// Waits, where the dial says so.
    pub(crate) async fn wait(&self) {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }
}

/// The status of a fault that passed the dial.
pub(crate) fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests;
