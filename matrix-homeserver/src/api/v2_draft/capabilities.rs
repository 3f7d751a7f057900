//! Capabilities by hash: those of the server, for the user who asks, and those of users, which are what one of their
//! connected clients is capable of. The hash of the latter is in the presence of the user, as `capabilities`.

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Today, ask, respond, session::InSession};
use crate::{
    api::{ApiError, ApiResult, AppState, Empty, Json, Reply, Requester, Segments},
    homeserver::Services,
    v2::{hash_of, union},
};

/// The largest set, in bytes.
const MAX_SET: usize = 32 << 10;

/// What the server is capable of: what today's specification has it say, and the content repository.
pub(super) async fn of_server(
    State(app): State<AppState>,
    Extension(today): Extension<Today>,
    requester: Requester,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let told = match ask(&app, &today, &parts, Method::GET, "/capabilities", Body::empty()).await {
        Ok(told) => told,
        Err(refused) => return refused,
    };
    let mut set = told["capabilities"].as_object().cloned().unwrap_or_default();
    if !requester.is_guest {
        let limits = json!({"m.upload.size": app.config.max_upload_size});
        set.insert("m.cap.content_repository.v1".to_owned(), limits);
    }
    respond(keep(&app, &set).await.map(|hash| Reply(json!({"sha256": hash})).into_response()))
}

/// Keeps a set, and says by which hash it is known.
async fn keep(app: &Services, set: &Map<String, Value>) -> ApiResult<String> {
    let hash = hash_of(set).ok_or_else(|| ApiError::bad_json("a set of capabilities holds no fractions"))?;
    app.v2.capabilities.put(&hash, set).await?;
    Ok(hash)
}

fn unknown() -> ApiError {
    ApiError::not_found("no set of capabilities with this hash is known")
}

pub(super) async fn by_hash(
    State(app): State<AppState>,
    _: Requester,
    Segments(hash): Segments<String>,
) -> ApiResult<Reply<Map<String, Value>>> {
    Ok(Reply(app.v2.capabilities.get(&hash)?.ok_or_else(unknown)?))
}

/// Tells the server of a set, so that it can be named by its hash.
pub(super) async fn upload(
    State(app): State<AppState>,
    _: Requester,
    Json(set): Json<Map<String, Value>>,
) -> ApiResult<Reply<Value>> {
    let size = serde_json::to_vec(&set).map_or(0, |row| row.len());
    if size > MAX_SET {
        return Err(ApiError::too_large("a set of capabilities has at most 32 KiB"));
    }
    Ok(Reply(json!({"sha256": keep(&app, &set).await?})))
}

#[derive(Debug, Deserialize)]
pub(super) struct Hash {
    sha256: String,
}

/// A client says what it is capable of, by a hash that the server has to know.
pub(super) async fn announce(
    State(app): State<AppState>,
    requester: Requester,
    InSession(session): InSession,
    Json(body): Json<Hash>,
) -> ApiResult<Empty> {
    let Some(set) = app.v2.capabilities.get(&body.sha256)? else {
        let message = "no set of capabilities with this hash is known; upload it first";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "M_UNKNOWN_CAPABILITIES", message));
    };
    session.set_capabilities(set);
    app.show_capabilities(&requester.user_id).await?;
    Ok(Empty)
}

/// The hash of what a user's connected clients are capable of.
pub(super) async fn of_user(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
) -> ApiResult<Reply<Value>> {
    may_see(&app, &requester, &user_id)?;
    match app.users.presence.content(&user_id).get("capabilities") {
        Some(hash) => Ok(Reply(hash.clone())),
        None => Err(ApiError::not_found("no client of this user says what it is capable of")),
    }
}

pub(super) async fn by_hash_of_user(
    State(app): State<AppState>,
    requester: Requester,
    Segments((user_id, hash)): Segments<(OwnedUserId, String)>,
) -> ApiResult<Reply<Map<String, Value>>> {
    may_see(&app, &requester, &user_id)?;
    Ok(Reply(app.v2.capabilities.get(&hash)?.ok_or_else(unknown)?))
}

fn may_see(app: &AppState, requester: &Requester, user_id: &UserId) -> ApiResult<()> {
    if app.may_see_presence(&requester.user_id, user_id)? {
        Ok(())
    } else {
        Err(ApiError::forbidden("you may not see the presence of this user"))
    }
}

impl Services {
    /// Puts into a user's presence what the user's clients are capable of now.
    pub(super) async fn show_capabilities(&self, user_id: &UserId) -> ApiResult<()> {
        let sets = self.v2.sessions.capabilities(user_id);
        let hash = if sets.is_empty() { None } else { Some(keep(self, &union(sets)).await?) };
        if self.users.presence.set_capabilities(user_id, hash).await? {
            self.tell_presence(user_id)?;
        }
        Ok(())
    }
}
