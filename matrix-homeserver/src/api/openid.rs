//! [OpenID](https://spec.matrix.org/v1.19/client-server-api/#openid): proving to widgets and bridges who one is.

use axum::{
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState, OptionalJson, Params, Reply, Requester, Routes, Segments, extract::Nothing,
};
use crate::user::OPENID_LIFETIME;

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/user/{user_id}/openid/request_token", post(request_open_id_token))
        .absolute("/_matrix/federation/v1/openid/userinfo", get(exchange_open_id_token))
}

async fn request_open_id_token(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    _: OptionalJson<Nothing>,
) -> ApiResult<Reply<Value>> {
    requester.must_be(&user_id)?;
    let token = app.users.give_openid_token(&user_id).await?;
    Ok(Reply(json!({
        "access_token": token,
        "token_type": "Bearer",
        "matrix_server_name": app.config.server_name,
        "expires_in": OPENID_LIFETIME.as_secs(),
    })))
}

#[derive(Deserialize)]
struct Token {
    access_token: Option<String>,
}

async fn exchange_open_id_token(
    State(app): State<AppState>,
    Params(Token { access_token }): Params<Token>,
) -> ApiResult<Reply<Value>> {
    let token = access_token.ok_or_else(|| ApiError::missing_token("access_token is missing"))?;
    match app.users.openid_user(&token)? {
        Some(user_id) => Ok(Reply(json!({"sub": user_id}))),
        None => {
            let text = "the token is unknown or has expired";
            Err(ApiError::new(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN", text))
        }
    }
}
