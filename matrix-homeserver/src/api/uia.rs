//! [User-interactive authentication](https://spec.matrix.org/v1.19/client-server-api/#user-interactive-authentication-api).

use http::StatusCode;
use ruma::UserId;
use serde::Deserialize;
use serde_json::json;

use super::{ApiError, ApiResult, AppState, Requester, login::Identifier};
use crate::user::random_text;

/// The `auth` member of a request.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct AuthData {
    #[serde(rename = "type")]
    kind: Option<String>,
    session: Option<String>,
    password: Option<String>,
    identifier: Option<Identifier>,
    user: Option<String>,
}

/// The stage that proves nothing; for registration.
pub(super) const DUMMY: &str = "m.login.dummy";
const PASSWORD: &str = "m.login.password";

/// The answer that says what is still to be done, in one flow of one stage.
fn challenge(session: Option<&str>, stage: &str) -> ApiError {
    let session = session.map_or_else(|| random_text(24), ToOwned::to_owned);
    ApiError::new(StatusCode::UNAUTHORIZED, "", "")
        .with("flows", json!([{"stages": [stage]}]))
        .with("params", json!({}))
        .with("completed", json!([]))
        .with("session", session)
}

/// Lets through who has done the dummy stage.
pub(super) fn dummy(auth: Option<&AuthData>) -> ApiResult<()> {
    match auth {
        Some(auth) if auth.kind.as_deref() == Some(DUMMY) => Ok(()),
        auth => Err(challenge(auth.and_then(|auth| auth.session.as_deref()), DUMMY)),
    }
}

/// Lets through who knows the password of the account. Application services have shown more than that already.
pub(super) async fn password(app: &AppState, requester: &Requester, auth: Option<AuthData>) -> ApiResult<()> {
    if requester.appservice.is_some() {
        return Ok(());
    }
    let Some(auth) = auth.filter(|auth| auth.kind.as_deref() == Some(PASSWORD)) else {
        return Err(challenge(None, PASSWORD));
    };
    let refused = |auth: &AuthData| {
        challenge(auth.session.as_deref(), PASSWORD).named("M_FORBIDDEN", "the password is not right")
    };
    let named = auth.identifier.as_ref().and_then(Identifier::user).or(auth.user.as_deref());
    if !names(app, named, &requester.user_id) {
        return Err(refused(&auth));
    }
    let Some(password) = auth.password.clone() else { return Err(refused(&auth)) };
    app.throttle(crate::homeserver::Limit::Login, requester.user_id.as_str())?;
    if app.users.password_matches(&requester.user_id, password).await? { Ok(()) } else { Err(refused(&auth)) }
}

fn names(app: &AppState, named: Option<&str>, user_id: &UserId) -> bool {
    named.is_none_or(|named| {
        named == user_id.as_str() || (named == user_id.localpart() && app.is_local(user_id))
    })
}
