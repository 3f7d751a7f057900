//! [Server administration and capabilities](https://spec.matrix.org/v1.19/client-server-api/#api-versions): what this
//! server can do.

use axum::{extract::State, routing::get};
use serde_json::{Map, Value, json};

use super::{AppState, Reply, Requester, Routes, auth::MaybeRequester};
use crate::room::Rooms;

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
}

async fn get_versions(_: MaybeRequester) -> Reply<Value> {
    Reply(json!({
        "versions": VERSIONS,
        "unstable_features": {
            "org.matrix.msc2285.stable": true,
            "org.matrix.msc3202": true,
            "org.matrix.msc2409": true,
            "fi.mau.msc2659.stable": true,
            "io.element.msc4190": true,
            "uk.tcpip.msc4133.stable": true,
        },
    }))
}

async fn get_capabilities(State(app): State<AppState>, _: Requester) -> Reply<Value> {
    let versions = Rooms::supported_versions();
    let available: Map<String, Value> =
        versions.into_iter().map(|version| (version.to_string(), "stable".into())).collect();
    Reply(json!({
        "capabilities": {
            "m.change_password": {"enabled": true},
            "m.room_versions": {"default": app.config.default_room_version, "available": available},
            "m.set_displayname": {"enabled": true},
            "m.set_avatar_url": {"enabled": true},
            "m.3pid_changes": {"enabled": false},
            "m.get_login_token": {"enabled": false},
            "m.profile_fields": {"enabled": true},
        },
    }))
}

/// No relay is configured, which is said by an empty object.
async fn get_turn_server(_: Requester) -> Reply<Value> {
    Reply(json!({}))
}

async fn get_wellknown(State(app): State<AppState>) -> Reply<Value> {
    Reply(json!({"m.homeserver": {"base_url": app.base_url()}}))
}
