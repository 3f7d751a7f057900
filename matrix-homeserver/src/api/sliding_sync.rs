//! [Simplified sliding sync](https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md)
//! (MSC4186), on the path that clients know it by.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, routing::post};
use http::StatusCode;
use serde::Deserialize;

use super::{
    ApiError, ApiResult, AppState, Json, Params, Reply, Requester, Routes,
    sync::{MAX_TIMEOUT, be_there},
};
use crate::sync::{BodyError, SlidingBody, SlidingRequest, SlidingResponse};

pub(super) fn routes() -> Routes {
    Routes::new().absolute("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", post(sliding_sync))
}

#[derive(Debug, Deserialize)]
struct Query {
    pos: Option<String>,
    timeout: Option<u64>,
    set_presence: Option<String>,
}

async fn sliding_sync(
    State(app): State<AppState>,
    requester: Requester,
    Params(query): Params<Query>,
    Json(body): Json<SlidingBody>,
) -> ApiResult<Reply<SlidingResponse>> {
    body.check()?;
    let _there = be_there(&app, &requester, query.set_presence.as_deref()).await?;
    let request = Arc::new(SlidingRequest {
        user_id: requester.user_id,
        device_id: requester.device_id,
        pos: query.pos,
        timeout: Duration::from_millis(query.timeout.unwrap_or(0)).min(MAX_TIMEOUT),
        body,
    });
    let unknown = || {
        let text = "the position is not known any more: begin the connection anew";
        ApiError::new(StatusCode::BAD_REQUEST, "M_UNKNOWN_POS", text)
    };
    Ok(Reply(app.sync.sliding(request).await?.ok_or_else(unknown)?))
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooMuch(_) => Self::bad_json(error.to_string()),
            BodyError::Since => Self::invalid_param(error.to_string()),
        }
    }
}
