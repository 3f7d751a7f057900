//! [Accounts](https://spec.matrix.org/v1.19/client-server-api/#account-management): who am I, password, closing.

use axum::{
    extract::State,
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState, Empty, Json, OptionalJson, Reply, Requester, Routes,
    auth::MaybeRequester,
    register::check_password,
    uia::{self, AuthData},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/account/whoami", get(get_token_owner))
        .v3("/account/password", post(change_password))
        .v3("/account/deactivate", post(deactivate_account))
}

async fn get_token_owner(requester: Requester) -> Reply<Value> {
    let mut reply = json!({"user_id": requester.user_id, "is_guest": requester.is_guest});
    if let Some(device_id) = &requester.device_id {
        reply["device_id"] = device_id.as_str().into();
    }
    Reply(reply)
}

#[derive(Deserialize)]
struct NewPassword {
    auth: Option<AuthData>,
    new_password: Option<String>,
    #[serde(default = "yes")]
    logout_devices: bool,
}

fn yes() -> bool {
    true
}

/// With a token and the old password; or without either, by a mail to an address of the account.
async fn change_password(
    State(app): State<AppState>,
    MaybeRequester(requester): MaybeRequester,
    Json(body): Json<NewPassword>,
) -> ApiResult<Empty> {
    if requester.as_ref().is_some_and(|requester| requester.appservice.is_some()) {
        return Err(ApiError::forbidden("application services do not manage accounts"));
    }
    let Some(password) = body.new_password else {
        return Err(ApiError::missing_param("new_password is missing"));
    };
    check_password(&password)?;
    let (user_id, kept) = match requester {
        Some(requester) => {
            uia::password(&app, &requester, "POST /account/password", body.auth).await?;
            (requester.user_id, requester.device_id)
        }
        None => (uia::email(&app, "POST /account/password", body.auth).await?, None),
    };
    app.users.set_password(&user_id, password).await?;
    if body.logout_devices {
        app.users.remove_all_devices(&user_id, kept.as_deref()).await?;
    }
    Ok(Empty)
}

#[derive(Debug, Deserialize)]
struct Deactivation {
    auth: Option<AuthData>,
    /// Who comes later is not to read what the user said.
    #[serde(default)]
    erase: bool,
}

async fn deactivate_account(
    State(app): State<AppState>,
    requester: Requester,
    OptionalJson(body): OptionalJson<Deactivation>,
) -> ApiResult<Reply<Value>> {
    uia::password(&app, &requester, "POST /account/deactivate", body.auth).await?;
    app.leave_all_rooms(&requester.user_id).await?;
    if body.erase {
        app.users.erase(&requester.user_id).await?;
    }
    app.users.deactivate(&requester.user_id).await?;
    Ok(Reply(json!({"id_server_unbind_result": "success"})))
}
