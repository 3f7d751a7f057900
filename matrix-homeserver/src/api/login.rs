//! [Login](https://spec.matrix.org/v1.19/client-server-api/#login) and logout.

use axum::{
    extract::State,
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, Uri};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState, Empty, Json, OptionalJson, Reply, Requester, Routes,
    extract::access_token,
    layer::Peer,
    register::{login_reply, tokens_reply},
    uia::{self, AuthData},
};
use crate::{
    homeserver::Limit,
    user::{LOGIN_TOKEN_LIFETIME, NewSession, TokenHash},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/login", get(get_login_flows).post(login))
        .v3("/refresh", post(refresh))
        .v1("/login/get_token", post(generate_login_token))
        .since_2014("/logout", post(logout))
        .since_2014("/logout/all", post(logout_all))
}

/// How a client names a user ([identifier types](https://spec.matrix.org/v1.19/client-server-api/#identifier-types)).
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Identifier {
    #[serde(rename = "type")]
    kind: String,
    user: Option<String>,
    medium: Option<String>,
    address: Option<String>,
}

impl Identifier {
    pub(super) fn user(&self) -> Option<&str> {
        if self.kind == "m.id.user" { self.user.as_deref() } else { None }
    }

    /// An address by which a user is named.
    fn address(&self) -> Option<(&str, String)> {
        let (medium, address) = (self.medium.as_deref()?, self.address.as_deref()?);
        (self.kind == "m.id.thirdparty").then(|| (medium, address.to_lowercase()))
    }
}

#[derive(Deserialize)]
pub(super) struct LoginBody {
    #[serde(rename = "type")]
    kind: Option<String>,
    identifier: Option<Identifier>,
    pub(super) user: Option<String>,
    password: Option<String>,
    /// For `m.login.token`.
    token: Option<String>,
    #[serde(default)]
    refresh_token: bool,
    pub(super) device_id: Option<OwnedDeviceId>,
    pub(super) initial_device_display_name: Option<String>,
}

async fn get_login_flows(State(app): State<AppState>) -> Reply<Value> {
    let mut flows = vec![
        json!({"type": "m.login.application_service"}),
        json!({"type": "m.login.token", "get_login_token": true}),
    ];
    if app.config.login.password_suffices() {
        flows.insert(0, json!({"type": "m.login.password"}));
    }
    Reply(json!({"flows": flows}))
}

async fn login(
    State(app): State<AppState>,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    Json(mut body): Json<LoginBody>,
) -> ApiResult<Reply<Value>> {
    let Some(kind) = body.kind.take() else { return Err(ApiError::missing_param("type is missing")) };
    let user_id = match kind.as_str() {
        "m.login.password" if app.config.login.password_suffices() => {
            by_password(&app, &peer, &mut body).await?
        }
        "m.login.token" => by_token(&app, &peer, &body)?,
        "m.login.application_service" => by_appservice(&app, &uri, &headers, &body)?,
        _ => return Err(ApiError::unknown("unknown login type")),
    };
    let session = NewSession {
        device_id: body.device_id,
        display_name: body.initial_device_display_name,
        lifetime: body.refresh_token.then_some(app.config.access_token_lifetime),
    };
    let login = app.users.log_in(&user_id, session).await?;
    let mut reply = login_reply(&app, &user_id, Some(login));
    reply["well_known"] = json!({"m.homeserver": {"base_url": app.base_url()}});
    Ok(Reply(reply))
}

/// With a token of [`generate_login_token`].
pub(super) fn by_token(app: &AppState, peer: &Peer, body: &LoginBody) -> ApiResult<OwnedUserId> {
    let Some(token) = &body.token else { return Err(ApiError::missing_param("token is missing")) };
    app.throttle(Limit::Login, &peer.name())?;
    let refused = || ApiError::forbidden("the login token is not valid, or not any more");
    app.users.login_tokens.take(token).ok_or_else(refused)
}

#[derive(Debug, Deserialize)]
struct LoginTokenBody {
    auth: Option<AuthData>,
}

