//! What [guests], [suspended] and [locked] accounts may ask for.
//!
//! [guests]: https://spec.matrix.org/v1.19/client-server-api/#guest-access
//! [suspended]: https://spec.matrix.org/v1.19/client-server-api/#account-suspension
//! [locked]: https://spec.matrix.org/v1.19/client-server-api/#account-locking

use axum::extract::MatchedPath;
use http::{Method, StatusCode, request::Parts};

use super::{ApiError, ApiResult, AppState, Requester};

/// An endpoint: a method, and a path without its prefix in which `*` stands for one segment.
type Endpoint = (Method, &'static str);

/// What guests may ask for. Besides these there is what needs no token at all.
const FOR_GUESTS: [Endpoint; 30] = [
    (Method::GET, "rooms/*/state"),
    (Method::GET, "rooms/*/state/*"),
    (Method::GET, "rooms/*/state/*/*"),
    (Method::GET, "rooms/*/context/*"),
    (Method::GET, "rooms/*/event/*"),
    (Method::GET, "rooms/*/messages"),
    (Method::GET, "rooms/*/members"),
    (Method::GET, "rooms/*/initialSync"),
    (Method::GET, "room_summary/*"),
    (Method::GET, "sync"),
    (Method::POST, "unstable/org.matrix.simplified_msc3575/sync"),
    (Method::GET, "events"),
    (Method::POST, "rooms/*/join"),
    (Method::POST, "join/*"),
    (Method::POST, "rooms/*/leave"),
    (Method::PUT, "rooms/*/send/*/*"),
    (Method::PUT, "rooms/*/state/*"),
    (Method::PUT, "rooms/*/state/*/*"),
    (Method::PUT, "sendToDevice/*/*"),
    (Method::PUT, "profile/*/*"),
    (Method::GET, "devices"),
    (Method::GET, "devices/*"),
    (Method::PUT, "devices/*"),
    (Method::GET, "account/whoami"),
    (Method::GET, "capabilities"),
    (Method::POST, "keys/upload"),
    (Method::POST, "keys/query"),
    (Method::POST, "keys/claim"),
    (Method::GET, "keys/changes"),
    (Method::POST, "logout"),
];

/// What suspended accounts may not ask for: whatever others would see.
const NOT_FOR_SUSPENDED: [Endpoint; 25] = [
    (Method::POST, "createRoom"),
    (Method::POST, "join/*"),
    (Method::POST, "rooms/*/join"),
    (Method::POST, "knock/*"),
    (Method::POST, "rooms/*/invite"),
    (Method::POST, "rooms/*/kick"),
    (Method::POST, "rooms/*/ban"),
    (Method::POST, "rooms/*/unban"),
    (Method::POST, "rooms/*/upgrade"),
    (Method::PUT, "rooms/*/send/*/*"),
    (Method::POST, "rooms/*/send/*"),
    (Method::PUT, "rooms/*/state/*"),
    (Method::PUT, "rooms/*/state/*/*"),
    (Method::DELETE, "rooms/*/state/*"),
    (Method::DELETE, "rooms/*/state/*/*"),
    (Method::PUT, "rooms/*/typing/*"),
    (Method::PUT, "rooms/*/typing"),
    (Method::PUT, "profile/*/*"),
    (Method::DELETE, "profile/*/*"),
    (Method::PUT, "presence/*/status"),
    (Method::PUT, "presence"),
    (Method::POST, "presence/list/*"),
    (Method::PUT, "directory/room/*"),
    (Method::PUT, "directory/list/room/*"),
    (Method::PUT, "sendToDevice/*/*"),
];

/// What is left to locked accounts.
const FOR_LOCKED: [Endpoint; 2] = [(Method::POST, "logout"), (Method::POST, "logout/all")];

/// Refuses what the kind or the state of an account forbids.
pub(super) fn check(app: &AppState, requester: &Requester, parts: &Parts) -> ApiResult<()> {
    let route = parts.extensions.get::<MatchedPath>().map_or("", |path| without_prefix(path.as_str()));
    let is_one_of = |endpoints: &[Endpoint], route| {
        endpoints.iter().any(|(method, pattern)| *method == parts.method && fits(route, pattern))
    };
    if requester.is_guest && !is_one_of(&FOR_GUESTS, route) {
        return Err(ApiError::guest_access_forbidden("guests may not do this"));
    }
    let restriction = app.users.restrictions.of(&requester.user_id);
    if restriction.locked && !is_one_of(&FOR_LOCKED, route) {
        let locked = ApiError::new(StatusCode::UNAUTHORIZED, "M_USER_LOCKED", "this account is locked");
        return Err(locked.with("soft_logout", true));
    }
    // The draft of version 2 has paths of its own; guests and locked accounts have no business there at all.
    let route = route.strip_prefix("v2_alpha/").unwrap_or(route);
    if restriction.suspended && is_one_of(&NOT_FOR_SUSPENDED, route) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "M_USER_SUSPENDED",
            "this account is suspended and may only read",
        ));
    }
    Ok(())
}

/// A route without what names the version of the interface.
fn without_prefix(path: &str) -> &str {
    let path = path.strip_prefix("/_matrix/client").unwrap_or(path);
    let prefixes = ["/v3/", "/r0/", "/v1/", "/api/v1/", "/"];
    prefixes.iter().find_map(|prefix| path.strip_prefix(prefix)).unwrap_or(path)
}

fn fits(route: &str, pattern: &str) -> bool {
    let (mut route, mut pattern) = (route.trim_end_matches('/').split('/'), pattern.split('/'));
    loop {
        match (route.next(), pattern.next()) {
            (None, None) => return true,
            (Some(segment), Some("*")) if segment.starts_with('{') => {}
            (Some(segment), Some(wanted)) if segment == wanted => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_compared_without_prefix_and_names() {
        for (route, pattern, same) in [
            ("/_matrix/client/v3/rooms/{room_id}/join", "rooms/*/join", true),
            ("/_matrix/client/r0/rooms/{id}/join", "rooms/*/join", true),
            ("/_matrix/client/api/v1/rooms/{id}/join", "rooms/*/join", true),
            ("/rooms/{id}/join", "rooms/*/join", true),
            ("/_matrix/client/v3/rooms/{room_id}/state/{kind}/", "rooms/*/state/*", true),
            ("/_matrix/client/v3/rooms/{room_id}/joins", "rooms/*/join", false),
            ("/_matrix/client/v3/rooms/{room_id}", "rooms/*/join", false),
            ("/_matrix/client/v3/rooms/{room_id}/join/now", "rooms/*/join", false),
            ("/_matrix/client/v3/account/whoami", "account/*", false),
        ] {
            assert_eq!(fits(without_prefix(route), pattern), same, "{route} {pattern}");
        }
    }
}
