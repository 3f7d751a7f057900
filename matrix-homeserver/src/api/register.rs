//! [Account registration](https://spec.matrix.org/v1.19/client-server-api/#account-registration-and-management).

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, Uri};
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState, Json, Params, Reply, Routes, draft_registration,
    extract::access_token,
    layer::Peer,
    uia::{self, AuthData, Demand},
};
use crate::{
    appservice::Appservice,
    homeserver::Limit,
    user::{Login, Naming, NewAccount, NewSession, TokenHash, random_text},
};

mod shared_secret;

pub(crate) use self::shared_secret::Nonces;

const APPSERVICE: &str = "m.login.application_service";

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/register", post(register))
        .v3("/register/available", get(check_username_availability))
        .v1("/register/m.login.registration_token/validity", get(registration_token_validity))
        .absolute(
            "/_synapse/admin/v1/register",
            get(shared_secret::register_nonce).post(shared_secret::register_with_secret),
        )
}

/// The body of `POST /register`, which is also where the draft has application services register themselves.
#[derive(Deserialize)]
struct Registration {
    #[serde(rename = "type")]
    kind: Option<String>,
    auth: Option<AuthData>,
    username: Option<String>,
    /// The draft's name for `username`.
    user: Option<String>,
    password: Option<String>,
    device_id: Option<OwnedDeviceId>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    inhibit_login: bool,
    #[serde(default)]
    refresh_token: bool,
    /// Of the guest that is to become a user.
    guest_access_token: Option<String>,
    /// Only in the draft's registration of an application service.
    as_token: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Kind {
    kind: Option<String>,
}

pub(super) async fn register(
    State(app): State<AppState>,
    peer: Peer,
    Params(Kind { kind }): Params<Kind>,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> ApiResult<Response> {
    if !body.is_object() {
        return Err(ApiError::bad_json("the body is not an object"));
    }
    let registration: Registration = serde_json::from_value(body.clone())
        .map_err(|_| ApiError::bad_json("a member of the body has the wrong type"))?;
    if app.config.drafts && registration.as_token.is_some() {
        return draft_registration::register_appservice(&app, body).await;
    }
    match kind.as_deref() {
        None | Some("user") => {}
        Some("guest") => return register_guest(&app, &peer, registration).await,
        Some(_) => {
            let text = "kind is user or guest";
            return Err(ApiError::new(http::StatusCode::BAD_REQUEST, "M_UNRECOGNIZED", text));
        }
    }
    let token = access_token(&headers, uri.query());
    if registration.kind.as_deref() == Some(APPSERVICE) {
        let appservice =
            app.appservices.by_token(&TokenHash::of(&token?)).ok_or_else(ApiError::unknown_token)?;
        return register_for_appservice(&app, &appservice, registration).await;
    }
    if let Ok(token) = token
        && let Some(appservice) = app.appservices.by_token(&TokenHash::of(&token))
    {
        return register_for_appservice(&app, &appservice, registration).await;
    }
    register_person(&app, &peer, registration).await
}

async fn register_for_appservice(
    app: &AppState,
    appservice: &Arc<Appservice>,
    registration: Registration,
) -> ApiResult<Response> {
    let Some(name) = registration.username.as_deref().or(registration.user.as_deref()) else {
        return Err(ApiError::missing_param("username is missing"));
    };
    let localpart = localpart_of(app, name);
    let user_id = app.users.new_user_id(localpart, Naming::Appservice)?;
    if !appservice.may_act_as(&user_id) || app.appservices.user_is_taken(&user_id, Some(appservice)) {
        return Err(ApiError::exclusive("the user ID is not in a namespace of this application service"));
    }
    if appservice.registration().device_management && !registration.inhibit_login {
        return Err(ApiError::new(
            http::StatusCode::BAD_REQUEST,
            "M_APPSERVICE_LOGIN_UNSUPPORTED",
            "this application service manages devices itself: set inhibit_login",
        ));
    }
    let account = NewAccount { appservice: Some(appservice.id().to_owned()), ..NewAccount::default() };
    finish(app, user_id, account, registration).await
}

/// A guest, of whom nothing is asked, and whose wishes do not count
/// ([guest access](https://spec.matrix.org/v1.19/client-server-api/#guest-access)).
async fn register_guest(app: &AppState, peer: &Peer, registration: Registration) -> ApiResult<Response> {
    if !app.config.guests {
        return Err(ApiError::guest_access_forbidden("guests are not let in"));
    }
    app.throttle(Limit::Registration, &peer.name())?;
    let user_id = app.users.new_user_id(&random_digits(), Naming::Person)?;
    let session =
        NewSession { display_name: registration.initial_device_display_name, ..NewSession::default() };
    let account = NewAccount { guest: true, ..NewAccount::default() };
    let login = app.users.register(&user_id, account, Some(session)).await?;
    Ok(Reply(login_reply(app, &user_id, login)).into_response())
}

/// The localpart of a guest.
fn random_digits() -> String {
    (0..12).map(|_| char::from(rand::random_range(b'0'..=b'9'))).collect()
}

async fn register_person(app: &AppState, peer: &Peer, registration: Registration) -> ApiResult<Response> {
    if !app.config.open_registration {
        return Err(ApiError::forbidden("this server does not let people register themselves"));
    }
    if !app.config.login.password_registers() {
        return Err(ApiError::forbidden(
            "this server wants to see more than a password; register as in 2014",
        ));
    }
    if let Some(user_id) = registered_before(app, &registration) {
        // The answer to the same request was lost, or the client did not want to be logged in then.
        let session = registration.session(app);
        let login = match session {
            Some(session) => Some(app.users.log_in(&user_id, session).await?),
            None => None,
        };
        return Ok(Reply(login_reply(app, &user_id, login)).into_response());
    }
    let guest = match &registration.guest_access_token {
        Some(token) => Some(upgraded_guest(app, token, registration.username.as_deref())?),
        None => None,
    };
    let user_id = match (&guest, &registration.username) {
        (Some(guest), _) => guest.clone(),
        (None, Some(name)) => new_person(app, name)?,
        (None, None) => app.users.new_user_id(&random_text(12).to_ascii_lowercase(), Naming::Person)?,
    };
    let session = uia::authenticate(app, &Demand::registration(app), registration.auth.clone()).await?;
    app.throttle(Limit::Registration, &peer.name())?;
    let Some(password) = registration.password.clone() else {
        return Err(ApiError::missing_param("password is missing"));
    };
    check_password(&password)?;
    let reply = if guest.is_some() {
        let login = app.users.upgrade_guest(&user_id, password, registration.session(app)).await?;
        Reply(login_reply(app, &user_id, login)).into_response()
    } else {
        let account = NewAccount { password: Some(password), ..NewAccount::default() };
        finish(app, user_id.clone(), account, registration).await?
    };
    app.users.registration_tokens.used(&session).await?;
    app.uia.register(&session, user_id);
    Ok(reply)
}

/// The account that was made before in the session that the client continues, if it proves to be the one who made it.
fn registered_before(app: &AppState, registration: &Registration) -> Option<OwnedUserId> {
    let session = registration.auth.as_ref()?.session()?;
    let user_id = app.uia.registered(session)?;
    let same = |name: &String| localpart_of(app, name) == user_id.localpart();
    registration.username.as_ref().is_none_or(same).then_some(user_id)
}

/// The guest that is to become a user of the same name.
fn upgraded_guest(app: &AppState, token: &str, username: Option<&str>) -> ApiResult<OwnedUserId> {
    let session = app.users.session(&TokenHash::of(token))?;
    let guest = session.filter(|session| session.is_guest && !session.has_expired());
    let guest = guest.ok_or_else(|| ApiError::forbidden("guest_access_token is not that of a guest"))?;
    if username.is_some_and(|name| localpart_of(app, name) != guest.user_id.localpart()) {
        return Err(ApiError::forbidden("a guest keeps the user name when becoming a user"));
    }
    Ok(guest.user_id.clone())
}

async fn finish(
    app: &AppState,
    user_id: OwnedUserId,
    account: NewAccount,
    registration: Registration,
) -> ApiResult<Response> {
    let login = app.users.register(&user_id, account, registration.session(app)).await?;
    Ok(Reply(login_reply(app, &user_id, login)).into_response())
}

impl Registration {
    /// The session that is wanted along with the account.
    fn session(&self, app: &AppState) -> Option<NewSession> {
        (!self.inhibit_login).then(|| NewSession {
            device_id: self.device_id.clone(),
            display_name: self.initial_device_display_name.clone(),
            lifetime: self.refresh_token.then_some(app.config.access_token_lifetime),
        })
    }
}

/// The answer to registrations and logins.
pub(super) fn login_reply(app: &AppState, user_id: &OwnedUserId, login: Option<Login>) -> Value {
    let mut reply = json!({"user_id": user_id, "home_server": app.config.server_name});
    if let Some(login) = login {
        reply["device_id"] = login.device_id.as_str().into();
        if let (Value::Object(reply), Value::Object(tokens)) = (&mut reply, tokens_reply(login)) {
            reply.extend(tokens);
        }
    }
    reply
}

/// The tokens of a session, and how long they are good.
pub(super) fn tokens_reply(login: Login) -> Value {
    let mut reply = json!({"access_token": login.access_token});
    if let Some(refresh_token) = login.refresh_token {
        reply["refresh_token"] = refresh_token.into();
    }
    if let Some(lifetime) = login.lifetime {
        reply["expires_in_ms"] = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).into();
    }
    reply
}

/// Clients may name a user by the whole ID where a localpart is meant.
fn localpart_of<'n>(app: &AppState, name: &'n str) -> &'n str {
    name.strip_prefix('@')
        .and_then(|name| name.strip_suffix(app.config.server_name.as_str()))
        .and_then(|name| name.strip_suffix(':'))
        .unwrap_or(name)
}

