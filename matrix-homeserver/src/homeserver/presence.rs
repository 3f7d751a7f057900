//! Users who are gone without having said so.

use std::{sync::Arc, time::Duration};

use super::Services;
use crate::user::PresenceState;

/// The longest wait between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Says that users are offline who have not been connected for a while, until the server stops.
pub(super) async fn watch(services: Arc<Services>) {
    let patience = services.config.presence_timeout;
    let mut ticks = tokio::time::interval(LOOK_AGAIN.min(patience / 2).max(Duration::from_millis(10)));
    loop {
        tokio::select! {
            () = services.shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for user_id in services.users.presence.gone(patience) {
            if let Err(error) = services.set_presence(&user_id, PresenceState::Offline, None).await {
                tracing::warn!(%user_id, %error, "who is gone is still shown as present");
            }
        }
    }
}
