//! [End-to-end encryption](https://spec.matrix.org/v1.19/client-server-api/#end-to-end-encryption): device keys,
//! one-time keys, cross-signing.

use std::collections::BTreeMap;

use axum::{
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ApiError, ApiResult, AppState, Empty, Json, Params, Reply, Requester, Routes, Segments,
    read::position,
    uia::{self, AuthData},
};
use crate::{
    sync::Window,
    user::{CrossSigning, KeyUpload, KeysError, Usage},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/keys/upload", post(upload_keys))
        .v3("/keys/upload/{device_id}", post(upload_keys_for_device))
        .v3("/keys/query", post(query_keys))
        .v3("/keys/claim", post(claim_keys))
        .v3("/keys/changes", get(get_keys_changes))
        .v3("/keys/device_signing/upload", post(upload_cross_signing_keys))
        .v3("/keys/signatures/upload", post(upload_cross_signing_signatures))
}

impl From<KeysError> for ApiError {
    fn from(error: KeysError) -> Self {
        let text = error.to_string();
        match error {
            KeysError::Invalid(_) => Self::invalid_param(text),
            KeysError::Missing(_) => Self::missing_param(text),
            KeysError::Signature(_) => Self::new(StatusCode::BAD_REQUEST, "M_INVALID_SIGNATURE", text),
            KeysError::Replaces => Self::forbidden(text),
            KeysError::Unknown => Self::not_found(text),
            KeysError::Store(error) => error.into(),
        }
    }
}

async fn upload_keys(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<KeyUpload>,
) -> ApiResult<Reply<Value>> {
    let counts = app.users.keys.upload(&requester.user_id, requester.device()?, body).await?;
    Ok(Reply(json!({"one_time_key_counts": counts.one_time})))
}

/// The path of before, with the device in it, which has to be that of the token.
async fn upload_keys_for_device(
    state: State<AppState>,
    requester: Requester,
    Segments(device_id): Segments<OwnedDeviceId>,
    body: Json<KeyUpload>,
) -> ApiResult<Reply<Value>> {
    if *requester.device()? != device_id {
        return Err(ApiError::invalid_param("keys are uploaded for the device of the token"));
    }
    upload_keys(state, requester, body).await
}

#[derive(Debug, Deserialize)]
struct KeyQuery {
    device_keys: BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
}

async fn query_keys(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<KeyQuery>,
) -> ApiResult<Reply<Value>> {
    let mut found = Found::default();
    for (user_id, wanted) in &body.device_keys {
        if app.is_local(user_id) {
            found.add(&app, user_id, wanted, &requester.user_id)?;
        } else {
            found.failures.insert(user_id.server_name().to_string(), unreachable_server());
        }
    }
    Ok(Reply(json!({
        "device_keys": found.device_keys,
        "master_keys": found.master_keys,
        "self_signing_keys": found.self_signing_keys,
        "user_signing_keys": found.user_signing_keys,
        "failures": found.failures,
    })))
}

/// What is said of other servers, which this one does not talk to.
fn unreachable_server() -> Value {
    json!({"errcode": "M_UNKNOWN", "error": "the server is not reachable"})
}

#[derive(Debug, Default)]
struct Found {
    device_keys: BTreeMap<OwnedUserId, Map<String, Value>>,
    master_keys: Map<String, Value>,
    self_signing_keys: Map<String, Value>,
    user_signing_keys: Map<String, Value>,
    failures: Map<String, Value>,
}

impl Found {
    fn add(
        &mut self,
        app: &AppState,
        user_id: &OwnedUserId,
        wanted: &[OwnedDeviceId],
        viewer: &UserId,
    ) -> ApiResult<()> {
        let keys = &app.users.keys;
        let mut devices = Map::new();
        for (device_id, mut device_keys) in keys.devices_with_keys(user_id)? {
            if !wanted.is_empty() && !wanted.contains(&device_id) {
                continue;
            }
            if let Some(name) = app.users.device(user_id, &device_id)?.and_then(|device| device.display_name)
            {
                device_keys.insert("unsigned".to_owned(), json!({"device_display_name": name}));
            }
            devices.insert(device_id.to_string(), device_keys.into());
        }
        self.device_keys.insert(user_id.clone(), devices);
        let put = |list: &mut Map<String, Value>, key: Option<Map<String, Value>>| {
            list.extend(key.map(|key| (user_id.to_string(), key.into())));
        };
        put(&mut self.master_keys, keys.master_key_for(user_id, viewer)?);
        put(&mut self.self_signing_keys, keys.cross_signing_key(user_id, Usage::SelfSigning)?);
        if user_id == viewer {
            put(&mut self.user_signing_keys, keys.cross_signing_key(user_id, Usage::UserSigning)?);
        }
        Ok(())
    }
}

