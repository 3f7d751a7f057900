//! [Third-party invites](https://spec.matrix.org/v1.19/client-server-api/#third-party-invites): inviting an address, for whoever
//! shows to have it.

use axum::{extract::State, routing::put};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    state_res::events::RoomPowerLevelsIntField,
};
use serde::Deserialize;
use serde_json::{
    Map, Value, json,
    value::{RawValue, to_raw_value},
};

use super::{
    ApiError, ApiResult, AppState, Empty, Json, Requester, Routes, Segments, create_room::invitee,
    signed::SignedJson,
};
use crate::{
    identity_server::{Address, IdentityError},
    room::{Append, MembershipAction, MembershipChange},
};

/// The most invitations that are taken over at once.
const MAX_INVITES: usize = 100;

pub(super) fn routes() -> Routes {
    Routes::new()
        .absolute(
            "/_matrix/federation/v1/exchange_third_party_invite/{room_id}",
            put(exchange_third_party_invite),
        )
        .absolute("/_matrix/federation/v1/3pid/onbind", put(on_bind_third_party_identifier))
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        let text = error.to_string();
        match error {
            IdentityError::NotTrusted => {
                Self::new(http::StatusCode::BAD_REQUEST, "M_SERVER_NOT_TRUSTED", text)
            }
            IdentityError::Refused { .. } => Self::unknown(text),
            IdentityError::Failed(_) | IdentityError::Malformed => {
                Self::new(http::StatusCode::BAD_GATEWAY, "M_UNKNOWN", text)
            }
        }
    }
}

/// Whom to invite, by an address.
#[derive(Clone, Default, Deserialize)]
pub(super) struct Invite3pid {
    id_server: Option<String>,
    id_access_token: Option<String>,
    medium: Option<String>,
    address: Option<String>,
}

impl std::fmt::Debug for Invite3pid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Invite3pid").field("id_server", &self.id_server).finish_non_exhaustive()
    }
}

/// The same, with everything there.
pub(super) struct Invitation {
    id_server: String,
    id_access_token: String,
    medium: String,
    address: String,
}

impl Invite3pid {
    /// Whether an address is meant at all.
    pub(super) fn is_meant(&self) -> bool {
        self.id_server.is_some() || self.medium.is_some() || self.address.is_some()
    }

    pub(super) fn check(self) -> ApiResult<Invitation> {
        let there = |member: Option<String>| {
            member.ok_or_else(|| {
                ApiError::missing_param("id_server, id_access_token, medium or address is missing")
            })
        };
        let medium = there(self.medium)?;
        let mut address = there(self.address)?;
        if medium == "email" {
            address = address.to_lowercase();
        }
        Ok(Invitation {
            id_server: there(self.id_server)?,
            id_access_token: there(self.id_access_token)?,
            medium,
            address,
        })
    }
}

/// Invites whoever has an address: the user, if the identity server knows who that is, else by a token that the identity
/// server gives to whoever shows to have it.
pub(super) async fn invite(
    app: &AppState,
    requester: &Requester,
    room_id: &RoomId,
    invitation: Invitation,
) -> ApiResult<()> {
    let user_id = &requester.user_id;
    app.joined_room(room_id, user_id)?;
    if !app.has_power(room_id, user_id, |levels| levels.may(user_id, RoomPowerLevelsIntField::Invite))? {
        return Err(ApiError::forbidden("you may not invite into this room"));
    }
    let Invitation { id_server, id_access_token, medium, address } = &invitation;
    let wanted = Address { medium, address };
    if let Some(user_id) = app.identity_servers.lookup(id_server, id_access_token, &wanted).await? {
        let content = invitee(app, &user_id).await?;
        let change = MembershipChange {
            room_id: room_id.to_owned(),
            sender: requester.user_id.clone(),
            target: user_id,
            action: MembershipAction::Invite,
            content,
            origin_server_ts: None,
            txn: requester.txn.clone(),
        };
        app.rooms.membership(change).await?;
        return Ok(());
    }
    let about = about_room(app, requester, room_id, &wanted)?;
    let stored = app.identity_servers.store_invite(id_server, id_access_token, &about).await?;
    let content = stored.content().ok_or(IdentityError::Malformed)?;
    let append = Append {
        room_id: room_id.to_owned(),
        sender: requester.user_id.clone(),
        event_type: TimelineEventType::RoomThirdPartyInvite,
        state_key: Some(stored.token),
        content: to_raw_value(&content).map_err(|error| ApiError::internal(&error))?,
        origin_server_ts: None,
        redacts: None,
        txn: requester.txn.clone(),
    };
    app.rooms.append(append).await?;
    Ok(())
}