/// The ID that a person asks for, if they may have it.
pub(super) fn new_person(app: &AppState, name: &str) -> ApiResult<OwnedUserId> {
    let user_id = app.users.new_user_id(localpart_of(app, name), Naming::Person)?;
    if user_id.localpart().bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::invalid_username("names of digits only are those of guests"));
    }
    if app.appservices.user_is_taken(&user_id, None) {
        return Err(ApiError::exclusive("the user ID belongs to an application service"));
    }
    if app.users.exists(&user_id)? {
        return Err(ApiError::user_in_use("the user ID is taken"));
    }
    Ok(user_id)
}

/// Refuses passwords that nobody can have meant.
pub(super) fn check_password(password: &str) -> ApiResult<()> {
    if password.is_empty() {
        return Err(ApiError::weak_password("the password is empty"));
    }
    if password.len() > 512 {
        return Err(ApiError::invalid_param("the password is longer than 512 bytes"));
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
struct Username {
    username: Option<String>,
}

async fn check_username_availability(
    State(app): State<AppState>,
    peer: Peer,
    Params(Username { username }): Params<Username>,
) -> ApiResult<Reply<Value>> {
    app.throttle(Limit::Registration, &peer.name())?;
    let Some(username) = username else { return Err(ApiError::missing_param("username is missing")) };
    new_person(&app, &username)?;
    Ok(Reply(json!({"available": true})))
}

#[derive(Deserialize)]
struct RegistrationToken {
    token: Option<String>,
}

async fn registration_token_validity(
    State(app): State<AppState>,
    peer: Peer,
    Params(RegistrationToken { token }): Params<RegistrationToken>,
) -> ApiResult<Reply<Value>> {
    app.throttle(Limit::Registration, &peer.name())?;
    if !app.config.open_registration {
        return Err(ApiError::forbidden("this server does not let people register themselves"));
    }
    let Some(token) = token else { return Err(ApiError::missing_param("token is missing")) };
    Ok(Reply(json!({"valid": uia::is_registration_token(&app, &token)})))
}
