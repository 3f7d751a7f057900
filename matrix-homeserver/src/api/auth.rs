//! Who makes a request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{header, request::Parts};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use super::{
    AppState, Dialect, access,
    error::{ApiError, ApiResult},
    extract::{access_token, query_value},
    layer::Peer,
    legacy::Repeatable,
};
use crate::{
    appservice::Appservice,
    room::TxnKey,
    user::{Session, TokenHash},
};

/// The user on whose behalf a request is made, proven by its access token.
///
/// An application service may act as itself or as any user in its namespaces
/// ([identity assertion](https://spec.matrix.org/v1.19/application-service-api/#identity-assertion)).
#[derive(Debug, Clone)]
pub(crate) struct Requester {
    pub(crate) user_id: OwnedUserId,
    /// The device of the session, or the one that an application service asserts.
    pub(crate) device_id: Option<OwnedDeviceId>,
    /// Set when the token is that of an application service.
    pub(crate) appservice: Option<Arc<Appservice>>,
    pub(crate) is_guest: bool,
    /// Set when an application service makes the request with a token that the user granted to it.
    pub(crate) granted_to: Option<Arc<Appservice>>,
    /// The specification by which the request is made.
    pub(crate) dialect: Dialect,
    /// Set when a request of 2014 carries a transaction ID at the end of its path.
    pub(crate) txn: Option<TxnKey>,
}

impl Requester {
    fn of_session(session: &Session, parts: &Parts) -> Self {
        Self {
            user_id: session.user_id.clone(),
            device_id: Some(session.device_id.clone()),
            appservice: None,
            is_guest: session.is_guest,
            granted_to: None,
            dialect: Dialect::of(parts.uri.path()),
            txn: None,
        }
    }

    /// The device, or the refusal for requests that make no sense without one.
    pub(crate) fn device(&self) -> ApiResult<&OwnedDeviceId> {
        self.device_id
            .as_ref()
            .ok_or_else(|| ApiError::missing_param("this request needs a device; assert one with device_id"))
    }

    /// Takes over the transaction ID of a request that is to be made once however often it comes.
    fn repeatable(mut self, parts: &Parts) -> Self {
        self.txn = parts.extensions.get::<Repeatable>().map(|Repeatable { txn_id }| TxnKey {
            user_id: self.user_id.clone(),
            device_id: self.device_id.clone(),
            endpoint: parts.uri.path().to_owned(),
            txn_id: txn_id.clone(),
        });
        self
    }

    /// Refuses requests of everybody but administrators.
    pub(crate) fn must_be_admin(&self, app: &AppState) -> ApiResult<()> {
        let in_person = self.appservice.is_none() && self.granted_to.is_none();
        if in_person && app.users.account(&self.user_id)?.is_some_and(|account| account.admin) {
            Ok(())
        } else {
            Err(ApiError::forbidden("you are not an administrator of this server"))
        }
    }

    /// Refuses requests about somebody else.
    pub(crate) fn must_be(&self, user_id: &UserId) -> ApiResult<()> {
        if self.user_id == user_id {
            Ok(())
        } else {
            Err(ApiError::forbidden("this can only be done for oneself"))
        }
    }
}

impl FromRequestParts<AppState> for Requester {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> ApiResult<Self> {
        let query = parts.uri.query();
        let token = access_token(&parts.headers, query)?;
        let hash = TokenHash::of(&token);
        if let Some(session) = app.users.session(&hash)? {
            return by_session(app, &hash, &session, parts).await;
        }
        let Some(appservice) = app.appservices.by_token(&hash) else {
            return Err(ApiError::unknown_token());
        };
        if let Some(grant) = query_value(query, "user_token").filter(|_| app.config.drafts) {
            return by_grant(app, appservice, &grant, parts).await;
        }
        let user_id = asserted_user(app, &appservice, query).await?;
        let device_id = asserted_device(app, &user_id, query)?;
        let dialect = Dialect::of(parts.uri.path());
        let requester = Self {
            user_id,
            device_id,
            appservice: Some(appservice),
            is_guest: false,
            granted_to: None,
            dialect,
            txn: None,
        };
        access::check(app, &requester, parts)?;
        Ok(requester.repeatable(parts))
    }
}

