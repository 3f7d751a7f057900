//! [Client config](https://spec.matrix.org/v1.19/client-server-api/#client-config) and
//! [room tagging](https://spec.matrix.org/v1.19/client-server-api/#room-tagging).

use axum::{
    extract::State,
    routing::{get, put},
};
use http::StatusCode;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};

use super::{ApiError, ApiResult, AppState, Empty, Json, Reply, Requester, Routes, Segments};
use crate::user::{PUSH_RULES, Scope, rules_content};

const TAGS: &str = "m.tag";

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/user/{user_id}/account_data/{kind}", get(get_account_data).put(set_account_data))
        .v3(
            "/user/{user_id}/rooms/{room_id}/account_data/{kind}",
            get(get_account_data_per_room).put(set_account_data_per_room),
        )
        .v3("/user/{user_id}/rooms/{room_id}/tags", get(get_room_tags))
        .v3("/user/{user_id}/rooms/{room_id}/tags/{tag}", put(set_room_tag).delete(delete_room_tag))
}

async fn get_account_data(
    State(app): State<AppState>,
    requester: Requester,
    Segments((user_id, kind)): Segments<(OwnedUserId, String)>,
) -> ApiResult<Reply<Box<RawValue>>> {
    requester.must_be(&user_id)?;
    read(&app, &user_id, Scope::Global, &kind)
}

async fn get_account_data_per_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments((user_id, room_id, kind)): Segments<(OwnedUserId, OwnedRoomId, String)>,
) -> ApiResult<Reply<Box<RawValue>>> {
    requester.must_be(&user_id)?;
    read(&app, &user_id, Scope::Room(&room_id), &kind)
}

fn read(app: &AppState, user_id: &UserId, scope: Scope<'_>, kind: &str) -> ApiResult<Reply<Box<RawValue>>> {
    match app.users.account_data(user_id, scope, kind)? {
        Some(content) => Ok(Reply(content)),
        None if matches!(scope, Scope::Global) && kind == PUSH_RULES => {
            Ok(Reply(rules_content(&*app.users.push_rules(user_id)?)))
        }
        None => Err(ApiError::not_found("there is no such account data")),
    }
}

async fn set_account_data(
    State(app): State<AppState>,
    requester: Requester,
    Segments((user_id, kind)): Segments<(OwnedUserId, String)>,
    Json(content): Json<Box<RawValue>>,
) -> ApiResult<Empty> {
    requester.must_be(&user_id)?;
    write(&app, &user_id, Scope::Global, &kind, &content).await
}

async fn set_account_data_per_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments((user_id, room_id, kind)): Segments<(OwnedUserId, OwnedRoomId, String)>,
    Json(content): Json<Box<RawValue>>,
) -> ApiResult<Empty> {
    requester.must_be(&user_id)?;
    write(&app, &user_id, Scope::Room(&room_id), &kind, &content).await
}

async fn write(
    app: &AppState,
    user_id: &UserId,
    scope: Scope<'_>,
    kind: &str,
    content: &RawValue,
) -> ApiResult<Empty> {
    if matches!(kind, "m.fully_read" | "m.push_rules") {
        return Err(ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "M_BAD_JSON",
            "this account data is set by an endpoint of its own",
        ));
    }
    if !content.get().starts_with('{') {
        return Err(ApiError::bad_json("account data is an object"));
    }
    app.set_account_data(user_id, scope, kind, content).await?;
    Ok(Empty)
}

fn tags(app: &AppState, user_id: &UserId, room_id: &RoomId) -> ApiResult<Map<String, Value>> {
    let content = app.users.account_data(user_id, Scope::Room(room_id), TAGS)?;
    let content = content.and_then(|content| serde_json::from_str::<Value>(content.get()).ok());
    Ok(match content.map(|mut content| content["tags"].take()) {
        Some(Value::Object(tags)) => tags,
        _ => Map::new(),
    })
}

async fn get_room_tags(
    State(app): State<AppState>,
    requester: Requester,
    Segments((user_id, room_id)): Segments<(OwnedUserId, OwnedRoomId)>,
) -> ApiResult<Reply<Value>> {
    requester.must_be(&user_id)?;
    Ok(Reply(json!({"tags": tags(&app, &user_id, &room_id)?})))
}

async fn set_room_tag(
    State(app): State<AppState>,
    requester: Requester,
    Segments((user_id, room_id, tag)): Segments<(OwnedUserId, OwnedRoomId, String)>,
    Json(about): Json<Map<String, Value>>,
) -> ApiResult<Empty> {
    requester.must_be(&user_id)?;
    let _one = app.users.tagging.lock().await;
    let mut tags = tags(&app, &user_id, &room_id)?;
    tags.insert(tag, about.into());
    put_tags(&app, &user_id, &room_id, tags).await
}

async fn delete_room_tag(
    State(app): State<AppState>,
    requester: Requester,
    Segments((user_id, room_id, tag)): Segments<(OwnedUserId, OwnedRoomId, String)>,
) -> ApiResult<Empty> {
    requester.must_be(&user_id)?;
    let _one = app.users.tagging.lock().await;
    let mut tags = tags(&app, &user_id, &room_id)?;
    tags.remove(&tag);
    put_tags(&app, &user_id, &room_id, tags).await
}

async fn put_tags(
    app: &AppState,
    user_id: &UserId,
    room_id: &RoomId,
    tags: Map<String, Value>,
) -> ApiResult<Empty> {
    let content = to_raw_value(&json!({"tags": tags})).expect("a value is JSON");
    app.set_account_data(user_id, Scope::Room(room_id), TAGS, &content).await?;
    Ok(Empty)
}
