//! Stages in a web view, for clients that do not know them ([fallback]).
//!
//! [fallback]: https://spec.matrix.org/v1.19/client-server-api/#fallback

use std::fmt::Write;

use axum::{
    extract::State,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::{
    AuthData, DUMMY, Demand, REGISTRATION_TOKEN, TERMS,
    stages::{self, Verdict},
};
use crate::api::{ApiError, ApiResult, AppState, Params, Routes, Segments, html::escaped};

pub(in crate::api) fn routes() -> Routes {
    Routes::new().v3("/auth/{stage}/fallback/web", get(authenticate_fallback).post(submit_fallback))
}

#[derive(Debug, Deserialize)]
struct Session {
    session: Option<String>,
}

impl Session {
    /// The session, what it is for, and whether the stage is completed.
    fn open(self, app: &AppState, stage: &str) -> ApiResult<(String, Demand, bool)> {
        let id = self.session.ok_or_else(|| ApiError::missing_param("session is missing"))?;
        let (demand, completed) =
            app.uia.demand(&id).ok_or_else(|| ApiError::unknown("there is no such session"))?;
        if !demand.knows(stage) || !matches!(stage, DUMMY | TERMS | REGISTRATION_TOKEN) {
            return Err(ApiError::not_found("there is no page for this stage"));
        }
        let done = completed.iter().any(|done| done == stage);
        Ok((id, demand, done))
    }
}

async fn authenticate_fallback(
    State(app): State<AppState>,
    Segments(stage): Segments<String>,
    Params(session): Params<Session>,
) -> ApiResult<Response> {
    let (_, _, done) = session.open(&app, &stage)?;
    Ok(if done { page(DONE) } else { page(&form(&app, &stage, None)) })
}

async fn submit_fallback(
    State(app): State<AppState>,
    Segments(stage): Segments<String>,
    Params(session): Params<Session>,
    body: Bytes,
) -> ApiResult<Response> {
    let (id, demand, done) = session.open(&app, &stage)?;
    if !done {
        let token = url::form_urlencoded::parse(&body)
            .find(|(name, _)| name == "token")
            .map(|(_, token)| token.into_owned());
        let auth = AuthData { token, ..AuthData::default() };
        match stages::check(&app, &demand, &id, &stage, &auth).await? {
            Verdict::Passed => app.uia.complete(&id, &stage),
            Verdict::Failed(_, reason) => {
                let mut response = page(&form(&app, &stage, Some(reason)));
                *response.status_mut() = StatusCode::FORBIDDEN;
                return Ok(response);
            }
        }
    }
    Ok(page(DONE))
}

/// Tells the client that opened the page: an app that is called back, or the page that opened this one.
const DONE: &str = "<p>Thank you. You can close this page.</p><script>\
    if (window.onAuthDone) { window.onAuthDone(); } \
    else if (window.opener && window.opener.postMessage) { window.opener.postMessage('authDone', '*'); }\
    </script>";

/// The form of a stage. It is sent to the address of the page itself, which names the session.
fn form(app: &AppState, stage: &str, failure: Option<&str>) -> String {
    let mut form = String::new();
    if let Some(failure) = failure {
        let _ = write!(form, "<p><strong>{}</strong></p>", escaped(failure));
    }
    match stage {
        TERMS => {
            form.push_str("<p>To go on, accept:</p><ul>");
            for terms in &app.config.terms {
                let (name, url) = (escaped(&terms.name), escaped(&terms.url));
                let _ = write!(form, "<li><a href=\"{url}\" target=\"_blank\">{name}</a></li>");
            }
            form.push_str("</ul><form method=\"post\"><button>Accept</button></form>");
        }
        REGISTRATION_TOKEN => form.push_str(
            "<form method=\"post\"><label>Registration token <input name=\"token\" required></label> \
             <button>Go on</button></form>",
        ),
        _ => form.push_str("<form method=\"post\"><button>Go on</button></form>"),
    }
    form
}

fn page(body: &str) -> Response {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Authentication</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"></head>\
         <body>{body}</body></html>"
    );
    let mut response = Html(html).into_response();
    let policy = "default-src 'none'; script-src 'unsafe-inline'; form-action 'self'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}
