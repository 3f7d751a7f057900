//! [Server-side key backups](https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups).

use std::collections::BTreeMap;

use axum::{
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use ruma::UserId;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ApiError, ApiResult, AppState, Empty, Json, Params, Reply, Requester, Routes, Segments};
use crate::user::{Backup, BackupError, SessionKey, SessionKeys};

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/room_keys/version", post(post_version).get(get_current_version))
        .v3("/room_keys/version/{version}", get(get_version).put(put_version).delete(delete_version))
        .v3("/room_keys/keys", get(get_keys).put(put_keys).delete(delete_keys))
        .v3("/room_keys/keys/{room_id}", get(get_room).put(put_room).delete(delete_room))
        .v3(
            "/room_keys/keys/{room_id}/{session_id}",
            get(get_session).put(put_session).delete(delete_session),
        )
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        let text = error.to_string();
        match error {
            BackupError::NotFound => Self::not_found(text),
            BackupError::WrongVersion { current } => {
                Self::new(StatusCode::FORBIDDEN, "M_WRONG_ROOM_KEYS_VERSION", text)
                    .with("current_version", current.to_string())
            }
            BackupError::Store(error) => error.into(),
        }
    }
}

fn not_found() -> ApiError {
    BackupError::NotFound.into()
}

/// Versions are numbers that clients know as texts.
fn number(version: &str) -> ApiResult<u64> {
    version.parse().map_err(|_| not_found())
}

async fn post_version(
    State(app): State<AppState>,
    requester: Requester,
    Json(backup): Json<Backup>,
) -> ApiResult<Reply<Value>> {
    let backup = Backup { etag: 0, count: 0, ..backup };
    let version = app.users.backups.create(&requester.user_id, &backup).await?;
    Ok(Reply(json!({"version": version.to_string()})))
}

fn show(app: &AppState, user_id: &UserId, version: u64) -> ApiResult<Reply<Value>> {
    let backup = app.users.backups.get(user_id, version)?.ok_or_else(not_found)?;
    Ok(Reply(json!({
        "algorithm": backup.algorithm,
        "auth_data": backup.auth_data,
        "count": backup.count,
        "etag": backup.etag.to_string(),
        "version": version.to_string(),
    })))
}

async fn get_current_version(State(app): State<AppState>, requester: Requester) -> ApiResult<Reply<Value>> {
    let version = app.users.backups.current(&requester.user_id)?.ok_or_else(not_found)?;
    show(&app, &requester.user_id, version)
}

async fn get_version(
    State(app): State<AppState>,
    requester: Requester,
    Segments(version): Segments<String>,
) -> ApiResult<Reply<Value>> {
    show(&app, &requester.user_id, number(&version)?)
}

#[derive(Debug, Deserialize)]
struct NewAuthData {
    algorithm: String,
    auth_data: Map<String, Value>,
    version: Option<String>,
}

async fn put_version(
    State(app): State<AppState>,
    requester: Requester,
    Segments(version): Segments<String>,
    Json(body): Json<NewAuthData>,
) -> ApiResult<Empty> {
    let number = number(&version)?;
    let backup = app.users.backups.get(&requester.user_id, number)?.ok_or_else(not_found)?;
    if body.version.is_some_and(|named| named != version) {
        return Err(ApiError::invalid_param("the version in the body is not that of the path"));
    }
    if body.algorithm != backup.algorithm {
        return Err(ApiError::invalid_param("the algorithm of a backup does not change"));
    }
    app.users.backups.set_auth_data(&requester.user_id, number, body.auth_data).await?;
    Ok(Empty)
}

async fn delete_version(
    State(app): State<AppState>,
    requester: Requester,
    Segments(version): Segments<String>,
) -> ApiResult<Empty> {
    app.users.backups.delete(&requester.user_id, number(&version)?).await?;
    Ok(Empty)
}

#[derive(Debug, Deserialize)]
struct Version {
    version: String,
}

#[derive(Debug, Deserialize)]
struct Sessions {
    sessions: BTreeMap<String, SessionKey>,
}

