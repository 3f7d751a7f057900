//! Registration and login in stages (specification of 2014, "Registration and login"): a client asks for the flows, passes
//! the stages of one, and gets credentials for the last. Between requests the server knows it by its `session`.

use axum::{
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::PREFIX;
use crate::{
    api::{
        ApiError, ApiResult, AppState, Json, Params, Reply, Routes,
        layer::Peer,
        login::{LoginBody, by_appservice, by_token},
        register::{self, login_reply},
    },
    homeserver::Limit,
    login_stage::{LoginFlow, LoginSession, LoginStage, Purpose},
    user::{NewAccount, NewSession},
};

mod oauth2;
mod page;
mod stages;

use self::stages::{Attempt, Outcome, Proof};

const APPSERVICE: &str = "m.login.application_service";
/// A token that another client of the user was given by today's path.
const TOKEN: &str = "m.login.token";

pub(super) fn routes() -> Routes {
    Routes::new()
        .of_2014("/login", get(get_login).post(login))
        .of_2014("/register", get(get_register).post(register))
        .of_2014("/login/email/{token}", get(stages::follow_link))
        .of_2014("/login/oauth2/select", get(oauth2::select))
        .of_2014("/login/oauth2/redirect/{provider}", get(oauth2::redirect))
        .of_2014("/login/fallback", get(page::fallback))
        .absolute("/_matrix/static/client/login/", get(page::fallback))
}

/// One request of a login.
#[derive(Deserialize)]
struct Step {
    #[serde(rename = "type")]
    kind: Option<String>,
    session: Option<String>,
    user: Option<String>,
    password: Option<String>,
    email: Option<String>,
    code: Option<String>,
    device_id: Option<ruma::OwnedDeviceId>,
    initial_device_display_name: Option<String>,
    /// Set by the page of this server, which the person comes back to.
    #[serde(default)]
    by_page: bool,
}

async fn get_login(State(app): State<AppState>) -> Reply<Value> {
    let mut requirements = requirements(&app.config.login.login_flows);
    if let Some(flows) = requirements["flows"].as_array_mut() {
        flows.push(json!({"type": TOKEN, "get_login_token": true}));
    }
    Reply(requirements)
}

async fn get_register(State(app): State<AppState>) -> Reply<Value> {
    let flows = &app.config.login.registration_flows;
    Reply(requirements(if app.config.open_registration { flows } else { &[] }))
}

/// The flows, with the stages of those that have several.
fn requirements(flows: &[LoginFlow]) -> Value {
    let mut shown: Vec<Value> = Vec::with_capacity(flows.len() + 1);
    for flow in flows {
        let stages: Vec<&str> = flow.stages().iter().map(|stage| stage.as_str()).collect();
        shown.push(match stages[..] {
            [only] => json!({"type": only}),
            _ => json!({"type": stages[0], "stages": stages}),
        });
    }
    shown.push(json!({"type": APPSERVICE}));
    json!({"flows": shown})
}

async fn login(
    State(app): State<AppState>,
    peer: Peer,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> ApiResult<Response> {
    if body["type"] == APPSERVICE || body["type"] == TOKEN {
        let by_service = body["type"] == APPSERVICE;
        let body: LoginBody = parse(body)?;
        let mut session = LoginSession::new(Purpose::LogIn, &[]);
        session.user_id = Some(if by_service {
            by_appservice(&app, &uri, &headers, &body)?
        } else {
            by_token(&app, &peer, &body)?
        });
        (session.device_id, session.device_name) = (body.device_id, body.initial_device_display_name);
        return Ok(Reply(finish(&app, session).await?).into_response());
    }
    step(&app, Purpose::LogIn, &peer, body).await
}

async fn register(
    State(app): State<AppState>,
    peer: Peer,
    params: Params<register::Kind>,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> ApiResult<Response> {
    let of_appservice = body.get("as_token").is_some();
    if of_appservice && !app.config.drafts {
        return Err(ApiError::unrecognized());
    }
    if of_appservice || body["type"] == APPSERVICE {
        return register::register(State(app), peer, params, uri, headers, Json(body)).await;
    }
    if !app.config.open_registration {
        return Err(ApiError::forbidden("this server does not let people register themselves"));
    }
    if !app.config.registration_tokens.is_empty() || !app.config.terms.is_empty() {
        // There was no way in 2014 to show them.
        return Err(ApiError::forbidden(
            "this server demands a token or terms, which only today's registration has",
        ));
    }
    step(&app, Purpose::Register, &peer, body).await
}

fn parse<T: for<'de> Deserialize<'de>>(body: Value) -> ApiResult<T> {
    serde_json::from_value(body).map_err(|_| ApiError::bad_json("a member of the body has the wrong type"))
}

/// One request of a login, from whichever stage it is.
async fn step(app: &AppState, purpose: Purpose, peer: &Peer, body: Value) -> ApiResult<Response> {
    let step: Step = parse(body.clone())?;
    let Some(kind) = &step.kind else { return Err(ApiError::missing_param("type is missing")) };
    let unknown = || ApiError::unknown("unknown login type");
    let stage: LoginStage = kind.parse().map_err(|_| unknown())?;
    let (id, session) = match &step.session {
        Some(id) => {
            let known = app.legacy.logins.get(id).filter(|session| session.purpose == purpose);
            let gone = || ApiError::forbidden("the session is not known, or not any more");
            (Some(id.clone()), known.ok_or_else(gone)?)
        }
        None => {
            if purpose == Purpose::Register {
                app.throttle(Limit::Registration, &peer.name())?;
            }
            (None, begin(app, purpose, &step))
        }
    };
    if !session.expects(stage) {
        return Err(if id.is_none() { unknown() } else { ApiError::unknown("this is not the next stage") });
    }
    let by_page = session.by_page;
    let attempt =
        Attempt { app, peer, id: id.as_deref(), session: &session, credentials: parse(body)?, step };
    match attempt.pass(stage).await? {
        Outcome::Passed(proof) => {
            pass(app, id, session, stage, proof).await.map(|reply| Reply(reply).into_response())
        }
        Outcome::Begun { pending, user_id, mut reply } => {
            let note = |session: &mut LoginSession| {
                session.pending = Some(pending);
                session.user_id = user_id.or(session.user_id.take());
            };
            let id = keep(app, id, session, note)?;
            reply["session"] = id.as_str().into();
            let mut response = Reply(reply).into_response();
            if by_page && stage == LoginStage::OAuth2 {
                response.headers_mut().insert(header::SET_COOKIE, oauth2::cookie(app, &id));
            }
            Ok(response)
        }
    }
}

fn begin(app: &AppState, purpose: Purpose, step: &Step) -> LoginSession {
    let flows = match purpose {
        Purpose::LogIn => &app.config.login.login_flows,
        Purpose::Register => &app.config.login.registration_flows,
    };
    let mut session = LoginSession::new(purpose, flows);
    session.by_page = step.by_page;
    session.device_id.clone_from(&step.device_id);
    session.device_name.clone_from(&step.initial_device_display_name);
    session
}

/// Changes a session where it is kept, or keeps one that is not.
fn keep(
    app: &AppState,
    id: Option<String>,
    mut session: LoginSession,
    change: impl FnOnce(&mut LoginSession),
) -> ApiResult<String> {
    let logins = &app.legacy.logins;
    match id {
        None => {
            change(&mut session);
            Ok(logins.begin(session))
        }
        Some(id) => match logins.change(&id, change) {
            Some(()) => Ok(id),
            None => Err(ApiError::forbidden("the session is not known, or not any more")),
        },
    }
}

/// Takes note that a stage is passed. Answers with the next one, or with credentials.
async fn pass(
    app: &AppState,
    id: Option<String>,
    mut session: LoginSession,
    stage: LoginStage,
    proof: Proof,
) -> ApiResult<Value> {
    let over = || ApiError::forbidden("the session is not known, or not any more");
    let Some(id) = id else {
        proof.note_in(&mut session);
        session.complete(stage);
        return match session.next() {
            None => finish(app, session).await,
            Some(next) => Ok(json!({"next": next.as_str(), "session": app.legacy.logins.begin(session)})),
        };
    };
    let next = app.legacy.logins.change(&id, |session| {
        // Another request may have passed the same stage meanwhile.
        session.expects(stage).then(|| {
            proof.note_in(session);
            session.complete(stage);
            session.next()
        })
    });
    match next.flatten().ok_or_else(over)? {
        Some(next) => Ok(json!({"next": next.as_str(), "session": id})),
        None => finish(app, app.legacy.logins.end(&id).ok_or_else(over)?).await,
    }
}

/// The credentials that a login was for.
async fn finish(app: &AppState, session: LoginSession) -> ApiResult<Value> {
    let LoginSession { purpose, user_id, password, emails, identities, device_id, device_name, .. } = session;
    let Some(user_id) = user_id else { return Err(ApiError::forbidden("nobody has logged in")) };
    let device = NewSession { device_id, display_name: device_name, ..NewSession::default() };
    match purpose {
        Purpose::LogIn => {
            let login = app.users.log_in(&user_id, device).await?;
            let mut reply = login_reply(app, &user_id, Some(login));
            reply["well_known"] = json!({"m.homeserver": {"base_url": app.base_url()}});
            Ok(reply)
        }
        Purpose::Register => {
            let account = NewAccount { password, ..NewAccount::default() };
            let login = app.users.register(&user_id, account, Some(device)).await?;
            for email in &emails {
                app.users.link_email(&user_id, email).await?;
            }
            for (provider, subject) in &identities {
                app.users.link_identity(&user_id, (provider, subject)).await?;
            }
            Ok(login_reply(app, &user_id, login))
        }
    }
}

/// A page for people.
fn html(status: StatusCode, title: &str, body: &str) -> Response {
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <body><h1>{title}</h1>{body}</body></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; base-uri 'none'")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, page).into_response()
}

/// What somebody is told who comes with a secret that no login waits for: a person on a page, a program as ever.
fn too_late(headers: &HeaderMap) -> Response {
    let accepted =
        headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    if accepted.contains("text/html") {
        html(StatusCode::NOT_FOUND, "Too late", "<p>This login is not known, or not any more.</p>")
    } else {
        ApiError::not_found("this login is not known, or not any more").into_response()
    }
}
