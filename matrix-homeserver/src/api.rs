//! The HTTP interface: one file per section of the client-server specification.
//!
//! Handlers are named after the specification's operations. They take a request apart, call the services, and put
//! the answer together; they never touch the store.

use std::sync::Arc;

use axum::{Router, routing::MethodRouter};

use crate::homeserver::Services;

mod access;
mod account;
mod account_data;
mod admin;
mod appservices;
pub(crate) mod auth;
#[cfg(test)]
mod coverage;
mod create_room;
mod devices;
mod directory;
mod discovery;
mod draft_registration;
mod draft_uris;
mod ephemeral;
pub(crate) mod error;
pub(crate) mod extract;
mod fault_control;
mod filter;
mod html;
mod keys;
pub(crate) mod layer;
mod legacy;
mod login;
mod media;
mod membership;
mod metrics;
mod openid;
mod presence;
mod profile;
mod push;
mod read;
pub(crate) mod register;
mod relations;
mod reports;
mod room_keys;
mod room_list;
mod search;
mod send;
mod server_keys;
mod signed;
mod sliding_sync;
mod spaces;
mod sync;
mod third_party_invites;
mod threepids;
mod to_device;
mod uia;
mod upgrade;
mod user_directory;
mod v2_draft;
mod versions;

pub(crate) use self::{
    admin::Deletions,
    auth::Requester,
    error::{ApiError, ApiResult},
    extract::{Empty, Json, OptionalJson, Params, Reply, Segments},
    legacy::{Dialect, Legacy},
    uia::UiaSessions,
};

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use self::read::{position, token};

/// What every handler can reach.
pub(crate) type AppState = Arc<Services>;

/// The routes of one section of the specification.
///
/// A path is written without the prefix that names the version; the method says which prefixes it is served under.
#[derive(Default)]
pub(crate) struct Routes {
    table: Vec<(String, Family, MethodRouter<AppState>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// `/_matrix/client/v3` and its alias `r0`, and bare where the drafts are served.
    V3,
    /// `/_matrix/client/api/v1` only.
    Of2014,
    /// As `V3` and as `Of2014`.
    Since2014,
    /// As `Since2014`, and under `api/v1` also as an idempotent `PUT` with a transaction ID.
    Action,
    /// `/_matrix/client/v1` only.
    V1,
    /// As it stands.
    Absolute,
    /// As it stands, and only where the drafts are served.
    Draft,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A route under `/_matrix/client/v3`, `r0` and, where the drafts are served, no prefix at all.
    pub(crate) fn v3(self, path: &str, methods: MethodRouter<AppState>) -> Self {
        self.add(path, Family::V3, methods)
    }

    /// A route under `/_matrix/client/api/v1`, which is the API of 2014.
    pub(crate) fn of_2014(self, path: &str, methods: MethodRouter<AppState>) -> Self {
        self.add(path, Family::Of2014, methods)
    }

    /// A route that today's API and that of 2014 have in common.
    pub(crate) fn since_2014(self, path: &str, methods: MethodRouter<AppState>) -> Self {
        self.add(path, Family::Since2014, methods)
    }

    /// A `POST` that today's API and that of 2014 have in common. The latter also knows it as a `PUT` to the path with a
    /// transaction ID, which is done once however often it is repeated.
    pub(crate) fn action(self, path: &str, methods: MethodRouter<AppState>) -> Self {
        self.add(path, Family::Action, methods)
    }

    /// A route under `/_matrix/client/v1`.
    pub(crate) fn v1(self, path: &str, methods: MethodRouter<AppState>) -> Self {
        self.add(path, Family::V1, methods)
    }

    /// A route with its whole path.
    pub(crate) fn absolute(self, path: &str, methods: MethodRouter<AppState>) -> Self {
        self.add(path, Family::Absolute, methods)
    }

    /// A route with its whole path that only the drafts know.
    pub(crate) fn draft(self, path: &str, methods: MethodRouter<AppState>) -> Self {
        self.add(path, Family::Draft, methods)
    }

    fn add(mut self, path: &str, family: Family, methods: MethodRouter<AppState>) -> Self {
        self.table.push((path.to_owned(), family, methods));
        self
    }

    /// Every prefix under which the path is served.
    fn prefixes(family: Family, drafts: bool) -> &'static [&'static str] {
        match (family, drafts) {
            (Family::V3, false) => &["/_matrix/client/v3", "/_matrix/client/r0"],
            (Family::V3, true) => &["/_matrix/client/v3", "/_matrix/client/r0", ""],
            (Family::Of2014, _) => &[legacy::PREFIX],
            (Family::Since2014 | Family::Action, false) => {
                &["/_matrix/client/v3", "/_matrix/client/r0", legacy::PREFIX]
            }
            (Family::Since2014 | Family::Action, true) => {
                &["/_matrix/client/v3", "/_matrix/client/r0", legacy::PREFIX, ""]
            }
            (Family::V1, _) => &["/_matrix/client/v1"],
            (Family::Absolute, _) | (Family::Draft, true) => &[""],
            (Family::Draft, false) => &[],
        }
    }

    fn into_router(self, drafts: bool) -> Router<AppState> {
        let mut router = Router::new();
        for (path, family, methods) in self.table {
            if family == Family::Action {
                let repeatable = format!("{}{path}/{{txn_id}}", legacy::PREFIX);
                router = router.route(&repeatable, legacy::repeatable(&path, methods.clone()));
            }
            for prefix in Self::prefixes(family, drafts) {
                router = router.route(&format!("{prefix}{path}"), methods.clone());
            }
        }
        router
    }
}

/// Every section, in the order of the specification.
fn sections() -> Vec<Routes> {
    vec![
        versions::routes(),
        login::routes(),
        register::routes(),
        uia::routes(),
        account::routes(),
        admin::routes(),
        admin::rooms::routes(),
        admin::deletions::routes(),
        admin::registration_tokens::routes(),
        devices::routes(),
        filter::routes(),
        sync::routes(),
        sliding_sync::routes(),
        create_room::routes(),
        directory::routes(),
        membership::routes(),
        room_list::routes(),
        read::routes(),
        send::routes(),
        relations::routes(),
        search::routes(),
        spaces::routes(),
        reports::routes(),
        upgrade::routes(),
        discovery::routes(),
        user_directory::routes(),
        openid::routes(),
        server_keys::routes(),
        third_party_invites::routes(),
        threepids::routes(),
        profile::routes(),
        ephemeral::routes(),
        presence::routes(),
        account_data::routes(),
        media::routes(),
        push::routes(),
        to_device::routes(),
        keys::routes(),
        room_keys::routes(),
        appservices::routes(),
        draft_registration::routes(),
        draft_uris::routes(),
    ]
    .into_iter()
    .chain(legacy::sections())
    .collect()
}

/// The whole interface.
pub(crate) fn router(state: AppState) -> Router {
    let drafts = state.config.drafts;
    let mut router = Router::new();
    for section in sections() {
        router = router.merge(section.into_router(drafts));
    }
    if state.config.fault_control {
        router = router.merge(fault_control::routes().into_router(drafts));
    }
    if state.config.metrics {
        router = router.merge(metrics::routes().into_router(drafts));
    }
    if state.config.v2_draft {
        router = router.clone().merge(v2_draft::router(&state, router));
    }
    router
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .fallback(|| async { ApiError::unrecognized() })
        .layer(axum::middleware::from_fn_with_state(state.clone(), layer::guard))
        .with_state(state)
}
