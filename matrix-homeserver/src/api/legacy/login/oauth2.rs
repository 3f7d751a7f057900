//! The part of a login that happens at an OAuth 2.0 provider, and the way back.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::{LoginStage, PREFIX, html, pass, stages::Proof, too_late};
use crate::{
    api::{ApiError, ApiResult, AppState, Params, Reply, Segments, html::escaped},
    login_stage::{LoginSession, Pending, Purpose, Visit},
    oauth2::OAuth2Error,
};

/// The cookie by which a browser that comes back is known to be the one that was sent.
const COOKIE: &str = "login_session";

/// Where a provider sends people back to.
fn redirect_uri(app: &AppState, provider: &str) -> String {
    format!("{}{PREFIX}/login/oauth2/redirect/{provider}", app.base_url())
}

/// Where a person goes: to the only provider, or to a page with all of them.
pub(super) fn uri(app: &AppState, state: &str) -> String {
    match &app.config.login.providers[..] {
        [only] => only.authorization_uri(&redirect_uri(app, only.id()), state),
        _ => format!("{}{PREFIX}/login/oauth2/select?state={state}", app.base_url()),
    }
}

/// Ties a session to the browser that began it.
pub(super) fn cookie(app: &AppState, id: &str) -> HeaderValue {
    let secure = if app.base_url().starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={id}; Path={PREFIX}/login; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(cookie).expect("a session ID is letters and digits")
}

fn has_cookie(headers: &HeaderMap, id: &str) -> bool {
    let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|value| value.split(';')).any(|pair| pair.trim().split_once('=') == Some((COOKIE, id)))
}

#[derive(Deserialize)]
pub(super) struct Selection {
    state: String,
}

/// A page with every provider.
pub(super) async fn select(
    State(app): State<AppState>,
    headers: HeaderMap,
    Params(query): Params<Selection>,
) -> Response {
    if app.legacy.logins.awaiting(Visit::Redirect(&query.state)).is_none() {
        return too_late(&headers);
    }
    let links: String = app
        .config
        .login
        .providers
        .iter()
        .map(|provider| {
            let uri = provider.authorization_uri(&redirect_uri(&app, provider.id()), &query.state);
            format!("<li><a href=\"{}\">{}</a></li>", escaped(&uri), escaped(provider.name()))
        })
        .collect();
    html(StatusCode::OK, "Log in with", &format!("<ul>{links}</ul>"))
}

#[derive(Deserialize)]
pub(super) struct Back {
    state: String,
    code: Option<String>,
}

/// Where a provider sends people back to. Ends the stage, for whoever visits it.
pub(super) async fn redirect(
    State(app): State<AppState>,
    headers: HeaderMap,
    Segments(provider): Segments<String>,
    Params(back): Params<Back>,
) -> ApiResult<Response> {
    let unknown = || ApiError::forbidden("this login is not known, or not any more");
    let Some(provider) = app.config.login.provider(&provider) else { return Err(unknown()) };
    let logins = &app.legacy.logins;
    let id = logins.awaiting(Visit::Redirect(&back.state)).ok_or_else(unknown)?;
    let session = logins.get(&id).ok_or_else(unknown)?;
    if session.by_page && !has_cookie(&headers, &id) {
        return Err(ApiError::forbidden("this login was begun in another browser"));
    }
    let Some(code) = back.code else { return Err(ApiError::forbidden("the provider did not let you in")) };
    let uri = redirect_uri(&app, provider.id());
    let subject = provider.identify(&code, &uri, &back.state).await.map_err(|error| match error {
        OAuth2Error::Refused => ApiError::forbidden("the provider does not know the code"),
        OAuth2Error::Unavailable(source) => {
            tracing::warn!(%source, provider = provider.id(), "a provider of logins could not be asked");
            ApiError::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", "the provider could not be asked")
        }
    })?;
    let identity = (provider.id().to_owned(), subject);
    let user_id = owner(&app, &session, &identity)?;
    if session.by_page {
        let noted = logins.change(&id, |session| {
            session.user_id = user_id.or(session.user_id.take());
            if let Some(Pending::OAuth2 { identity: proven, .. }) = &mut session.pending {
                *proven = Some(identity);
            }
        });
        noted.ok_or_else(unknown)?;
        let page = format!("{PREFIX}/login/fallback#resume");
        return Ok((StatusCode::SEE_OTHER, [(header::LOCATION, page)]).into_response());
    }
    let proof = Proof::Identity { user_id, identity };
    pass(&app, Some(id), session, LoginStage::OAuth2, proof).await.map(|reply| Reply(reply).into_response())
}

/// The user who logs in by an account elsewhere. Who registers must be the first with it.
fn owner(
    app: &AppState,
    session: &LoginSession,
    (provider, subject): &(String, String),
) -> ApiResult<Option<ruma::OwnedUserId>> {
    let owner = app.users.by_identity((provider, subject))?;
    match (session.purpose, owner) {
        (Purpose::Register, None) => Ok(None),
        (Purpose::Register, Some(_)) => {
            Err(ApiError::user_in_use("somebody has registered with this before"))
        }
        (Purpose::LogIn, Some(owner)) if session.user_id.as_ref().is_none_or(|user_id| *user_id == owner) => {
            Ok(Some(owner))
        }
        (Purpose::LogIn, _) => Err(ApiError::forbidden("the provider vouches for somebody else")),
    }
}
