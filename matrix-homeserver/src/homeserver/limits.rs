//! Rate limits ([rate limiting](https://spec.matrix.org/v1.19/client-server-api/#rate-limiting)): token buckets that fill
//! up again at a steady rate.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// What is limited, each for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    /// Events, by user: 10 a second, 100 at once.
    Message,
    /// Joins, by user: 5 a second, 50 at once.
    Join,
    /// Logins, by account and by address: 1 a second, 10 at once.
    Login,
    /// Refreshed tokens, by address: 10 a second, 100 at once.
    Refresh,
    /// Searches for users, by user: 5 a second, 50 at once.
    Search,
    /// Registrations, by address: 2 a second, 20 at once.
    Registration,
    /// Invitations, by user: 5 a second, 50 at once.
    Invite,
}

impl Limit {
    /// How many a second, and how many at once.
    fn rate(self) -> (f64, f64) {
        match self {
            Self::Message | Self::Refresh => (10.0, 100.0),
            Self::Join | Self::Invite | Self::Search => (5.0, 50.0),
            Self::Login => (1.0, 10.0),
            Self::Registration => (2.0, 20.0),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    since: Instant,
}

/// The buckets of everybody who did something lately.
#[derive(Debug)]
pub(crate) struct Limits {
    enabled: bool,
    buckets: Mutex<HashMap<(Limit, String), Bucket>>,
}

/// Full buckets are forgotten when there are more than this.
const MAX_BUCKETS: usize = 10_000;

impl Limits {
    pub(crate) fn new(enabled: bool) -> Self {
        Self { enabled, buckets: Mutex::default() }
    }

    /// Takes one from the bucket.
    ///
    /// # Errors
    /// How long to wait, when it is empty.
    pub(crate) fn take(&self, limit: Limit, whose: &str) -> Result<(), Duration> {
        if !self.enabled {
            return Ok(());
        }
        self.take_at(limit, whose, Instant::now())
    }

    fn take_at(&self, limit: Limit, whose: &str, now: Instant) -> Result<(), Duration> {
        let (rate, burst) = limit.rate();
        let mut buckets = self.buckets.lock();
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain(|(limit, _), bucket| {
                let (rate, burst) = limit.rate();
                bucket.left + now.saturating_duration_since(bucket.since).as_secs_f64() * rate < burst
            });
        }
        let bucket = buckets.entry((limit, whose.to_owned())).or_insert(Bucket { left: burst, since: now });
        let filled = now.saturating_duration_since(bucket.since).as_secs_f64() * rate;
        bucket.left = (bucket.left + filled).min(burst);
        bucket.since = now;
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) / rate));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_steady_rate() {
        let limits = Limits::new(true);
        let start = Instant::now();
        for _ in 0..10 {
            limits.take_at(Limit::Login, "alice", start).unwrap();
        }
        let wait = limits.take_at(Limit::Login, "alice", start).unwrap_err();
        assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(900), "{wait:?}");
        limits.take_at(Limit::Login, "bob", start).unwrap();
        limits.take_at(Limit::Login, "alice", start + wait).unwrap();
        limits.take_at(Limit::Login, "alice", start + wait).unwrap_err();
    }

    #[test]
    fn nobody_is_limited_when_limits_are_off() {
        let limits = Limits::new(false);
        assert!((0..10_000).all(|_| limits.take(Limit::Login, "alice").is_ok()));
    }
}