#[derive(Debug, Deserialize)]
struct Rooms {
    rooms: BTreeMap<String, Sessions>,
}

fn changed(backup: &Backup) -> Reply<Value> {
    Reply(json!({"count": backup.count, "etag": backup.etag.to_string()}))
}

async fn add(
    app: &AppState,
    requester: &Requester,
    version: &Version,
    keys: SessionKeys,
) -> ApiResult<Reply<Value>> {
    let version = number(&version.version)?;
    Ok(changed(&app.users.backups.add(&requester.user_id, version, keys).await?))
}

async fn put_keys(
    State(app): State<AppState>,
    requester: Requester,
    Params(version): Params<Version>,
    Json(body): Json<Rooms>,
) -> ApiResult<Reply<Value>> {
    let keys = body.rooms.into_iter().map(|(room, keys)| (room, keys.sessions)).collect();
    add(&app, &requester, &version, keys).await
}

async fn put_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room): Segments<String>,
    Params(version): Params<Version>,
    Json(body): Json<Sessions>,
) -> ApiResult<Reply<Value>> {
    add(&app, &requester, &version, SessionKeys::from([(room, body.sessions)])).await
}

async fn put_session(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room, session)): Segments<(String, String)>,
    Params(version): Params<Version>,
    Json(body): Json<SessionKey>,
) -> ApiResult<Reply<Value>> {
    let sessions = BTreeMap::from([(session, body)]);
    add(&app, &requester, &version, SessionKeys::from([(room, sessions)])).await
}

fn find(
    app: &AppState,
    requester: &Requester,
    version: &Version,
    room: Option<&str>,
    session: Option<&str>,
) -> ApiResult<SessionKeys> {
    let version = number(&version.version)?;
    app.users.backups.get(&requester.user_id, version)?.ok_or_else(not_found)?;
    Ok(app.users.backups.keys(&requester.user_id, version, room, session)?)
}

async fn get_keys(
    State(app): State<AppState>,
    requester: Requester,
    Params(version): Params<Version>,
) -> ApiResult<Reply<Value>> {
    let rooms = find(&app, &requester, &version, None, None)?;
    let rooms: Map<String, Value> =
        rooms.into_iter().map(|(room, sessions)| (room, json!({ "sessions": sessions }))).collect();
    Ok(Reply(json!({ "rooms": rooms })))
}

async fn get_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room): Segments<String>,
    Params(version): Params<Version>,
) -> ApiResult<Reply<Value>> {
    let mut rooms = find(&app, &requester, &version, Some(&room), None)?;
    Ok(Reply(json!({"sessions": rooms.remove(&room).unwrap_or_default()})))
}

async fn get_session(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room, session)): Segments<(String, String)>,
    Params(version): Params<Version>,
) -> ApiResult<Reply<SessionKey>> {
    let mut rooms = find(&app, &requester, &version, Some(&room), Some(&session))?;
    let key = rooms.remove(&room).and_then(|mut sessions| sessions.remove(&session));
    key.map(Reply).ok_or_else(|| ApiError::not_found("there is no such key in the backup"))
}

async fn remove(
    app: &AppState,
    requester: &Requester,
    version: &Version,
    room: Option<&str>,
    session: Option<&str>,
) -> ApiResult<Reply<Value>> {
    let version = number(&version.version)?;
    Ok(changed(&app.users.backups.remove(&requester.user_id, version, room, session).await?))
}

async fn delete_keys(
    State(app): State<AppState>,
    requester: Requester,
    Params(version): Params<Version>,
) -> ApiResult<Reply<Value>> {
    remove(&app, &requester, &version, None, None).await
}

async fn delete_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room): Segments<String>,
    Params(version): Params<Version>,
) -> ApiResult<Reply<Value>> {
    remove(&app, &requester, &version, Some(&room), None).await
}

async fn delete_session(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room, session)): Segments<(String, String)>,
    Params(version): Params<Version>,
) -> ApiResult<Reply<Value>> {
    remove(&app, &requester, &version, Some(&room), Some(&session)).await
}
