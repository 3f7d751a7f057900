//! The client-server API of 2014, under `/_matrix/client/api/v1`.
//!
//! Where today's Synapse still serves a path of it, the answers have Synapse's shape; what only the specification of 2014
//! knows (registration like login, login in stages, presence lists) is served beside it. Paths whose handlers differ in
//! nothing but the form of events are declared with today's, by [`Routes::since_2014`] and [`Routes::action`]; here is what
//! differs in more.

use std::convert::Infallible;

use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{MethodRouter, put},
};
use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use tokio::sync::{Mutex, MutexGuard};
use tower::ServiceExt;

use super::{ApiError, ApiResult, AppState, Routes, layer::Peer, read};
use crate::{event::ClientFormat, login_stage::LoginSessions, store::Position};

mod events;
mod initial_sync;
mod login;
mod presence;
mod rooms;

/// What the paths of this API begin with.
pub(super) const PREFIX: &str = "/_matrix/client/api/v1";

pub(super) fn sections() -> Vec<Routes> {
    vec![login::routes(), initial_sync::routes(), events::routes(), presence::routes(), rooms::routes()]
}

/// The specification by which a request is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    #[default]
    Today,
    Of2014,
}

impl Dialect {
    /// The dialect that the path of a request belongs to.
    pub(crate) fn of(path: &str) -> Self {
        match path.strip_prefix(PREFIX) {
            Some(rest) if rest.starts_with('/') => Self::Of2014,
            _ => Self::Today,
        }
    }

    /// The form in which events are shown.
    pub(crate) fn format(self) -> ClientFormat {
        match self {
            Self::Today => ClientFormat::Full,
            Self::Of2014 => ClientFormat::Legacy,
        }
    }
}

/// What this API keeps between requests.
#[derive(Debug, Default)]
pub(crate) struct Legacy {
    creating: Mutex<()>,
    logins: LoginSessions,
}

impl Legacy {
    /// Lets requests that make rooms once pass one after the other, so that the second of two equal ones finds what the
    /// first has made.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.creating.lock().await
    }
}

/// Marks a request that is to be done once however often it comes, by the ID that its client gave it.
#[derive(Debug, Clone)]
pub(super) struct Repeatable {
    pub(super) txn_id: String,
}

/// A `POST` handler as a `PUT` with a transaction ID at the end of the path.
pub(super) fn repeatable(path: &str, methods: MethodRouter<AppState>) -> MethodRouter<AppState> {
    let action: Router<AppState> = Router::new().route(&format!("{PREFIX}{path}"), methods);
    put(move |State(app): State<AppState>, request: Request| {
        let action = action.clone();
        async move {
            let Some(request) = without_txn_id(request) else {
                return ApiError::unrecognized().into_response();
            };
            match action.with_state(app).oneshot(request).await {
                Ok(response) => response,
                Err(never) => absurd(never),
            }
        }
    })
}

fn absurd(never: Infallible) -> Response {
    match never {}
}

/// The same request as a `POST` to the path without its transaction ID. What the router noted about the path is left
/// behind with it.
fn without_txn_id(request: Request) -> Option<Request> {
    let (parts, body) = request.into_parts();
    let (path, txn_id) = parts.uri.path().rsplit_once('/')?;
    let txn_id = percent_decode_str(txn_id).decode_utf8().ok()?.into_owned();
    let uri = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut bare = Request::new(body);
    *bare.method_mut() = Method::POST;
    *bare.uri_mut() = Uri::try_from(uri).ok()?;
    *bare.headers_mut() = parts.headers;
    bare.extensions_mut().insert(Repeatable { txn_id });
    bare.extensions_mut().insert(parts.extensions.get::<Peer>().copied().unwrap_or_default());
    Some(bare)
}

/// The refusal of pagination parameters, which had a code of its own in 2014.
fn bad_pagination(message: &'static str) -> ApiError {
    ApiError::new(http::StatusCode::BAD_REQUEST, "M_BAD_PAGINATION", message)
}

/// Reads a token by which something is paged. `START` and `END` are the ends of what there is.
fn page_token(token: Option<&str>) -> ApiResult<Option<Position>> {
    match token {
        None | Some("" | "END") => Ok(None),
        Some("START") => Ok(Some(Position::ZERO)),
        Some(token) => {
            read::position(token).map(Some).map_err(|_| bad_pagination("the token is not one of this server"))
        }
    }
}

/// Reads a number of events.
fn page_limit(limit: Option<&str>) -> ApiResult<usize> {
    const DEFAULT: usize = 10;
    const MAX: usize = 1000;
    match limit.map(str::parse::<usize>) {
        None => Ok(DEFAULT),
        Some(Ok(limit)) => Ok(limit.min(MAX)),
        Some(Err(_)) => Err(bad_pagination("limit is not a number of events")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_prefix_are_of_2014() {
        assert_eq!(Dialect::of("/_matrix/client/api/v1/login"), Dialect::Of2014);
        assert_eq!(Dialect::of("/_matrix/client/api/v11/login"), Dialect::Today);
        assert_eq!(Dialect::of("/_matrix/client/v3/login"), Dialect::Today);
    }

    #[test]
    fn a_put_loses_its_transaction_id_and_keeps_its_query() {
        let request =
            Request::put("/_matrix/client/api/v1/join/%23a%3Ab/a%20b?ts=5").body(axum::body::Body::empty());
        let bare = without_txn_id(request.unwrap()).unwrap();
        assert_eq!(bare.uri(), "/_matrix/client/api/v1/join/%23a%3Ab?ts=5");
        assert_eq!(bare.method(), Method::POST);
        assert_eq!(bare.extensions().get::<Repeatable>().unwrap().txn_id, "a b");
    }
}
