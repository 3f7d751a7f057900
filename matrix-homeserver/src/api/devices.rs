//! [Device management](https://spec.matrix.org/v1.19/client-server-api/#device-management).

use axum::{
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use ruma::{OwnedDeviceId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState, Empty, Json, OptionalJson, Reply, Requester, Routes, Segments,
    uia::{self, AuthData},
};
use crate::user::{Device, MAX_DEVICE_NAME, Seen, check_device_id};

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/devices", get(get_devices))
        .v3("/devices/{device_id}", get(get_device).put(update_device).delete(delete_device))
        .v3("/delete_devices", post(delete_devices))
}

async fn get_devices(State(app): State<AppState>, requester: Requester) -> ApiResult<Reply<Value>> {
    let seen = app.users.seen(&requester.user_id);
    let devices = app.users.devices(&requester.user_id)?;
    let devices: Vec<Value> = devices
        .iter()
        .map(|(device_id, device)| render(&requester.user_id, device_id, device, seen.get(device_id)))
        .collect();
    Ok(Reply(json!({"devices": devices})))
}

/// Every key is there, if only with `null`: some clients take a device without one for no answer at all.
fn render(user_id: &UserId, device_id: &OwnedDeviceId, device: &Device, seen: Option<&Seen>) -> Value {
    json!({
        "device_id": device_id,
        "user_id": user_id,
        "display_name": device.display_name,
        "last_seen_ip": seen.and_then(|seen| seen.from).map(|from| from.to_string()),
        "last_seen_ts": seen.map_or(device.created, |seen| seen.at),
    })
}

async fn get_device(
    State(app): State<AppState>,
    requester: Requester,
    Segments(device_id): Segments<OwnedDeviceId>,
) -> ApiResult<Reply<Value>> {
    match app.users.device(&requester.user_id, &device_id)? {
        Some(device) => {
            let seen = app.users.seen(&requester.user_id);
            Ok(Reply(render(&requester.user_id, &device_id, &device, seen.get(&device_id))))
        }
        None => Err(no_device()),
    }
}

fn no_device() -> ApiError {
    ApiError::not_found("there is no such device")
}

#[derive(Debug, Deserialize)]
struct DeviceName {
    display_name: Option<String>,
}

/// Names a device. Application services also make devices this way, for their users.
async fn update_device(
    State(app): State<AppState>,
    requester: Requester,
    Segments(device_id): Segments<OwnedDeviceId>,
    OptionalJson(body): OptionalJson<DeviceName>,
) -> ApiResult<(StatusCode, Empty)> {
    if body.display_name.as_ref().is_some_and(|name| name.chars().count() > MAX_DEVICE_NAME) {
        let refusal = "the name of a device has at most 100 characters";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "M_TOO_LARGE", refusal));
    }
    check_device_id(&device_id)?;
    if requester.appservice.is_none() && !app.users.device_exists(&requester.user_id, &device_id)? {
        return Err(no_device());
    }
    let made = app.users.put_device(&requester.user_id, &device_id, body.display_name).await?;
    Ok((if made { StatusCode::CREATED } else { StatusCode::OK }, Empty))
}

#[derive(Debug, Deserialize)]
struct Doomed {
    auth: Option<AuthData>,
    devices: Option<Vec<OwnedDeviceId>>,
}

async fn delete_device(
    State(app): State<AppState>,
    requester: Requester,
    Segments(device_id): Segments<OwnedDeviceId>,
    OptionalJson(body): OptionalJson<Doomed>,
) -> ApiResult<Empty> {
    uia::password(&app, &requester, format!("DELETE /devices/{device_id}"), body.auth).await?;
    app.users.remove_devices(&requester.user_id, &[device_id]).await?;
    Ok(Empty)
}

async fn delete_devices(
    State(app): State<AppState>,
    requester: Requester,
    Json(body): Json<Doomed>,
) -> ApiResult<Empty> {
    let devices = body.devices.ok_or_else(|| ApiError::missing_param("devices is missing"))?;
    uia::password(&app, &requester, "POST /delete_devices", body.auth).await?;
    app.users.remove_devices(&requester.user_id, &devices).await?;
    Ok(Empty)
}
