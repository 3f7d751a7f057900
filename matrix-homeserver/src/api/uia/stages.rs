//! What each stage asks for ([authentication types]).
//!
//! [authentication types]: https://spec.matrix.org/v1.19/client-server-api/#authentication-types

use http::StatusCode;
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value, json};

use super::{AuthData, DUMMY, Demand, EMAIL, PASSWORD, REGISTRATION_TOKEN, TERMS};
use crate::{
    api::{ApiError, ApiResult, AppState, login::Identifier, threepids::ThreepidCreds},
    homeserver::{Limit, Terms},
    user::Purpose,
};

/// What comes of a stage.
pub(super) enum Verdict {
    Passed,
    /// With an error code, and what to tell.
    Failed(&'static str, &'static str),
}

/// Checks what a client says for a stage.
pub(super) async fn check(
    app: &AppState,
    demand: &Demand,
    session: &str,
    stage: &str,
    auth: &AuthData,
) -> ApiResult<Verdict> {
    let unrecognized = || {
        let text = "this stage is in none of the flows";
        Err(ApiError::new(StatusCode::BAD_REQUEST, "M_UNRECOGNIZED", text))
    };
    if !demand.knows(stage) {
        return unrecognized();
    }
    match stage {
        // Saying that one agrees is all that there is to it.
        DUMMY | TERMS => Ok(Verdict::Passed),
        REGISTRATION_TOKEN => registration_token(app, session, auth),
        EMAIL => match &auth.threepid_creds {
            Some(creds) if reader(app, creds)?.is_some() => Ok(Verdict::Passed),
            _ => {
                Ok(Verdict::Failed("M_UNAUTHORIZED", "the mail was not read, or no account has its address"))
            }
        },
        PASSWORD => match &demand.user_id {
            Some(user_id) => password(app, user_id, auth).await,
            None => unrecognized(),
        },
        _ => unrecognized(),
    }
}

/// Whose mail was read to reset a password.
pub(super) fn reader(app: &AppState, creds: &ThreepidCreds) -> ApiResult<Option<OwnedUserId>> {
    match creds.validated(app, Purpose::PasswordReset) {
        Some(shown) => Ok(app.users.threepid_owner("email", &shown.email)?),
        None => Ok(None),
    }
}

fn registration_token(app: &AppState, session: &str, auth: &AuthData) -> ApiResult<Verdict> {
    let Some(token) = &auth.token else {
        return Ok(Verdict::Failed("M_MISSING_PARAM", "the registration token is missing"));
    };
    app.throttle(Limit::Registration, "registration tokens")?;
    if is_of_settings(app, token) || app.users.registration_tokens.show(token, session) {
        Ok(Verdict::Passed)
    } else {
        Ok(Verdict::Failed("M_UNAUTHORIZED", "the registration token is not valid"))
    }
}

/// Whether one may register with this token.
pub(in crate::api) fn is_registration_token(app: &AppState, token: &str) -> bool {
    is_of_settings(app, token) || app.users.registration_tokens.get(token).is_some_and(|info| info.is_valid())
}

fn is_of_settings(app: &AppState, token: &str) -> bool {
    app.config.registration_tokens.iter().any(|known| known.matches(token))
}

async fn password(app: &AppState, user_id: &UserId, auth: &AuthData) -> ApiResult<Verdict> {
    let named = auth.identifier.as_ref().and_then(Identifier::user).or(auth.user.as_deref());
    if !names(app, named, user_id) {
        return Ok(Verdict::Failed("M_FORBIDDEN", "this is another user's request"));
    }
    let Some(password) = auth.password.clone() else {
        return Ok(Verdict::Failed("M_MISSING_PARAM", "the password is missing"));
    };
    app.throttle(Limit::Login, user_id.as_str())?;
    if app.users.password_matches(user_id, password).await? {
        Ok(Verdict::Passed)
    } else {
        Ok(Verdict::Failed("M_FORBIDDEN", "the password is not right"))
    }
}

fn names(app: &AppState, named: Option<&str>, user_id: &UserId) -> bool {
    named.is_none_or(|named| {
        named == user_id.as_str() || (named == user_id.localpart() && app.is_local(user_id))
    })
}

/// What clients show of the terms ([terms of service]).
///
/// [terms of service]: https://spec.matrix.org/v1.19/client-server-api/#terms-of-service-at-registration
pub(super) fn terms_params(terms: &[Terms]) -> Value {
    let policies: Map<String, Value> = terms
        .iter()
        .map(|terms| {
            let policy = json!({"version": terms.version, "en": {"name": terms.name, "url": terms.url}});
            (terms.id.clone(), policy)
        })
        .collect();
    json!({ "policies": policies })
}
