//! [Syncing](https://spec.matrix.org/v1.19/client-server-api/#syncing).

use std::{sync::Arc, time::Duration};

use axum::{extract::State, routing::get};
use serde::Deserialize;

use super::{ApiError, ApiResult, AppState, Params, Reply, Requester, Routes, filter, read::position};
use crate::{
    sync::{SyncRequest, SyncResponse},
    user::PresenceState,
};

/// The longest that a request may wait.
const MAX_TIMEOUT: Duration = Duration::from_mins(5);

pub(super) fn routes() -> Routes {
    Routes::new().v3("/sync", get(sync))
}

#[derive(Debug, Deserialize)]
struct Query {
    filter: Option<String>,
    since: Option<String>,
    #[serde(default)]
    full_state: bool,
    set_presence: Option<String>,
    timeout: Option<u64>,
    #[serde(default, alias = "org.matrix.msc4222.use_state_after")]
    use_state_after: bool,
}

async fn sync(
    State(app): State<AppState>,
    requester: Requester,
    Params(query): Params<Query>,
) -> ApiResult<Reply<SyncResponse>> {
    let filter = filter::find(&app, &requester.user_id, query.filter.as_deref())?;
    let since = query.since.as_deref().map(position).transpose()?;
    let presence = match query.set_presence.as_deref() {
        None => PresenceState::Online,
        Some(presence) => PresenceState::parse(presence)
            .ok_or_else(|| ApiError::invalid_param("set_presence is online, unavailable or offline"))?,
    };
    let mut _there = None;
    if presence != PresenceState::Offline {
        app.set_presence(&requester.user_id, presence, None).await?;
        _there = Some(app.users.presence.connect(&requester.user_id));
    }
    let request = Arc::new(SyncRequest {
        user_id: requester.user_id,
        device_id: requester.device_id,
        since,
        filter,
        full_state: query.full_state,
        timeout: Duration::from_millis(query.timeout.unwrap_or(0)).min(MAX_TIMEOUT),
        use_state_after: query.use_state_after,
    });
    Ok(Reply(app.sync.sync(request).await?))
}
