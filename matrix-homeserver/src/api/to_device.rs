//! [Send-to-device messaging](https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging).

use std::collections::BTreeMap;

use axum::{extract::State, routing::put};
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::Deserialize;
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use super::{ApiError, ApiResult, AppState, Empty, Json, Requester, Routes, Segments};
use crate::{room::TxnKey, user::ToDeviceMessage};

/// The most messages in one request.
const MAX_MESSAGES: usize = 10_000;
/// The most that they take up together, in bytes of JSON: one for every device of somebody is as many as those.
const MAX_BYTES: usize = 32 << 20;

pub(super) fn routes() -> Routes {
    Routes::new().v3("/sendToDevice/{kind}/{txn_id}", put(send_to_device))
}

#[derive(Debug, Deserialize)]
struct Messages {
    messages: BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>,
}

async fn send_to_device(
    State(app): State<AppState>,
    requester: Requester,
    Segments((kind, txn_id)): Segments<(String, String)>,
    Json(body): Json<Messages>,
) -> ApiResult<Empty> {
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for (user_id, devices) in body.messages {
        if !app.is_local(&user_id) {
            continue;
        }
        for (device, content) in devices {
            if !content.get().starts_with('{') {
                return Err(ApiError::bad_json("the content of a message is an object"));
            }
            let event = json!({"type": kind, "sender": requester.user_id, "content": content});
            let event = to_raw_value(&event).expect("a value is JSON");
            for device_id in receivers(&app, &user_id, device)? {
                bytes += event.get().len();
                messages.push(ToDeviceMessage { user_id: user_id.clone(), device_id, event: event.clone() });
                if messages.len() > MAX_MESSAGES || bytes > MAX_BYTES {
                    return Err(ApiError::too_large("there are too many messages in one request"));
                }
            }
        }
    }
    let txn = TxnKey {
        user_id: requester.user_id.clone(),
        device_id: requester.device_id.clone(),
        endpoint: format!("PUT /sendToDevice/{kind}"),
        txn_id,
    };
    let wakers = app.rooms.wakers().clone();
    let wake = move |user_id: &ruma::UserId| wakers.wake(user_id);
    app.users.to_device.send(app.rooms.transactions(), &txn, messages, wake).await?;
    Ok(Empty)
}

/// The devices that a name of the request stands for, as far as they exist.
fn receivers(app: &AppState, user_id: &OwnedUserId, device: String) -> ApiResult<Vec<OwnedDeviceId>> {
    if device == "*" {
        return Ok(app.users.devices(user_id)?.into_iter().map(|(device_id, _)| device_id).collect());
    }
    let device_id = OwnedDeviceId::from(device);
    Ok(if app.users.device_exists(user_id, &device_id)? { vec![device_id] } else { Vec::new() })
}