/// The user of a session that is still good.
async fn by_session(
    app: &AppState,
    hash: &TokenHash,
    session: &Session,
    parts: &Parts,
) -> ApiResult<Requester> {
    if session.has_expired() {
        return Err(ApiError::soft_logout("the access token has expired"));
    }
    if session.is_fresh() {
        app.users.confirm(hash, session).await?;
    }
    let user_agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    let peer = parts.extensions.get::<Peer>().copied().unwrap_or_default();
    session.touch(peer.0, user_agent.unwrap_or_default());
    let requester = Requester::of_session(session, parts);
    access::check(app, &requester, parts)?;
    Ok(requester.repeatable(parts))
}

/// What a grant is not for: the draft lets application services act as real users "on all aspects of the CS API, except
/// for Account Management".
const ACCOUNT_MANAGEMENT: [&str; 6] =
    ["/account/", "/logout", "/devices", "/delete_devices", "/keys/device_signing/", "/login/"];

/// An application service acts as a real user, by a token that the user granted to it: an access token of the user's
/// (`user_token`, which only a draft of 2015 knows). It has the powers of the user then, and not those that its
/// registration gives it, but for the massaging of timestamps.
async fn by_grant(
    app: &AppState,
    appservice: Arc<Appservice>,
    grant: &str,
    parts: &Parts,
) -> ApiResult<Requester> {
    let path = parts.uri.path();
    let manages =
        ACCOUNT_MANAGEMENT.iter().any(|part| path.contains(part)) && !path.ends_with("/account/whoami");
    if manages {
        return Err(ApiError::forbidden("accounts are not managed by a grant"));
    }
    let hash = TokenHash::of(grant);
    let Some(session) = app.users.session(&hash)? else {
        return Err(ApiError::unknown_token());
    };
    if query_value(parts.uri.query(), "user_id").is_some_and(|user_id| user_id != session.user_id.as_str()) {
        return Err(ApiError::forbidden("user_id is not the user who granted the token"));
    }
    let requester = by_session(app, &hash, &session, parts).await?;
    Ok(Requester { granted_to: Some(appservice), ..requester })
}

/// The user that an application service acts as: itself unless it says otherwise.
async fn asserted_user(
    app: &AppState,
    appservice: &Arc<Appservice>,
    query: Option<&str>,
) -> ApiResult<OwnedUserId> {
    let Some(asserted) = query_value(query, "user_id") else {
        return Ok(appservice.sender().to_owned());
    };
    let user_id = OwnedUserId::try_from(asserted.as_ref())
        .map_err(|_| ApiError::invalid_param("user_id is not a user ID"))?;
    if user_id == appservice.sender() {
        return Ok(user_id);
    }
    if user_id.server_name() != app.config.server_name || !appservice.may_act_as(&user_id) {
        return Err(ApiError::forbidden("the application service cannot masquerade as this user"));
    }
    if !app.user_exists_or_is_made(&user_id).await? {
        return Err(ApiError::forbidden("the application service has not registered this user"));
    }
    Ok(user_id)
}

fn asserted_device(
    app: &AppState,
    user_id: &UserId,
    query: Option<&str>,
) -> ApiResult<Option<OwnedDeviceId>> {
    let asserted =
        query_value(query, "device_id").or_else(|| query_value(query, "org.matrix.msc3202.device_id"));
    let Some(asserted) = asserted else { return Ok(None) };
    let device_id = OwnedDeviceId::from(asserted.as_ref());
    if app.users.device_exists(user_id, &device_id)? {
        Ok(Some(device_id))
    } else {
        Err(ApiError::unknown_device("the user has no such device"))
    }
}

/// A token, good if there is one; for endpoints that need none.
#[derive(Debug)]
pub(crate) struct MaybeRequester(pub(crate) Option<Requester>);

impl FromRequestParts<AppState> for MaybeRequester {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> ApiResult<Self> {
        if access_token(&parts.headers, parts.uri.query()).is_err() {
            return Ok(Self(None));
        }
        Requester::from_request_parts(parts, app).await.map(|requester| Self(Some(requester)))
    }
}
