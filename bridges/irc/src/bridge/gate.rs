//! How fast connections are made: a steady rate for a whole network, and growing pauses for each connection.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// Lets connections to one network through at a steady rate, a second's worth at once.
///
/// Networks throw off, or ban, whoever connects too often in a short time.
#[derive(Debug)]
pub(crate) struct Gate {
    interval: Duration,
    burst: u32,
    /// When the next connection would be due at a steady rate.
    due: Mutex<Option<Instant>>,
}

impl Gate {
    /// So many connections a second on average; 0 is no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        Self { interval, burst: per_second, due: Mutex::new(None) }
    }

    /// Waits for permission to connect. Those who wait are served in the order in which they came.
    pub(crate) async fn admit(&self) {
        if self.interval.is_zero() {
            return;
        }
        let mut due = self.due.lock().await;
        let now = Instant::now();
        let ahead = self.interval * self.burst.saturating_sub(1);
        let mine = due.map_or(now, |due| due.max(now));
        if let Some(begin) = mine.checked_sub(ahead)
            && begin > now
        {
            sleep_until(begin).await;
        }
        *due = Some(mine + self.interval);
    }
}

/// Pauses between attempts to connect: they double, with some chance in them, up to a limit.
#[derive(Debug)]
pub(crate) struct Backoff {
    limit: Duration,
    attempt: u32,
}

impl Backoff {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, attempt: 0 }
    }

    /// The next pause. `chance` is between 0 and 1.
    pub(crate) fn pause(&mut self, chance: f64) -> Duration {
        let full = Duration::from_secs(1).saturating_mul(1 << self.attempt.min(20)).min(self.limit);
        self.attempt += 1;
        full.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// A connection worked.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_seconds_worth_passes_at_once_and_the_rest_at_the_rate() {
        let gate = Gate::new(4);
        let start = Instant::now();
        let mut times = Vec::new();
        for _ in 0..8 {
            gate.admit().await;
            times.push(start.elapsed().as_millis());
        }
        assert_eq!(times[..4], [0, 0, 0, 0]);
        assert!(times[7] >= 1000 && times[7] <= 1010, "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn zero_is_no_limit() {
        let (gate, start) = (Gate::new(0), Instant::now());
        for _ in 0..1000 {
            gate.admit().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[test]
    fn pauses_double_up_to_the_limit_and_begin_anew_after_success() {
        let mut backoff = Backoff::new(Duration::from_secs(10));
        let pauses: Vec<_> = (0..6).map(|_| backoff.pause(1.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        backoff.reset();
        assert_eq!(backoff.pause(0.0), Duration::from_millis(500));
    }
}