#[derive(Debug, Deserialize)]
struct KeyClaim {
    one_time_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, String>>,
}

async fn claim_keys(
    State(app): State<AppState>,
    _: Requester,
    Json(body): Json<KeyClaim>,
) -> ApiResult<Reply<Value>> {
    let (mut claimed, mut failures) = (Map::new(), Map::new());
    for (user_id, devices) in body.one_time_keys {
        if !app.is_local(&user_id) {
            failures.insert(user_id.server_name().to_string(), unreachable_server());
            continue;
        }
        let mut of_user = Map::new();
        for (device_id, algorithm) in devices {
            let held = app.users.keys.claim(&user_id, &device_id, &algorithm).await?;
            let found = match held {
                Some(found) => Some(found),
                None => app.appservices.claim_key(&user_id, &device_id, &algorithm).await,
            };
            if let Some((name, key)) = found {
                of_user.insert(device_id.to_string(), json!({ name: key }));
            }
        }
        if !of_user.is_empty() {
            claimed.insert(user_id.to_string(), of_user.into());
        }
    }
    Ok(Reply(json!({"one_time_keys": claimed, "failures": failures})))
}

#[derive(Debug, Deserialize)]
struct ChangeParams {
    from: String,
    to: Option<String>,
}

async fn get_keys_changes(
    State(app): State<AppState>,
    requester: Requester,
    Params(params): Params<ChangeParams>,
) -> ApiResult<Reply<Value>> {
    let now = app.users.keys.now();
    let upto = params.to.as_deref().map_or(Ok(now), position)?.min(now);
    let window = Window { since: Some(position(&params.from)?), upto };
    let lists = app.device_lists.between(&requester.user_id, window)?;
    Ok(Reply(json!({"changed": lists.changed, "left": lists.left})))
}

#[derive(Debug, Deserialize)]
struct CrossSigningUpload {
    auth: Option<AuthData>,
    #[serde(flatten)]
    keys: CrossSigning,
}

/// First keys need no more than a token; other keys in their place need the password.
async fn upload_cross_signing_keys(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<CrossSigningUpload>,
) -> ApiResult<Empty> {
    let (keys, user_id) = (&app.users.keys, &requester.user_id);
    match keys.upload_cross_signing(user_id, &body.keys, false).await {
        Err(KeysError::Replaces) => {
            uia::password(&app, &requester, "POST /keys/device_signing/upload", body.auth).await?;
            keys.upload_cross_signing(user_id, &body.keys, true).await?;
        }
        uploaded => uploaded?,
    }
    Ok(Empty)
}

type Signatures = BTreeMap<OwnedUserId, BTreeMap<String, Map<String, Value>>>;

async fn upload_cross_signing_signatures(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<Signatures>,
) -> ApiResult<Reply<Value>> {
    let mut failures: BTreeMap<OwnedUserId, Map<String, Value>> = BTreeMap::new();
    for (user_id, keys) in body {
        for (key_id, signed) in keys {
            let added = app.users.keys.add_signature(&requester.user_id, &user_id, &key_id, &signed).await;
            let failure = match added {
                Ok(()) => continue,
                Err(KeysError::Store(error)) => return Err(error.into()),
                Err(error @ KeysError::Signature(_)) => ("M_INVALID_SIGNATURE", error),
                Err(error @ KeysError::Unknown) => ("M_NOT_FOUND", error),
                Err(error) => ("M_INVALID_PARAM", error),
            };
            let (errcode, error) = (failure.0, failure.1.to_string());
            let of_user = failures.entry(user_id.clone()).or_default();
            of_user.insert(key_id, json!({"errcode": errcode, "error": error}));
        }
    }
    Ok(Reply(json!({ "failures": failures })))
}
