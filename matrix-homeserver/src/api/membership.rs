//! [Room membership](https://spec.matrix.org/v1.19/client-server-api/#room-membership).

use axum::{
    extract::State,
    routing::{MethodRouter, get, post},
};
use ruma::{
    OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId, RoomOrAliasId, UserId,
    events::room::member::MembershipState,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState, Empty, Json, OptionalJson, Params, Reply, Requester, Routes, Segments,
    create_room::invitee,
    send::Massaged,
    third_party_invites::{self, Invite3pid},
};
use crate::{
    homeserver::Limit,
    room::{JsonObject, MembershipAction, MembershipChange},
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .since_2014("/joined_rooms", get(get_joined_rooms))
        .action("/join/{room}", post(join_room))
        .v3("/knock/{room}", post(knock_room))
        .action("/rooms/{room_id}/join", post(join_room_by_id))
        .action("/rooms/{room_id}/invite", post(invite_user))
        .action("/rooms/{room_id}/leave", post(leave_room))
        .action("/rooms/{room_id}/forget", post(forget_room))
        .action("/rooms/{room_id}/kick", of_another(MembershipAction::Kick))
        .action("/rooms/{room_id}/ban", of_another(MembershipAction::Ban))
        .action("/rooms/{room_id}/unban", of_another(MembershipAction::Unban))
}

/// The operations `kick`, `ban` and `unban`, which differ in what they do only.
fn of_another(action: MembershipAction) -> MethodRouter<AppState> {
    post(
        move |State(app): State<AppState>,
              requester: Requester,
              Segments(room_id): Segments<OwnedRoomId>,
              Params(massaged): Params<Massaged>,
              Json(target): Json<Target>| async move {
            let user_id = target.user_id()?;
            let content = Reason { reason: target.reason }.add_to(JsonObject::new());
            change(&app, &requester, &user_id, &room_id, action, content, massaged).await?;
            ApiResult::Ok(Empty)
        },
    )
}

async fn get_joined_rooms(State(app): State<AppState>, requester: Requester) -> ApiResult<Reply<Value>> {
    let rooms = app.rooms.of_user(&requester.user_id)?;
    let joined: Vec<&OwnedRoomId> = rooms
        .iter()
        .filter(|(_, room)| room.membership == MembershipState::Join)
        .map(|(room_id, _)| room_id)
        .collect();
    Ok(Reply(json!({"joined_rooms": joined})))
}

/// What a user may say about a change of their own membership.
#[derive(Debug, Default, Deserialize)]
struct Reason {
    reason: Option<String>,
}

impl Reason {
    fn add_to(self, mut content: JsonObject) -> JsonObject {
        if let Some(reason) = self.reason {
            content.insert("reason".to_owned(), reason.into());
        }
        content
    }
}

async fn join_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room): Segments<String>,
    Params(massaged): Params<Massaged>,
    OptionalJson(reason): OptionalJson<Reason>,
) -> ApiResult<Reply<Value>> {
    let room_id = find_room(&app, &room).await?;
    join(&app, &requester, room_id, massaged, reason).await
}

async fn join_room_by_id(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(massaged): Params<Massaged>,
    OptionalJson(reason): OptionalJson<Reason>,
) -> ApiResult<Reply<Value>> {
    join(&app, &requester, room_id, massaged, reason).await
}

async fn join(
    app: &AppState,
    requester: &Requester,
    room_id: OwnedRoomId,
    massaged: Massaged,
    reason: Reason,
) -> ApiResult<Reply<Value>> {
    app.throttle_user(Limit::Join, requester)?;
    app.may_join_as_guest(requester, &room_id)?;
    let content = reason.add_to(app.member_content(&requester.user_id)?);
    change(app, requester, &requester.user_id, &room_id, MembershipAction::Join, content, massaged).await?;
    app.take_along(&requester.user_id, &room_id).await?;
    Ok(Reply(json!({"room_id": room_id})))
}

async fn knock_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room): Segments<String>,
    Params(massaged): Params<Massaged>,
    OptionalJson(reason): OptionalJson<Reason>,
) -> ApiResult<Reply<Value>> {
    app.throttle_user(Limit::Join, &requester)?;
    let room_id = find_room(&app, &room).await?;
    let content = reason.add_to(app.member_content(&requester.user_id)?);
    change(&app, &requester, &requester.user_id, &room_id, MembershipAction::Knock, content, massaged)
        .await?;
    Ok(Reply(json!({"room_id": room_id})))
}

/// The room that an ID or an alias names. Application services are asked for aliases that do not exist yet.
pub(super) async fn find_room(app: &AppState, room: &str) -> ApiResult<OwnedRoomId> {
    let room = <&RoomOrAliasId>::try_from(room)
        .map_err(|_| ApiError::invalid_param("neither a room ID nor a room alias"))?;
    match OwnedRoomId::try_from(room.as_str()) {
        Ok(room_id) => Ok(room_id),
        Err(_) => {
            let alias = OwnedRoomAliasId::try_from(room.as_str())
                .map_err(|_| ApiError::invalid_param("neither a room ID nor a room alias"))?;
            app.resolve_alias(&alias).await
        }
    }
}

async fn leave_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(massaged): Params<Massaged>,
    OptionalJson(reason): OptionalJson<Reason>,
) -> ApiResult<Empty> {
    let content = reason.add_to(JsonObject::new());
    change(&app, &requester, &requester.user_id, &room_id, MembershipAction::Leave, content, massaged)
        .await?;
    Ok(Empty)
}

async fn forget_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    _: OptionalJson<Reason>,
) -> ApiResult<Empty> {
    app.rooms.forget(&room_id, &requester.user_id).await?;
    Ok(Empty)
}

/// A change of somebody else's membership.
#[derive(Debug, Deserialize)]
struct Target {
    user_id: Option<OwnedUserId>,
    reason: Option<String>,
}

impl Target {
    fn user_id(&self) -> ApiResult<OwnedUserId> {
        self.user_id.clone().ok_or_else(|| ApiError::missing_param("user_id is missing"))
    }
}

/// Whom to invite: a user, or whoever has an address.
#[derive(Debug, Deserialize)]
struct Invitation {
    #[serde(flatten)]
    target: Target,
    #[serde(flatten)]
    by_address: Invite3pid,
}

async fn invite_user(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(massaged): Params<Massaged>,
    OptionalJson(invitation): OptionalJson<Invitation>,
) -> ApiResult<Empty> {
    app.throttle_user(Limit::Invite, &requester)?;
    let Invitation { target, by_address } = invitation;
    if target.user_id.is_none() && by_address.is_meant() {
        third_party_invites::invite(&app, &requester, &room_id, by_address.check()?).await?;
        return Ok(Empty);
    }
    let user_id = target.user_id()?;
    let profile = invitee(&app, &user_id).await?;
    let content = Reason { reason: target.reason }.add_to(profile);
    change(&app, &requester, &user_id, &room_id, MembershipAction::Invite, content, massaged).await?;
    Ok(Empty)
}

async fn change(
    app: &AppState,
    requester: &Requester,
    target: &UserId,
    room_id: &RoomId,
    action: MembershipAction,
    content: JsonObject,
    massaged: Massaged,
) -> ApiResult<()> {
    let change = MembershipChange {
        room_id: room_id.to_owned(),
        sender: requester.user_id.clone(),
        target: target.to_owned(),
        action,
        content,
        origin_server_ts: massaged.timestamp(requester),
        txn: requester.txn.clone(),
    };
    app.rooms.membership(change).await?;
    Ok(())
}
