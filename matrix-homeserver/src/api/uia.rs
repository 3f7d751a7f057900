//! [User-interactive authentication](https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api):
//! a request is let through when the stages of one of its flows are completed, in one answer or over several.

use http::StatusCode;
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{ApiError, ApiResult, AppState, Requester, login::Identifier, threepids::ThreepidCreds};

mod fallback;
mod sessions;
mod stages;

pub(crate) use self::sessions::UiaSessions;
pub(super) use self::{fallback::routes, stages::is_registration_token};
use self::{sessions::Progress, stages::Verdict};

/// Proves nothing; for registration.
pub(super) const DUMMY: &str = "m.login.dummy";
const PASSWORD: &str = "m.login.password";
const REGISTRATION_TOKEN: &str = "m.login.registration_token";
const TERMS: &str = "m.login.terms";
const EMAIL: &str = "m.login.email.identity";

/// The `auth` member of a request.
#[derive(Clone, Default, Deserialize)]
pub(super) struct AuthData {
    #[serde(rename = "type")]
    kind: Option<String>,
    session: Option<String>,
    password: Option<String>,
    identifier: Option<Identifier>,
    user: Option<String>,
    /// For `m.login.registration_token`.
    token: Option<String>,
    /// For `m.login.email.identity`.
    #[serde(alias = "threepidCreds")]
    threepid_creds: Option<ThreepidCreds>,
}

impl std::fmt::Debug for AuthData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthData").field("type", &self.kind).finish_non_exhaustive()
    }
}

/// What is to be authenticated: a session that was begun for one thing is not good for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demand {
    /// The method and path of the request.
    operation: String,
    /// Who makes it; nobody yet, where an account is made.
    user_id: Option<OwnedUserId>,
    flows: Vec<Vec<&'static str>>,
    params: Map<String, Value>,
}

impl Demand {
    /// Registration: the dummy stage or, where the server has them, a registration token and its terms.
    pub(super) fn registration(app: &AppState) -> Self {
        let mut flow = Vec::new();
        if !app.config.registration_tokens.is_empty() {
            flow.push(REGISTRATION_TOKEN);
        }
        let mut params = Map::new();
        if !app.config.terms.is_empty() {
            flow.push(TERMS);
            params.insert(TERMS.to_owned(), stages::terms_params(&app.config.terms));
        }
        if flow.is_empty() {
            flow.push(DUMMY);
        }
        Self { operation: "POST /register".to_owned(), user_id: None, flows: vec![flow], params }
    }

    fn of_user(operation: impl Into<String>, user_id: &UserId) -> Self {
        let flows = vec![vec![PASSWORD]];
        Self { operation: operation.into(), user_id: Some(user_id.to_owned()), flows, params: Map::new() }
    }

    /// Whoever reads the mail of an account that is not named.
    fn of_email(operation: impl Into<String>) -> Self {
        let flows = vec![vec![EMAIL]];
        Self { operation: operation.into(), user_id: None, flows, params: Map::new() }
    }

    fn knows(&self, stage: &str) -> bool {
        self.flows.iter().flatten().any(|known| *known == stage)
    }

    fn is_met_by(&self, completed: &[String]) -> bool {
        self.flows.iter().any(|flow| flow.iter().all(|stage| completed.iter().any(|done| done == stage)))
    }

    /// The answer that says what is still to be done.
    fn challenge(&self, session: &str, completed: &[String]) -> ApiError {
        let flows: Vec<Value> =
            self.flows.iter().map(|stages| serde_json::json!({ "stages": stages })).collect();
        let challenge = ApiError::new(StatusCode::UNAUTHORIZED, "", "")
            .with("flows", flows)
            .with("params", self.params.clone())
            .with("session", session);
        if completed.is_empty() { challenge } else { challenge.with("completed", completed) }
    }
}

/// Lets through who knows the password of the account. Application services have shown more than that already.
pub(super) async fn password(
    app: &AppState,
    requester: &Requester,
    operation: impl Into<String>,
    auth: Option<AuthData>,
) -> ApiResult<()> {
    if requester.appservice.is_some() {
        return Ok(());
    }
    let session = authenticate(app, &Demand::of_user(operation, &requester.user_id), auth).await?;
    app.uia.end(&session);
    Ok(())
}

/// Lets through who reads the mail of an account; gives whose that is.
pub(super) async fn email(
    app: &AppState,
    operation: impl Into<String>,
    auth: Option<AuthData>,
) -> ApiResult<OwnedUserId> {
    let creds = auth.as_ref().and_then(|auth| auth.threepid_creds.clone());
    let session = authenticate(app, &Demand::of_email(operation), auth).await?;
    let again = || ApiError::forbidden("say again by which mail this is authenticated");
    let creds = creds.ok_or_else(again)?;
    let user_id = stages::reader(app, &creds)?.ok_or_else(again)?;
    app.uia.end(&session);
    creds.end(app);
    Ok(user_id)
}

/// Lets through who has completed a flow; gives the session in which that was done.
///
/// # Errors
/// The challenge, with what is completed and, where a stage went wrong, how.
pub(super) async fn authenticate(
    app: &AppState,
    demand: &Demand,
    auth: Option<AuthData>,
) -> ApiResult<String> {
    let (session, mut completed) = match auth.as_ref().and_then(|auth| auth.session.as_deref()) {
        None => (app.uia.begin(demand), Vec::new()),
        Some(session) => match app.uia.progress(session, demand) {
            Progress::Made(completed) => (session.to_owned(), completed),
            Progress::OfSomethingElse => {
                return Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    "M_UNKNOWN",
                    "this session was begun to authenticate something else",
                ));
            }
            Progress::Unknown => return Err(ApiError::unknown("there is no such session")),
        },
    };
    if let Some(auth) = auth
        && let Some(stage) = &auth.kind
    {
        // A stage that is completed stays so, whatever is said about it again.
        if !completed.iter().any(|done| done == stage) {
            match stages::check(app, demand, &session, stage, &auth).await? {
                Verdict::Passed => {
                    completed.push(stage.clone());
                    app.uia.complete(&session, stage);
                }
                Verdict::Failed(errcode, reason) => {
                    return Err(demand.challenge(&session, &completed).named(errcode, reason));
                }
            }
        }
    }
    if demand.is_met_by(&completed) { Ok(session) } else { Err(demand.challenge(&session, &completed)) }
}

impl AuthData {
    /// The session that the client means to continue.
    pub(super) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }
}
