//! [Contact information](https://spec.matrix.org/v1.19/client-server-api/#adding-account-administrative-contact-information) of
//! accounts: addresses that people show to have by a link in a mail.

use axum::{
    extract::State,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState, Empty, Json, Params, Reply, Requester, Routes, signed,
    uia::{self, AuthData},
};
use crate::{
    homeserver::Limit,
    identity_server::Address,
    mail::Mail,
    user::{Purpose, Validated, ValidationRequest},
};

/// Where the link in a mail leads.
const SUBMIT: &str = "/_matrix/client/unstable/add_threepid/email/submit_token";

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/account/3pid", get(get_account_3pids).post(post_3pids))
        .v3("/account/3pid/add", post(add_3pid))
        .v3("/account/3pid/bind", post(bind_3pid))
        .v3("/account/3pid/delete", post(delete_3pid))
        .v3("/account/3pid/unbind", post(unbind_3pid))
        .v3("/account/3pid/email/requestToken", post(request_token_to_3pid_email))
        .v3("/account/3pid/msisdn/requestToken", post(request_token_by_phone))
        .v3("/register/email/requestToken", post(request_token_to_register_email))
        .v3("/register/msisdn/requestToken", post(request_token_by_phone))
        .v3("/account/password/email/requestToken", post(request_token_to_reset_password_email))
        .v3("/account/password/msisdn/requestToken", post(request_token_by_phone))
        .absolute(SUBMIT, get(follow_link).post(submit_token))
}

async fn get_account_3pids(State(app): State<AppState>, requester: Requester) -> ApiResult<Reply<Value>> {
    Ok(Reply(json!({"threepids": app.users.threepids(&requester.user_id)?})))
}

fn bad_request(errcode: &'static str, text: &'static str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, errcode, text)
}

#[derive(Deserialize)]
struct EmailRequest {
    client_secret: Option<String>,
    email: Option<String>,
    send_attempt: Option<u64>,
    next_link: Option<String>,
}

async fn request_token_to_3pid_email(
    State(app): State<AppState>,
    Json(body): Json<EmailRequest>,
) -> ApiResult<Reply<Value>> {
    request_token(&app, Purpose::Account, body).await
}

async fn request_token_to_register_email(
    State(app): State<AppState>,
    Json(body): Json<EmailRequest>,
) -> ApiResult<Reply<Value>> {
    request_token(&app, Purpose::Registration, body).await
}

async fn request_token_to_reset_password_email(
    State(app): State<AppState>,
    Json(body): Json<EmailRequest>,
) -> ApiResult<Reply<Value>> {
    request_token(&app, Purpose::PasswordReset, body).await
}

/// Nobody carries short messages for this server.
async fn request_token_by_phone() -> ApiError {
    bad_request("M_THREEPID_MEDIUM_NOT_SUPPORTED", "telephone numbers cannot be used here")
}

/// Sends a mail with a link, by which its reader shows to have the address.
async fn request_token(app: &AppState, purpose: Purpose, body: EmailRequest) -> ApiResult<Reply<Value>> {
    let Some(mailer) = &app.config.login.mailer else {
        let errcode =
            if purpose == Purpose::Account { "M_THREEPID_MEDIUM_NOT_SUPPORTED" } else { "M_UNKNOWN" };
        return Err(bad_request(errcode, "this server sends no mail"));
    };
    let missing = || ApiError::missing_param("client_secret, email or send_attempt is missing");
    let client_secret = body.client_secret.ok_or_else(missing)?;
    let email = checked_email(&body.email.ok_or_else(missing)?)?;
    let attempt = body.send_attempt.ok_or_else(missing)?;
    check_secret(&client_secret)?;
    let next_link = body.next_link.map(|link| checked_link(&link)).transpose()?;
    app.throttle(Limit::Login, &email)?;
    let owner = app.users.threepid_owner("email", &email)?;
    match (purpose, owner) {
        (Purpose::PasswordReset, None) => {
            return Err(bad_request("M_THREEPID_NOT_FOUND", "no account has this address"));
        }
        (Purpose::Account | Purpose::Registration, Some(_)) => {
            return Err(bad_request("M_THREEPID_IN_USE", "an account has this address already"));
        }
        _ => {}
    }
    let request = ValidationRequest {
        purpose,
        email: email.clone(),
        client_secret: client_secret.clone(),
        attempt,
        next_link,
    };
    let begun = app.users.email_validations.begin(request);
    let (sid, token) = begun.ok_or_else(|| ApiError::limit_exceeded(std::time::Duration::from_mins(1)))?;
    if let Some(token) = token {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("token", &*token), ("client_secret", &*client_secret), ("sid", &*sid)])
            .finish();
        let server_name = &app.config.server_name;
        let link = format!("{}{SUBMIT}?{query}", app.base_url());
        let body = format!(
            "Somebody, hopefully you, wants to use this address at {server_name}. If so, follow this link:\n\n{link}\n\n\
             Otherwise there is nothing to do.\n"
        );
        let mail = Mail::new(&email, format!("Your address at {server_name}"), body);
        mailer.send(mail).await.map_err(|error| {
            tracing::warn!(%error, "a mail could not be sent");
            ApiError::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", "the mail could not be sent; try again later")
        })?;
    }
    Ok(Reply(json!({"sid": sid, "submit_url": format!("{}{SUBMIT}", app.base_url())})))
}