/// What the identity server writes to the address.
fn about_room(
    app: &AppState,
    requester: &Requester,
    room_id: &RoomId,
    wanted: &Address<'_>,
) -> ApiResult<Map<String, Value>> {
    let mut about = Map::new();
    for (name, value) in [
        ("medium", wanted.medium),
        ("address", wanted.address),
        ("room_id", room_id.as_str()),
        ("sender", requester.user_id.as_str()),
    ] {
        about.insert(name.to_owned(), value.into());
    }
    let profile = app.member_content(&requester.user_id)?;
    for (name, field) in [("sender_display_name", "displayname"), ("sender_avatar_url", "avatar_url")] {
        about.extend(profile.get(field).map(|value| (name.to_owned(), value.clone())));
    }
    for (name, kind, member) in [
        ("room_name", StateEventType::RoomName, "name"),
        ("room_alias", StateEventType::RoomCanonicalAlias, "alias"),
        ("room_avatar_url", StateEventType::RoomAvatar, "url"),
        ("room_join_rules", StateEventType::RoomJoinRules, "join_rule"),
        ("room_type", StateEventType::RoomCreate, "type"),
    ] {
        let content = app.state_content(room_id, &kind, "")?;
        let content = content.and_then(|content| serde_json::from_str::<Value>(content.get()).ok());
        let value = content.and_then(|mut content| content.get_mut(member).map(Value::take));
        about.extend(value.filter(Value::is_string).map(|value| (name.to_owned(), value)));
    }
    Ok(about)
}

/// A member event that another server asks for, as far as it can tell.
#[derive(Debug, Deserialize)]
struct PartialMember {
    #[serde(rename = "type")]
    event_type: String,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    state_key: OwnedUserId,
    content: PartialContent,
}

#[derive(Debug, Deserialize)]
struct PartialContent {
    membership: MembershipState,
    third_party_invite: ThirdPartyInvite,
}

#[derive(Debug, Deserialize)]
struct ThirdPartyInvite {
    signed: Box<RawValue>,
}

/// Lets a user of another server in who has shown to the identity server to have the address that was invited.
async fn exchange_third_party_invite(
    State(app): State<AppState>,
    Segments(room_id): Segments<OwnedRoomId>,
    SignedJson { origin, body }: SignedJson<PartialMember>,
) -> ApiResult<Empty> {
    if body.event_type != "m.room.member" || body.content.membership != MembershipState::Invite {
        return Err(ApiError::invalid_param("this is not an invitation"));
    }
    if body.room_id != room_id {
        return Err(ApiError::invalid_param("the room in the body is not that of the path"));
    }
    if body.state_key.server_name() != origin {
        return Err(ApiError::forbidden("servers ask for their own users only"));
    }
    let invite = body.content.third_party_invite;
    exchange(&app, &room_id, &body.sender, &body.state_key, &invite.signed).await?;
    Ok(Empty)
}

#[derive(Debug, Deserialize)]
struct Bound {
    mxid: OwnedUserId,
    #[serde(default)]
    invites: Vec<BoundInvite>,
}

#[derive(Debug, Deserialize)]
struct BoundInvite {
    mxid: OwnedUserId,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    signed: Box<RawValue>,
}

/// An identity server tells that one of our users has an address now, and who has invited it. What it says is believed as
/// far as it has signed it with the key that stands in the room.
async fn on_bind_third_party_identifier(
    State(app): State<AppState>,
    Json(bound): Json<Bound>,
) -> ApiResult<Empty> {
    if !app.is_local(&bound.mxid) || !app.users.exists(&bound.mxid)? {
        return Err(ApiError::not_found("there is no such user"));
    }
    for invite in bound.invites.into_iter().take(MAX_INVITES) {
        if invite.mxid != bound.mxid {
            continue;
        }
        let BoundInvite { mxid, room_id, sender, signed } = invite;
        if let Err(error) = exchange(&app, &room_id, &sender, &mxid, &signed).await {
            tracing::info!(%room_id, user_id = %mxid, %error, "an invitation of an address leads to nothing");
        }
    }
    Ok(Empty)
}

/// Makes an invitation of an address one of a user. The authorisation rules check what the identity server signed.
async fn exchange(
    app: &AppState,
    room_id: &RoomId,
    sender: &UserId,
    target: &UserId,
    signed: &RawValue,
) -> ApiResult<()> {
    #[derive(Deserialize)]
    struct Signed {
        token: String,
    }
    let Signed { token } = serde_json::from_str(signed.get())
        .map_err(|_| ApiError::bad_json("signed is not an object with a token"))?;
    if !app.is_local(sender) {
        return Err(ApiError::forbidden("the invitation is not by a user of this server"));
    }
    let no_invitation = || ApiError::forbidden("there is no such invitation");
    let original = app.state_content(room_id, &StateEventType::RoomThirdPartyInvite, &token)?;
    let original: Value = serde_json::from_str(original.ok_or_else(no_invitation)?.get()).unwrap_or_default();
    // What the address was called by who invited it, whatever is said of it now.
    let display_name = original["display_name"].as_str().ok_or_else(no_invitation)?;
    let signed: Value = serde_json::from_str(signed.get()).unwrap_or_default();
    let mut content = invitee(app, target).await?;
    content.insert("third_party_invite".to_owned(), json!({"display_name": display_name, "signed": signed}));
    let change = MembershipChange {
        room_id: room_id.to_owned(),
        sender: sender.to_owned(),
        target: target.to_owned(),
        action: MembershipAction::Invite,
        content,
        origin_server_ts: None,
        txn: None,
    };
    app.rooms.membership(change).await?;
    Ok(())
}
