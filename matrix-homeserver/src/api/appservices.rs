//! What the homeserver does for application services and their networks:
//! [pinging](https://spec.matrix.org/v1.19/application-service-api/#pinging) and
//! [third-party lookups](https://spec.matrix.org/v1.19/client-server-api/#third-party-networks).

use axum::{
    extract::State,
    routing::{get, post},
};
use http::Uri;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ApiError, ApiResult, AppState, OptionalJson, Reply, Requester, Routes, Segments, extract::query_value,
};
use crate::{
    appservice::{Lookup, PingError},
    testing::encode,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .v1("/appservice/{appservice_id}/ping", post(ping_appservice))
        .v3("/thirdparty/protocols", get(get_protocols))
        .v3("/thirdparty/protocol/{protocol}", get(get_protocol_metadata))
        .v3("/thirdparty/location", get(query_location_by_alias))
        .v3("/thirdparty/location/{protocol}", get(query_location_by_protocol))
        .v3("/thirdparty/user", get(query_user_by_id))
        .v3("/thirdparty/user/{protocol}", get(query_user_by_protocol))
}

#[derive(Debug, Default, Deserialize)]
struct Ping {
    transaction_id: Option<String>,
}

async fn ping_appservice(
    requester: Requester,
    Segments(appservice_id): Segments<String>,
    OptionalJson(ping): OptionalJson<Ping>,
) -> ApiResult<Reply<Value>> {
    let appservice = requester
        .appservice
        .filter(|appservice| appservice.id() == appservice_id)
        .ok_or_else(|| ApiError::forbidden("the access token is not that of this application service"))?;
    match appservice.ping(ping.transaction_id.as_deref()).await {
        Ok(took) => Ok(Reply(json!({"duration_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX)}))),
        Err(PingError::UrlNotSet) => Err(ApiError::url_not_set("the application service has no URL")),
        Err(PingError::Timeout) => {
            Err(ApiError::connection_timeout("the application service did not answer in time"))
        }
        Err(PingError::Failed) => {
            Err(ApiError::connection_failed("the application service could not be reached"))
        }
        Err(PingError::Status { status, body }) => {
            Err(ApiError::bad_status(format!("the application service answered with status {status}"))
                .with("status", status)
                .with("body", body))
        }
    }
}

async fn get_protocols(State(app): State<AppState>, _: Requester) -> Reply<Map<String, Value>> {
    Reply(app.appservices.protocols().await)
}

async fn get_protocol_metadata(
    State(app): State<AppState>,
    _: Requester,
    Segments(protocol): Segments<String>,
) -> ApiResult<Reply<Value>> {
    match app.appservices.protocol(&protocol).await {
        Some(metadata) => Ok(Reply(metadata)),
        None => Err(ApiError::not_found("no application service bridges this protocol")),
    }
}

async fn query_location_by_protocol(
    State(app): State<AppState>,
    _: Requester,
    Segments(protocol): Segments<String>,
    uri: Uri,
) -> ApiResult<Reply<Vec<Value>>> {
    by_protocol(&app, Lookup::Location, &protocol, &uri).await
}

async fn query_user_by_protocol(
    State(app): State<AppState>,
    _: Requester,
    Segments(protocol): Segments<String>,
    uri: Uri,
) -> ApiResult<Reply<Vec<Value>>> {
    by_protocol(&app, Lookup::User, &protocol, &uri).await
}

async fn by_protocol(
    app: &AppState,
    what: Lookup,
    protocol: &str,
    uri: &Uri,
) -> ApiResult<Reply<Vec<Value>>> {
    if !app.appservices.bridges(protocol) {
        return Err(ApiError::not_found("no application service bridges this protocol"));
    }
    Ok(Reply(app.appservices.look_up(what, Some(protocol), &passed_on(uri)).await))
}

/// The fields of a lookup, without what tells who asks.
fn passed_on(uri: &Uri) -> String {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let fields = pairs.filter(|(name, _)| {
        !matches!(
            &**name,
            "access_token" | "user_id" | "user_token" | "device_id" | "org.matrix.msc3202.device_id"
        )
    });
    fields.map(|(name, value)| format!("{}={}", encode(&name), encode(&value))).collect::<Vec<_>>().join("&")
}

async fn query_location_by_alias(
    State(app): State<AppState>,
    _: Requester,
    uri: Uri,
) -> ApiResult<Reply<Vec<Value>>> {
    by_matrix_id(&app, Lookup::Location, "alias", &uri).await
}

async fn query_user_by_id(
    State(app): State<AppState>,
    _: Requester,
    uri: Uri,
) -> ApiResult<Reply<Vec<Value>>> {
    by_matrix_id(&app, Lookup::User, "userid", &uri).await
}

async fn by_matrix_id(
    app: &AppState,
    what: Lookup,
    parameter: &'static str,
    uri: &Uri,
) -> ApiResult<Reply<Vec<Value>>> {
    let Some(id) = query_value(uri.query(), parameter) else {
        return Err(ApiError::missing_param(format!("{parameter} is missing")));
    };
    let query = format!("{parameter}={}", encode(&id));
    let found = app.appservices.look_up(what, None, &query).await;
    if found.is_empty() {
        return Err(ApiError::not_found("no application service knows it"));
    }
    Ok(Reply(found))
}