/// An address in lower case, if it looks like one.
fn checked_email(email: &str) -> ApiResult<String> {
    let plain = email.len() <= 254 && !email.contains(|c: char| c.is_whitespace() || c.is_control());
    match email.split_once('@') {
        Some((name, host)) if plain && !name.is_empty() && !host.is_empty() && !host.contains('@') => {
            Ok(email.to_lowercase())
        }
        _ => Err(ApiError::invalid_param("this is not an email address")),
    }
}

/// Only clients know what they make up ([client secrets]).
///
/// [client secrets]: https://spec.matrix.org/v1.19/identity-service-api/#definitions
fn check_secret(secret: &str) -> ApiResult<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".=_-".contains(&byte);
    if (1..=255).contains(&secret.len()) && secret.bytes().all(allowed) {
        Ok(())
    } else {
        Err(ApiError::invalid_param("client_secret has characters that no secret has"))
    }
}

fn checked_link(link: &str) -> ApiResult<String> {
    match url::Url::parse(link) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url.into()),
        _ => Err(ApiError::invalid_param("next_link is not a web address")),
    }
}

#[derive(Deserialize)]
struct Submission {
    sid: Option<String>,
    client_secret: Option<String>,
    token: Option<String>,
}

impl Submission {
    /// Where to go on, if what came back from a mail is right.
    fn submit(self, app: &AppState) -> ApiResult<Option<String>> {
        let missing = || ApiError::missing_param("sid, client_secret or token is missing");
        let (sid, secret) = (self.sid.ok_or_else(missing)?, self.client_secret.ok_or_else(missing)?);
        let token = self.token.ok_or_else(missing)?;
        let submitted = app.users.email_validations.submit(&sid, &secret, &token);
        submitted
            .ok_or_else(|| bad_request("M_THREEPID_AUTH_FAILED", "the link is not valid, or not any more"))
    }
}

async fn follow_link(
    State(app): State<AppState>,
    Params(submission): Params<Submission>,
) -> ApiResult<Response> {
    Ok(match submission.submit(&app)? {
        Some(link) => Redirect::to(&link).into_response(),
        None => Html(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Address</title>\
             <p>Thank you. You can close this page and go on where you came from.</p></html>",
        )
        .into_response(),
    })
}

async fn submit_token(
    State(app): State<AppState>,
    Json(submission): Json<Submission>,
) -> ApiResult<Reply<Value>> {
    submission.submit(&app)?;
    Ok(Reply(json!({"success": true})))
}

/// The session in which an address was shown.
#[derive(Clone, Deserialize)]
pub(super) struct ThreepidCreds {
    sid: String,
    client_secret: String,
}

impl ThreepidCreds {
    /// The address, if it was shown for this.
    pub(super) fn validated(&self, app: &AppState, purpose: Purpose) -> Option<Validated> {
        app.users.email_validations.validated(&self.sid, &self.client_secret, purpose)
    }

    /// What was shown is used up.
    pub(super) fn end(&self, app: &AppState) {
        app.users.email_validations.end(&self.sid);
    }
}

#[derive(Deserialize)]
struct Add {
    auth: Option<AuthData>,
    sid: Option<String>,
    client_secret: Option<String>,
}

async fn add_3pid(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<Add>,
) -> ApiResult<Empty> {
    let missing = || ApiError::missing_param("sid or client_secret is missing");
    let creds = ThreepidCreds {
        sid: body.sid.ok_or_else(missing)?,
        client_secret: body.client_secret.ok_or_else(missing)?,
    };
    uia::password(&app, &requester, "POST /account/3pid/add", body.auth).await?;
    add(&app, &requester, &creds).await
}

#[derive(Deserialize)]
struct DeprecatedAdd {
    three_pid_creds: Option<ThreepidCreds>,
}

