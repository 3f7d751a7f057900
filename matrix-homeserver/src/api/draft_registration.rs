//! The draft's registration of application services over HTTP: `POST /register` and `POST /unregister`. Served only
//! where the drafts are. Who has registered stays registered when the server is started again.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use http::StatusCode;
use matrix_appservice::{NamespaceSet, Secret, registration::DraftRegistration};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ApiError, ApiResult, AppState, Empty, Json, Reply, Routes};
use crate::user::TokenHash;

pub(super) fn routes() -> Routes {
    Routes::new()
        .draft("/_matrix/appservice/v1/register", post(register))
        .draft("/_matrix/appservice/v1/unregister", post(unregister))
        .draft("/unregister", post(unregister))
}

async fn register(State(app): State<AppState>, Json(body): Json<Value>) -> ApiResult<Response> {
    register_appservice(&app, body).await
}

/// Lets an application service register itself. Its events are delivered from the moment this is answered.
pub(super) async fn register_appservice(app: &AppState, body: Value) -> ApiResult<Response> {
    if body.get("as_token").is_none_or(|token| token.as_str().is_none_or(str::is_empty)) {
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "as_token is missing"));
    }
    let draft: DraftRegistration = serde_json::from_value(body)
        .map_err(|_| ApiError::bad_json("url and namespaces are not what they should be"))?;
    let token = draft.as_token.clone();
    let known = &app.config.draft_tokens;
    if !known.is_empty() && !known.iter().any(|known| known.matches(token.expose())) {
        return Err(ApiError::forbidden("this server does not know the application service"));
    }
    if NamespaceSet::new(&draft.namespaces).is_err() {
        return Err(ApiError::invalid_param("the namespaces are not regular expressions"));
    }
    let hash = TokenHash::of(token.expose());
    if let Some(known) = app.appservices.by_token(&hash)
        && !app.appservices.queues.is_drafted(known.id())?
    {
        return Err(ApiError::forbidden("the application service is registered by a file"));
    }
    let digest = Sha256::digest(token.expose().as_bytes());
    let name = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect::<String>();
    let registration =
        draft.into_registration(format!("draft-{name}"), format!("as_{name}"), Secret::generate());
    let hs_token = registration.hs_token.expose().to_owned();
    app.appservices.queues.keep_drafted(&registration, hash).await?;
    // Registering once more replaces what was registered before.
    app.appservices.remove(&hash);
    let id = registration.id.clone();
    if let Err(error) = app.add_appservice(registration).await {
        tracing::warn!(%error, "an application service could not register itself");
        // The server would not start with it either.
        app.appservices.remove(&hash);
        app.appservices.queues.forget_drafted(&id).await?;
        return Err(ApiError::unknown("the application service cannot be served"));
    }
    Ok(Reply(json!({"hs_token": hs_token})).into_response())
}

#[derive(Debug, Deserialize)]
struct Unregistration {
    as_token: Option<String>,
}

async fn unregister(State(app): State<AppState>, Json(body): Json<Unregistration>) -> ApiResult<Empty> {
    let Some(token) = body.as_token else {
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN", "as_token is missing"));
    };
    let hash = TokenHash::of(&token);
    let queues = &app.appservices.queues;
    let known = app.appservices.by_token(&hash);
    let Some(known) = known.filter(|known| queues.is_drafted(known.id()).unwrap_or(false)) else {
        return Err(ApiError::forbidden("no application service registered itself with this token"));
    };
    // In this order: a crash in between leaves an application service that is registered, and can unregister again.
    app.appservices.remove(&hash);
    queues.drop_all(known.id()).await?;
    queues.forget_drafted(known.id()).await?;
    Ok(Empty)
}
