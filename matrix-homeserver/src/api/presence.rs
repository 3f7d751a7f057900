//! [Presence](https://spec.matrix.org/v1.19/client-server-api/#presence), in the words of today and of 2014.

use axum::{extract::State, routing::get};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::Value;

use super::{ApiError, ApiResult, AppState, Dialect, Empty, Json, Reply, Requester, Routes, Segments};
use crate::{homeserver::Services, user::PresenceState};

pub(super) fn routes() -> Routes {
    Routes::new().since_2014("/presence/{user_id}/status", get(get_presence).put(set_presence))
}

impl Services {
    /// The content of somebody's `m.presence` as a request reads it.
    pub(super) fn presence_content(&self, requester: &Requester, user_id: &UserId) -> Value {
        match requester.dialect {
            Dialect::Today => self.users.presence.content(user_id),
            Dialect::Of2014 => self.users.presence.content_of_2014(user_id, &requester.user_id),
        }
    }
}

async fn get_presence(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
) -> ApiResult<Reply<Value>> {
    if !app.may_see_presence(&requester.user_id, &user_id)? {
        return Err(ApiError::forbidden("you share no room with this user"));
    }
    Ok(Reply(app.presence_content(&requester, &user_id)))
}

#[derive(Debug, Deserialize)]
struct Status {
    presence: String,
    status_msg: Option<String>,
}

async fn set_presence(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    Json(status): Json<Status>,
) -> ApiResult<Empty> {
    requester.must_be(&user_id)?;
    let Some(state) = PresenceState::parse(&status.presence) else {
        return Err(ApiError::invalid_param("presence is online, unavailable or offline"));
    };
    app.set_presence(&user_id, state, Some(status.status_msg)).await?;
    Ok(Empty)
}
