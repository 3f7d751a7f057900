//! The draft's `GET /_matrix/app/v1/user?uri=` and `alias?uri=`, by which clients find whom or what a link into another
//! network means. Served only where the drafts are, to whoever has an access token.

use axum::{extract::State, routing::get};
use http::Uri;
use serde_json::{Value, json};

use super::{ApiError, ApiResult, AppState, Reply, Requester, Routes, extract::query_value};
use crate::appservice::{ForeignLink, Wanted};

pub(super) fn routes() -> Routes {
    Routes::new()
        .draft("/_matrix/app/v1/user", get(user_by_uri))
        .draft("/_matrix/app/v1/alias", get(alias_by_uri))
}

async fn user_by_uri(State(app): State<AppState>, _: Requester, uri: Uri) -> ApiResult<Reply<Value>> {
    resolve(&app, &uri, Wanted::User).await
}

async fn alias_by_uri(State(app): State<AppState>, _: Requester, uri: Uri) -> ApiResult<Reply<Value>> {
    resolve(&app, &uri, Wanted::Alias).await
}

async fn resolve(app: &AppState, asked: &Uri, wanted: Wanted) -> ApiResult<Reply<Value>> {
    let Some(uri) = query_value(asked.query(), "uri") else {
        return Err(ApiError::missing_param("uri is missing"));
    };
    if url::Url::parse(&uri).is_err() {
        return Err(ApiError::invalid_param("uri is not a URI"));
    }
    let unknown = || ApiError::not_found("no application service knows where this leads");
    let link = ForeignLink::parse(&uri, wanted).ok_or_else(unknown)?;
    let found = app.appservices.resolve(&link, wanted).await.ok_or_else(unknown)?;
    Ok(Reply(json!({ wanted.field(): found })))
}
