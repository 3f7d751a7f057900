//! [Server administration and capabilities](https://spec.matrix.org/v1.19/client-server-api/#api-versions): what this
//! server can do.

use axum::{extract::State, routing::get};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha1::Sha1;

use super::{ApiError, ApiResult, AppState, Reply, Requester, Routes, auth::MaybeRequester};
use crate::{room::Rooms, user::now_ms};

/// Every version of the specification that clients may ask for.
const VERSIONS: [&str; 27] = [
    "r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1", "v1.1", "v1.2", "v1.3",
    "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12", "v1.13", "v1.14", "v1.15",
    "v1.16", "v1.17", "v1.18", "v1.19",
];

pub(super) fn routes() -> Routes {
    Routes::new()
        .absolute("/_matrix/client/versions", get(get_versions))
        .v3("/capabilities", get(get_capabilities))
        .since_2014("/voip/turnServer", get(get_turn_server))
        .absolute("/.well-known/matrix/client", get(get_wellknown))
        .absolute("/.well-known/matrix/server", get(get_wellknown_server))
        .absolute("/.well-known/matrix/support", get(get_wellknown_support))
}

async fn get_versions(_: MaybeRequester) -> Reply<Value> {
    Reply(json!({
        "versions": VERSIONS,
        "unstable_features": {
            "org.matrix.msc2285.stable": true,
            "org.matrix.simplified_msc3575": true,
            "org.matrix.msc3202": true,
            "org.matrix.msc2409": true,
            "fi.mau.msc2659.stable": true,
            "io.element.msc4190": true,
            "uk.tcpip.msc4133.stable": true,
        },
    }))
}

async fn get_capabilities(State(app): State<AppState>, requester: Requester) -> ApiResult<Reply<Value>> {
    let versions = Rooms::supported_versions();
    let available: Map<String, Value> =
        versions.into_iter().map(|version| (version.to_string(), "stable".into())).collect();
    let is_person = requester.appservice.is_none() && !requester.is_guest;
    let mut capabilities = json!({
        "m.change_password": {"enabled": is_person},
        "m.room_versions": {"default": app.config.default_room_version, "available": available},
        "m.set_displayname": {"enabled": true},
        "m.set_avatar_url": {"enabled": true},
        "m.3pid_changes": {"enabled": is_person},
        "m.get_login_token": {"enabled": is_person},
        "m.profile_fields": {"enabled": true},
        "m.forget_forced_upon_leave": {"enabled": false},
    });
    if requester.must_be_admin(&app).is_ok() {
        capabilities["m.account_moderation"] = json!({"suspend": true, "lock": true});
    }
    Ok(Reply(json!({ "capabilities": capabilities })))
}

/// What lets the user into the relay for calls, by the shared secret that the relay knows. Without a relay: nothing.
async fn get_turn_server(State(app): State<AppState>, requester: Requester) -> Reply<Value> {
    let Some(turn) = &app.config.turn_server else { return Reply(json!({})) };
    let seconds = turn.lifetime.as_secs();
    let username = format!("{}:{}", now_ms() / 1000 + seconds, requester.user_id);
    let mut mac = Hmac::<Sha1>::new_from_slice(turn.secret().expose().as_bytes())
        .expect("a key of any length suits this code");
    mac.update(username.as_bytes());
    let password = STANDARD.encode(mac.finalize().into_bytes());
    Reply(json!({"username": username, "password": password, "ttl": seconds, "uris": turn.uris}))
}

async fn get_wellknown(State(app): State<AppState>) -> Reply<Value> {
    Reply(json!({"m.homeserver": {"base_url": app.base_url()}}))
}

/// Where other servers would find this one: at its base URL, without the scheme.
async fn get_wellknown_server(State(app): State<AppState>) -> Reply<Value> {
    let address = app.base_url().trim_start_matches("http://").trim_start_matches("https://");
    Reply(json!({"m.server": address}))
}

async fn get_wellknown_support(State(app): State<AppState>) -> ApiResult<Reply<Value>> {
    let support = &app.config.support;
    let mut reply = Map::new();
    if !support.contacts.is_empty() {
        let contacts = support.contacts.iter().map(|contact| {
            let mut told = json!({"role": contact.role});
            for (name, value) in
                [("matrix_id", &contact.matrix_id), ("email_address", &contact.email_address)]
            {
                if let Some(value) = value {
                    told[name] = value.as_str().into();
                }
            }
            told
        });
        reply.insert("contacts".to_owned(), contacts.collect());
    }
    if let Some(page) = &support.page {
        reply.insert("support_page".to_owned(), page.as_str().into());
    }
    if reply.is_empty() {
        return Err(ApiError::not_found("nobody is named here"));
    }
    Ok(Reply(reply.into()))
}
