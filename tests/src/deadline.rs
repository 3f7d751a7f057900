//! Waiting for what another process does: observe until it is so, or fail with what was expected.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long anything may take in a test, on a slow machine with two busy cores.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks at something that cannot tell us by itself.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Asks `look` until it has an answer.
///
/// # Panics
///
/// After [`PATIENCE`], with `expectation`.
pub async fn observe<T, F>(expectation: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let began = Instant::now();
    loop {
        if let Some(answer) = look().await {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "after {PATIENCE:?} still not: {expectation}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Waits for `future`.
///
/// # Panics
///
/// After [`PATIENCE`], with `expectation`.
pub async fn within<T>(expectation: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("after {PATIENCE:?} still not: {expectation}"))
}
