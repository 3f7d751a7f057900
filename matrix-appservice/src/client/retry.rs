//! When a request is sent again.

use std::time::Duration;

/// When a request is sent again, and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The pause after the first attempt; it doubles from there. 200 ms unless set.
    pub first: Duration,
    /// The longest pause that is chosen freely; a homeserver may ask for a longer one. 10 s unless set.
    pub longest: Duration,
    /// How long a request may take with all its attempts. 120 s unless set.
    pub deadline: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(10),
            deadline: Duration::from_secs(120),
        }
    }
}

impl RetryPolicy {
    /// Another deadline.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Another first and longest pause.
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        (self.first, self.longest) = (first, longest);
        self
    }

    /// How long to wait after the attempt with this number, counted from 1.
    ///
    /// Between half of the pause and all of it, so that requests that failed together do not come
    /// back together; but never less than the homeserver asked for.
    pub(crate) fn pause(&self, attempt: u32, asked: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let full = self.first.saturating_mul(doubled).min(self.longest);
        let chosen = full.mul_f64(rand::random_range(0.5..=1.0));
        chosen.max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_keep_to_what_was_asked() {
        let policy = RetryPolicy::default();
        for (attempt, full) in [(1, 200), (2, 400), (3, 800), (7, 10_000), (4_000_000_000, 10_000)] {
            let pause = policy.pause(attempt, None);
            let full = Duration::from_millis(full);
            assert!(pause >= full / 2 && pause <= full, "{attempt}: {pause:?}");
        }
        assert_eq!(policy.pause(1, Some(Duration::from_secs(30))), Duration::from_secs(30));
    }
}
