//! [Room aliases](https://spec.matrix.org/v1.19/client-server-api/#room-aliases).

use axum::{extract::State, routing::get};
use http::StatusCode;
use ruma::{OwnedRoomAliasId, OwnedRoomId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, ApiResult, AppState, Empty, Json, Reply, Requester, Routes, Segments};

pub(super) fn routes() -> Routes {
    Routes::new()
        .since_2014(
            "/directory/room/{alias}",
            get(get_room_id_by_alias).put(set_room_alias).delete(delete_room_alias),
        )
        .v3("/rooms/{room_id}/aliases", get(get_local_aliases))
}

async fn get_room_id_by_alias(
    State(app): State<AppState>,
    Segments(alias): Segments<OwnedRoomAliasId>,
) -> ApiResult<Reply<Value>> {
    let room_id = app.resolve_alias(&alias).await?;
    Ok(Reply(json!({"room_id": room_id, "servers": [app.config.server_name]})))
}

#[derive(Debug, Deserialize)]
struct Target {
    room_id: Option<OwnedRoomId>,
}

async fn set_room_alias(
    State(app): State<AppState>,
    requester: Requester,
    Segments(alias): Segments<OwnedRoomAliasId>,
    Json(body): Json<Target>,
) -> ApiResult<Empty> {
    let Some(room_id) = body.room_id else { return Err(ApiError::missing_param("room_id is missing")) };
    if alias.server_name() != app.config.server_name {
        return Err(ApiError::invalid_param("the alias belongs to another server"));
    }
    app.may_claim_alias(&requester, &alias)?;
    let Some(room) = app.rooms.get(&room_id)? else {
        return Err(ApiError::not_found("there is no such room"));
    };
    if requester.appservice.is_none() && !room.view().is_joined(&requester.user_id) {
        return Err(ApiError::forbidden("you are not in this room"));
    }
    let Some(reservation) = app.directory.reserve(&alias) else {
        return Err(ApiError::new(StatusCode::CONFLICT, "M_UNKNOWN", "the room alias exists already"));
    };
    app.directory.point(reservation, &room_id, &requester.user_id).await?;
    app.appservices.room_was_renamed(&room_id);
    Ok(Empty)
}

async fn delete_room_alias(
    State(app): State<AppState>,
    requester: Requester,
    Segments(alias): Segments<OwnedRoomAliasId>,
) -> ApiResult<Empty> {
    let Some(target) = app.directory.resolve(&alias) else {
        return Err(ApiError::not_found("there is no such room alias"));
    };
    app.may_claim_alias(&requester, &alias)?;
    let owns = requester.appservice.as_ref().is_some_and(|appservice| appservice.may_own_alias(&alias));
    if !owns
        && target.creator != requester.user_id
        && !app.may_manage_aliases(&target.room_id, &requester.user_id)?
    {
        return Err(ApiError::forbidden("you may not delete this room alias"));
    }
    app.directory.remove(&alias).await?;
    app.appservices.room_was_renamed(&target.room_id);
    Ok(Empty)
}

async fn get_local_aliases(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
) -> ApiResult<Reply<Value>> {
    app.rooms.access(&room_id, &requester.user_id)?;
    Ok(Reply(json!({"aliases": app.directory.aliases_of(&room_id)})))
}