/// A token with which another client of the user logs in, once.
async fn generate_login_token(
    State(app): State<AppState>,
    requester: Requester,
    OptionalJson(body): OptionalJson<LoginTokenBody>,
) -> ApiResult<Reply<Value>> {
    if requester.appservice.is_some() {
        return Err(ApiError::forbidden("application services do not manage accounts"));
    }
    uia::password(&app, &requester, "POST /login/get_token", body.auth).await?;
    app.throttle(Limit::Login, requester.user_id.as_str())?;
    let token = app.users.login_tokens.give(requester.user_id);
    let token = token.ok_or_else(|| ApiError::limit_exceeded(LOGIN_TOKEN_LIFETIME))?;
    let expires = u64::try_from(LOGIN_TOKEN_LIFETIME.as_millis()).unwrap_or(u64::MAX);
    Ok(Reply(json!({"login_token": token, "expires_in_ms": expires})))
}

#[derive(Deserialize)]
struct RefreshBody {
    refresh_token: Option<String>,
}

async fn refresh(
    State(app): State<AppState>,
    peer: Peer,
    Json(body): Json<RefreshBody>,
) -> ApiResult<Reply<Value>> {
    let Some(token) = body.refresh_token else {
        return Err(ApiError::missing_param("refresh_token is missing"));
    };
    app.throttle(Limit::Refresh, &peer.name())?;
    match app.users.refresh(&token, app.config.access_token_lifetime).await? {
        Some((_, login)) => Ok(Reply(tokens_reply(login))),
        None => Err(ApiError::unknown_token().named("M_UNKNOWN_TOKEN", "unrecognised refresh token")),
    }
}

pub(super) async fn by_password(app: &AppState, peer: &Peer, body: &mut LoginBody) -> ApiResult<OwnedUserId> {
    let Some(password) = body.password.take() else {
        return Err(ApiError::missing_param("password is missing"));
    };
    let user_id = named_user(app, body)?;
    app.throttle(Limit::Login, &peer.name())?;
    app.throttle(Limit::Login, user_id.as_str())?;
    if !app.users.password_matches(&user_id, password).await? {
        return Err(ApiError::forbidden("the user name or the password is not right"));
    }
    Ok(user_id)
}

pub(super) fn by_appservice(
    app: &AppState,
    uri: &Uri,
    headers: &HeaderMap,
    body: &LoginBody,
) -> ApiResult<OwnedUserId> {
    let token = access_token(headers, uri.query())?;
    let appservice = app
        .appservices
        .by_token(&TokenHash::of(&token))
        .ok_or_else(|| ApiError::forbidden("this access token does not belong to an application service"))?;
    if appservice.registration().device_management {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "M_APPSERVICE_LOGIN_UNSUPPORTED",
            "this application service manages devices itself",
        ));
    }
    let user_id = named_user(app, body)?;
    if !appservice.may_act_as(&user_id) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "M_EXCLUSIVE",
            "the user is not in a namespace of this application service",
        ));
    }
    if !app.users.exists(&user_id)? {
        return Err(ApiError::forbidden("there is no such user"));
    }
    Ok(user_id)
}

/// The user that a login is about: by an identifier or, as before r0.4, by `user`; by localpart or whole ID.
pub(super) fn named_user(app: &AppState, body: &LoginBody) -> ApiResult<OwnedUserId> {
    let refused = || ApiError::forbidden("the user name or the password is not right");
    if let Some((medium, address)) = body.identifier.as_ref().and_then(Identifier::address) {
        return app.users.threepid_owner(medium, &address)?.ok_or_else(refused);
    }
    let name = match &body.identifier {
        Some(identifier) => identifier
            .user()
            .ok_or_else(|| ApiError::unknown("users are identified by m.id.user or m.id.thirdparty here"))?,
        None => body.user.as_deref().ok_or_else(|| ApiError::missing_param("identifier is missing"))?,
    };
    let user_id = if name.starts_with('@') {
        UserId::parse(name)
    } else {
        UserId::parse(format!("@{name}:{}", app.config.server_name))
    }
    .map_err(|_| refused())?;
    if !app.is_local(&user_id) {
        return Err(refused());
    }
    if !app.users.exists(&user_id)?
        && let Ok(lower) = UserId::parse(user_id.as_str().to_lowercase())
    {
        return Ok(lower);
    }
    Ok(user_id)
}

async fn logout(State(app): State<AppState>, requester: Requester) -> ApiResult<Empty> {
    let device_id = requester.device()?.clone();
    app.users.remove_devices(&requester.user_id, &[device_id]).await?;
    Ok(Empty)
}

async fn logout_all(State(app): State<AppState>, requester: Requester) -> ApiResult<Empty> {
    app.users.remove_all_devices(&requester.user_id, None).await?;
    Ok(Empty)
}