async fn post_3pids(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<DeprecatedAdd>,
) -> ApiResult<Empty> {
    let creds = body.three_pid_creds.ok_or_else(|| ApiError::missing_param("three_pid_creds is missing"))?;
    match add(&app, &requester, &creds).await {
        // Where this endpoint is older, so is the status.
        Err(_) if creds.validated(&app, Purpose::Account).is_none() => {
            let text = "the address was not shown to be yours";
            Err(ApiError::new(StatusCode::FORBIDDEN, "M_THREEPID_AUTH_FAILED", text))
        }
        added => added,
    }
}

async fn add(app: &AppState, requester: &Requester, creds: &ThreepidCreds) -> ApiResult<Empty> {
    let shown = creds.validated(app, Purpose::Account);
    let shown = shown
        .ok_or_else(|| bad_request("M_THREEPID_AUTH_FAILED", "the address was not shown to be yours"))?;
    if !app.users.add_threepid(&requester.user_id, ("email", &shown.email), shown.at).await? {
        return Err(bad_request("M_THREEPID_IN_USE", "an account has this address already"));
    }
    Ok(Empty)
}

#[derive(Deserialize)]
struct Bind {
    client_secret: Option<String>,
    id_server: Option<String>,
    id_access_token: Option<String>,
    sid: Option<String>,
}

/// Makes an address lead to the user, at an identity server to which the user has shown to have it.
async fn bind_3pid(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<Bind>,
) -> ApiResult<Empty> {
    let missing = || ApiError::missing_param("client_secret, id_server, id_access_token or sid is missing");
    let (sid, secret) = (body.sid.ok_or_else(missing)?, body.client_secret.ok_or_else(missing)?);
    let server = body.id_server.ok_or_else(missing)?;
    let token = body.id_access_token.ok_or_else(missing)?;
    let bound = app.identity_servers.bind(&server, &token, (&sid, &secret), &requester.user_id).await?;
    if let Some((medium, address)) = bound {
        let address = (&*medium, &*address);
        let mut servers = app.users.bound_at(&requester.user_id, address)?;
        if !servers.contains(&server) {
            servers.push(server);
            app.users.set_bound_at(&requester.user_id, address, &servers).await?;
        }
    }
    Ok(Empty)
}

#[derive(Deserialize)]
struct Named {
    medium: Option<String>,
    address: Option<String>,
    id_server: Option<String>,
}

impl Named {
    fn address(&self) -> ApiResult<(String, String)> {
        match (&self.medium, &self.address) {
            (Some(medium), Some(address)) if medium == "email" => {
                Ok((medium.clone(), address.to_lowercase()))
            }
            (Some(medium), Some(address)) => Ok((medium.clone(), address.clone())),
            _ => Err(ApiError::missing_param("medium or address is missing")),
        }
    }
}

async fn delete_3pid(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<Named>,
) -> ApiResult<Reply<Value>> {
    let (medium, address) = body.address()?;
    let result = unbind(&app, &requester, (&medium, &address), body.id_server).await?;
    app.users.remove_threepid(&requester.user_id, (&medium, &address)).await?;
    Ok(Reply(json!({"id_server_unbind_result": result})))
}

async fn unbind_3pid(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<Named>,
) -> ApiResult<Reply<Value>> {
    let (medium, address) = body.address()?;
    let result = unbind(&app, &requester, (&medium, &address), body.id_server).await?;
    Ok(Reply(json!({"id_server_unbind_result": result})))
}

/// Makes an address lead to nobody, at the identity server that is named, else wherever it was made to lead to the user.
async fn unbind(
    app: &AppState,
    requester: &Requester,
    address: (&str, &str),
    named: Option<String>,
) -> ApiResult<&'static str> {
    let user_id = &requester.user_id;
    let mut left = app.users.bound_at(user_id, address)?;
    let servers = named.map_or_else(|| left.clone(), |server| vec![server]);
    let mut all = !servers.is_empty();
    for server in servers {
        let wanted = Address { medium: address.0, address: address.1 };
        let sign = |uri: &str, content: &Value| {
            signed::authorization(app, "POST", uri, &server, content).unwrap_or_default()
        };
        match app.identity_servers.unbind(&server, user_id, &wanted, sign).await {
            Ok(()) => left.retain(|other| *other != server),
            Err(error) => {
                tracing::info!(%user_id, %error, "an identity server keeps an address");
                all = false;
            }
        }
    }
    app.users.set_bound_at(user_id, address, &left).await?;
    Ok(if all { "success" } else { "no-support" })
}
