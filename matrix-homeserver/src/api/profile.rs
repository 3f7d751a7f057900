//! [Profiles](https://spec.matrix.org/v1.19/client-server-api/#profiles).

use axum::{extract::State, routing::get};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ApiError, ApiResult, AppState, Dialect, Empty, Json, Params, Reply, Requester, Routes, Segments,
};
use crate::user::MAX_FIELD_NAME;

pub(super) fn routes() -> Routes {
    Routes::new().since_2014("/profile/{user_id}", get(get_user_profile)).since_2014(
        "/profile/{user_id}/{field}",
        get(get_profile_field).put(set_profile_field).delete(delete_profile_field),
    )
}

async fn get_user_profile(
    State(app): State<AppState>,
    Segments(user_id): Segments<OwnedUserId>,
) -> ApiResult<Reply<Map<String, Value>>> {
    known(&app, &user_id)?;
    Ok(Reply(app.users.profile(&user_id)?))
}

fn known(app: &AppState, user_id: &UserId) -> ApiResult<()> {
    if app.is_local(user_id) && app.users.exists(user_id)? {
        Ok(())
    } else {
        Err(ApiError::not_found("there is no such user"))
    }
}

async fn get_profile_field(
    State(app): State<AppState>,
    Segments((user_id, field)): Segments<(OwnedUserId, String)>,
) -> ApiResult<Reply<Value>> {
    known(&app, &user_id)?;
    match app.users.profile(&user_id)?.remove(&field) {
        Some(value) => Ok(Reply(json!({field: value}))),
        None if matches!(field.as_str(), "displayname" | "avatar_url") => Ok(Reply(json!({}))),
        None => Err(ApiError::not_found("the profile has no such field")),
    }
}

/// Where a change is to be shown besides the profile.
#[derive(Debug, Deserialize)]
struct Propagation {
    #[serde(alias = "computer.gingershaped.msc4466.propagate_to")]
    propagate_to: Option<String>,
}

impl Propagation {
    fn to_rooms(&self) -> bool {
        self.propagate_to.as_deref() != Some("none")
    }
}

async fn set_profile_field(
    State(app): State<AppState>,
    requester: Requester,
    Segments((user_id, field)): Segments<(OwnedUserId, String)>,
    Params(propagation): Params<Propagation>,
    Json(mut body): Json<Map<String, Value>>,
) -> ApiResult<Empty> {
    let Some(value) = body.remove(&field) else {
        return Err(ApiError::missing_param("the body lacks the field that the path names"));
    };
    let value = match field.as_str() {
        "displayname" | "avatar_url" => match value {
            Value::Null => None,
            Value::String(text) if text.is_empty() => None,
            Value::String(text) if text.len() <= longest(&field) => Some(Value::String(text)),
            Value::String(_) => return Err(ApiError::invalid_param("the value is too long")),
            _ => return Err(ApiError::bad_json("the value is not a string")),
        },
        _ => Some(value),
    };
    change(&app, &requester, &user_id, &field, value, propagation.to_rooms()).await
}

/// The most bytes of a field that room events repeat.
fn longest(field: &str) -> usize {
    if field == "displayname" { 256 } else { 1000 }
}

async fn delete_profile_field(
    State(app): State<AppState>,
    requester: Requester,
    Segments((user_id, field)): Segments<(OwnedUserId, String)>,
    Params(propagation): Params<Propagation>,
) -> ApiResult<Empty> {
    change(&app, &requester, &user_id, &field, None, propagation.to_rooms()).await
}

async fn change(
    app: &AppState,
    requester: &Requester,
    user_id: &UserId,
    field: &str,
    value: Option<Value>,
    to_rooms: bool,
) -> ApiResult<Empty> {
    requester.must_be(user_id)?;
    // The drafts let a field have any name. One that is too long has an error of its own.
    let any_name = requester.dialect == Dialect::Of2014 || app.config.drafts;
    if !any_name && !is_field(field) && field.len() <= MAX_FIELD_NAME {
        return Err(ApiError::invalid_param("profiles have no field of this name"));
    }
    app.set_profile_field(user_id, field, value, to_rooms).await?;
    Ok(Empty)
}

/// Whether a name is that of a field that the specification knows, or
/// [a namespaced one](https://spec.matrix.org/v1.19/appendices/#common-namespaced-identifier-grammar).
fn is_field(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_lowercase())
            && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    };
    matches!(name, "displayname" | "avatar_url") || (name.contains('.') && name.split('.').all(part))
}

#[cfg(test)]
mod tests {
    use super::is_field;

    #[test]
    fn fields_have_known_or_namespaced_names() {
        for name in ["displayname", "avatar_url", "m.tz", "org.example.my_field9", "us.cloke.msc4175.tz"] {
            assert!(is_field(name), "{name}");
        }
        for name in ["", "age", "Org.example", "m.", ".m", "m..tz", "m.9", "m.tz "] {
            assert!(!is_field(name), "{name}");
        }
    }
}
