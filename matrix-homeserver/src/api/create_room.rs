//! [Room creation](https://spec.matrix.org/v1.19/client-server-api/#creation).

use axum::{extract::State, routing::post};
use ruma::{
    OwnedRoomAliasId, OwnedUserId, RoomAliasId, RoomVersionId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    ApiError, ApiResult, AppState, Dialect, Json, Reply, Requester, Routes,
    third_party_invites::{self, Invite3pid},
};
use crate::{
    homeserver::Limit,
    room::{CreateRoom, InitialState, JsonObject, Preset},
};

pub(super) fn routes() -> Routes {
    Routes::new().action("/createRoom", post(create_room))
}

#[derive(Debug, Deserialize)]
struct Body {
    visibility: Option<Visibility>,
    room_alias_name: Option<String>,
    name: Option<String>,
    topic: Option<String>,
    #[serde(default)]
    invite: Vec<OwnedUserId>,
    #[serde(default)]
    invite_3pid: Vec<Invite3pid>,
    room_version: Option<String>,
    #[serde(default)]
    creation_content: JsonObject,
    #[serde(default)]
    initial_state: Vec<StateEvent>,
    preset: Option<PresetName>,
    #[serde(default)]
    is_direct: bool,
    #[serde(default)]
    power_level_content_override: JsonObject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Visibility {
    Public,
    Private,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names of the specification")]
enum PresetName {
    PrivateChat,
    TrustedPrivateChat,
    PublicChat,
}

#[derive(Debug, Deserialize)]
struct StateEvent {
    #[serde(rename = "type")]
    event_type: TimelineEventType,
    #[serde(default)]
    state_key: String,
    content: Box<RawValue>,
}

impl StateEvent {
    /// Whom it invites.
    fn invited(&self) -> Option<&UserId> {
        #[derive(Deserialize)]
        struct Content {
            membership: MembershipState,
        }
        let Content { membership } = serde_json::from_str(self.content.get()).ok()?;
        let invites =
            self.event_type == TimelineEventType::RoomMember && membership == MembershipState::Invite;
        <&UserId>::try_from(self.state_key.as_str()).ok().filter(|_| invites)
    }
}

async fn create_room(
    State(app): State<AppState>,
    requester: Requester,
    Json(mut body): Json<Body>,
) -> ApiResult<Reply<Value>> {
    app.throttle_user(Limit::Join, &requester)?;
    let _turn = match &requester.txn {
        None => None,
        Some(txn) => {
            let turn = app.legacy.turn().await;
            if let Some(room_id) = app.rooms.created_before(txn).await? {
                return Ok(Reply(json!({"room_id": room_id})));
            }
            Some(turn)
        }
    };
    // The specification of 2014 makes rooms public unless told otherwise, today's makes them private.
    let unless_told = match requester.dialect {
        Dialect::Of2014 => Visibility::Public,
        Dialect::Today => Visibility::Private,
    };
    let visibility = body.visibility.unwrap_or(unless_told);
    let alias = match &body.room_alias_name {
        Some(name) => Some(new_alias(&app, &requester, name)?),
        None => None,
    };
    let reservation = match &alias {
        Some(alias) => Some(
            app.directory.reserve(alias).ok_or_else(|| ApiError::room_in_use("the room alias is taken"))?,
        ),
        None => None,
    };
    let invite = invitees(&app, &requester, &body.invite).await?;
    for invited in body.initial_state.iter().filter_map(StateEvent::invited) {
        app.throttle_user(Limit::Invite, &requester)?;
        invitee(&app, invited).await?;
    }
    // What is missing is told before there is a room.
    let by_address = std::mem::take(&mut body.invite_3pid).into_iter().map(Invite3pid::check);
    let by_address: Vec<_> = by_address.collect::<ApiResult<_>>()?;
    for _ in &by_address {
        app.throttle_user(Limit::Invite, &requester)?;
    }
    let room_id = app.rooms.create(request(&app, &requester, body, visibility, alias, invite)?).await?;
    if let Some(reservation) = reservation {
        app.directory.point(reservation, &room_id, &requester.user_id).await?;
        app.appservices.room_was_renamed(&room_id);
    }
    if visibility == Visibility::Public {
        app.directory.list(&room_id, true).await?;
    }
    // The transaction is that of the room alone.
    let inviter = Requester { txn: None, ..requester };
    for invitation in by_address {
        third_party_invites::invite(&app, &inviter, &room_id, invitation).await?;
    }
    Ok(Reply(json!({"room_id": room_id})))
}

fn request(
    app: &AppState,
    requester: &Requester,
    body: Body,
    visibility: Visibility,
    alias: Option<OwnedRoomAliasId>,
    invite: Vec<(OwnedUserId, JsonObject)>,
) -> ApiResult<CreateRoom> {
    let version = match body.room_version {
        Some(version) => Some(RoomVersionId::try_from(version).map_err(|_| {
            ApiError::unsupported_room_version("this server does not make rooms of this version")
        })?),
        None => None,
    };
    let preset = match (body.preset, visibility) {
        (Some(PresetName::PublicChat), _) | (None, Visibility::Public) => Preset::PublicChat,
        (Some(PresetName::TrustedPrivateChat), _) => Preset::TrustedPrivateChat,
        (Some(PresetName::PrivateChat), _) | (None, Visibility::Private) => Preset::PrivateChat,
    };
    let initial_state = body.initial_state.into_iter().map(|state| InitialState {
        event_type: state.event_type,
        state_key: state.state_key,
        content: state.content,
    });
    Ok(CreateRoom {
        creator: requester.user_id.clone(),
        creator_profile: app.member_content(&requester.user_id)?,
        version,
        preset,
        creation_content: body.creation_content,
        power_level_content_override: body.power_level_content_override,
        initial_state: initial_state.collect(),
        name: body.name,
        topic: body.topic,
        alias,
        invite,
        is_direct: body.is_direct,
        room_id: None,
        origin_server_ts: None,
        txn: requester.txn.clone(),
    })
}

/// The alias that a localpart makes, if the requester may have it.
fn new_alias(app: &AppState, requester: &Requester, name: &str) -> ApiResult<OwnedRoomAliasId> {
    let spaced = name.chars().any(char::is_whitespace) && !app.config.drafts;
    if name.is_empty() || name.contains([':', '\0']) || spaced {
        return Err(ApiError::invalid_param("the room alias has characters that no alias has"));
    }
    let alias = RoomAliasId::parse(format!("#{name}:{}", app.config.server_name))
        .map_err(|_| ApiError::invalid_param("the room alias is not valid"))?;
    app.may_claim_alias(requester, &alias)?;
    Ok(alias)
}

/// Those to invite, with their profiles. Application services are asked for those who do not exist yet.
async fn invitees(
    app: &AppState,
    requester: &Requester,
    users: &[OwnedUserId],
) -> ApiResult<Vec<(OwnedUserId, JsonObject)>> {
    let mut invitees = Vec::with_capacity(users.len());
    for user_id in users {
        app.throttle_user(Limit::Invite, requester)?;
        invitees.push((user_id.clone(), invitee(app, user_id).await?));
    }
    Ok(invitees)
}

/// The profile of somebody who is about to be invited, after application services had the chance to make them.
/// Whoever wants no invitations gets none
/// ([invite permission](https://spec.matrix.org/v1.19/client-server-api/#invite-permission)).
pub(super) async fn invitee(app: &AppState, user_id: &UserId) -> ApiResult<JsonObject> {
    if app.is_local(user_id) {
        app.user_exists_or_is_made(user_id).await?;
    }
    if app.users.blocks_invites(user_id)? {
        return Err(ApiError::invite_blocked("the user wants no invitations"));
    }
    app.member_content(user_id)
}
