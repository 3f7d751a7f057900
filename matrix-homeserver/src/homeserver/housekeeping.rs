//! What is done now and then, so that nothing grows for ever.

use std::time::Duration;

use ruma::MilliSecondsSinceUnixEpoch;
use tokio_util::sync::CancellationToken;

use crate::room::Transactions;

/// How often.
const INTERVAL: Duration = Duration::from_hours(6);

/// Forgets old transaction IDs, until `shutdown`.
pub(super) async fn run(transactions: Transactions, shutdown: CancellationToken) {
    loop {
        match transactions.expire(MilliSecondsSinceUnixEpoch::now()).await {
            Ok(0) => {}
            Ok(expired) => tracing::debug!(expired, "forgot old transaction IDs"),
            Err(error) => tracing::warn!(%error, "old transaction IDs could not be forgotten"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
