//! [Syncing](https://spec.matrix.org/v1.19/client-server-api/#syncing).

use std::{sync::Arc, time::Duration};

use axum::{extract::State, routing::get};
use serde::Deserialize;

use super::{ApiError, ApiResult, AppState, Params, Reply, Requester, Routes, filter, read::position};
use crate::{
    sync::{SyncRequest, SyncResponse},
    user::{Connected, PresenceState},
};

/// The longest that a request may wait.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_mins(5);

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

/// Shows the user to be there while the request waits, in the way that it says.
pub(super) async fn be_there(
    app: &AppState,
    requester: &Requester,
    set_presence: Option<&str>,
) -> ApiResult<Option<Connected>> {
    let presence = match set_presence {
        None => PresenceState::Online,
        Some(presence) => PresenceState::parse(presence)
            .ok_or_else(|| ApiError::invalid_param("set_presence is online, unavailable or offline"))?,
    };
    if presence == PresenceState::Offline {
        return Ok(None);
    }
    app.set_presence(&requester.user_id, presence, None).await?;
    Ok(Some(app.users.presence.connect(&requester.user_id)))
}

async fn sync(
    State(app): State<AppState>,
    requester: Requester,
    Params(query): Params<Query>,
) -> ApiResult<Reply<SyncResponse>> {
    let filter = filter::find(&app, &requester.user_id, query.filter.as_deref())?;
    let since = query.since.as_deref().map(position).transpose()?;
    let _there = be_there(&app, &requester, query.set_presence.as_deref()).await?;
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
