//! Closing rooms: the part about deleting and blocking of
//! [Synapse's admin API](https://element-hq.github.io/synapse/latest/admin_api/rooms.html#delete-room-api).

use std::collections::VecDeque;

use axum::{
    extract::State,
    routing::{delete, get},
};
use parking_lot::Mutex;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, events::room::member::MembershipState};
use serde::Deserialize;
use serde_json::{Value, json};

use super::rooms::change;
use crate::{
    api::{ApiError, ApiResult, AppState, Json, OptionalJson, Reply, Requester, Routes, Segments},
    room::{Append, CreateRoom, JsonObject, MembershipAction, Preset},
    user::random_text,
};

/// Of how many deletions it is known how they went.
const KEPT: usize = 1_000;
/// What those are told who are led into another room, unless the administrator says something else.
const NAME: &str = "Content Violation Notification";
const MESSAGE: &str = "The room that you were in was closed by an administrator of this server.";

pub(in crate::api) fn routes() -> Routes {
    Routes::new()
        .absolute("/_synapse/admin/v1/rooms/{room_id}", delete(delete_room))
        .absolute("/_synapse/admin/v2/rooms/{room_id}", delete(start_to_delete_room))
        .absolute("/_synapse/admin/v2/rooms/{room_id}/delete_status", get(get_deletions_of_room))
        .absolute("/_synapse/admin/v2/rooms/delete_status/{delete_id}", get(get_deletion))
        .absolute("/_synapse/admin/v1/rooms/{room_id}/block", get(get_block).put(set_block))
}

/// How a deletion went.
#[derive(Debug, Clone)]
struct Deletion {
    delete_id: String,
    room_id: OwnedRoomId,
    /// What it did; nothing if it failed.
    done: Option<Value>,
}

impl Deletion {
    fn render(&self) -> Value {
        json!({
            "delete_id": self.delete_id,
            "room_id": self.room_id,
            "status": if self.done.is_some() { "complete" } else { "failed" },
            "shutdown_room": self.done,
        })
    }
}

/// The last deletions. In memory only.
#[derive(Debug, Default)]
pub(crate) struct Deletions(Mutex<VecDeque<Deletion>>);

#[derive(Debug, Deserialize)]
struct Body {
    #[serde(default)]
    block: bool,
    #[serde(default = "super::yes")]
    purge: bool,
    new_room_user_id: Option<OwnedUserId>,
    room_name: Option<String>,
    message: Option<String>,
}

async fn delete_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Json(body): Json<Body>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    shut_down(&app, &requester, &room_id, &body).await.map(Reply)
}

/// As [`delete_room`], with another answer: it is asked for later what became of it.
async fn start_to_delete_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Json(body): Json<Body>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let done = shut_down(&app, &requester, &room_id, &body).await;
    let done = done.inspect_err(|error| tracing::info!(%room_id, %error, "a room was not deleted")).ok();
    let deletion = Deletion { delete_id: random_text(16), room_id, done };
    let delete_id = deletion.delete_id.clone();
    let mut deletions = app.deletions.0.lock();
    if deletions.len() == KEPT {
        deletions.pop_front();
    }
    deletions.push_back(deletion);
    Ok(Reply(json!({ "delete_id": delete_id })))
}

async fn get_deletions_of_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let deletions = app.deletions.0.lock();
    let found = deletions.iter().filter(|deletion| deletion.room_id == room_id);
    let found: Vec<Value> = found.map(Deletion::render).collect();
    if found.is_empty() {
        return Err(ApiError::not_found("the room was not deleted"));
    }
    Ok(Reply(json!({ "results": found })))
}

async fn get_deletion(
    State(app): State<AppState>,
    requester: Requester,
    Segments(delete_id): Segments<String>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let deletions = app.deletions.0.lock();
    let found = deletions.iter().find(|deletion| deletion.delete_id == delete_id);
    Ok(Reply(found.ok_or_else(|| ApiError::not_found("there is no such deletion"))?.render()))
}

/// Takes everybody out of a room, and lets nobody in again where that is asked for.
async fn shut_down(app: &AppState, requester: &Requester, room_id: &RoomId, body: &Body) -> ApiResult<Value> {
    let closed = app.rooms.closed();
    if body.block {
        let by = requester.user_id.clone();
        closed.change(room_id, |closure| closure.blocked_by = Some(by)).await?;
    }
    let mut done =
        json!({"kicked_users": [], "failed_to_kick_users": [], "local_aliases": [], "new_room_id": null});
    // What does not exist, or not yet, has nobody in it, and can be blocked.
    let room = app.rooms.get(room_id)?.filter(|_| !closed.is_deleted(room_id));
    let Some(room) = room else { return Ok(done) };
    let replacement = match &body.new_room_user_id {
        None => None,
        Some(user_id) => Some(replacement(app, user_id, body).await?),
    };
    let (mut kicked, mut failed) = (Vec::new(), Vec::new());
    for (user_id, member) in &room.view().members {
        let is_in = matches!(
            member.membership,
            MembershipState::Join | MembershipState::Invite | MembershipState::Knock
        );
        if !is_in || !app.is_local(user_id) {
            continue;
        }
        let left = change(app, user_id, user_id, room_id, MembershipAction::Leave).await;
        if left.is_err() || app.rooms.forget(room_id, user_id).await.is_err() {
            failed.push(user_id.clone());
            continue;
        }
        if let (Some(replacement), MembershipState::Join) = (&replacement, &member.membership)
            && let Err(error) = change(app, user_id, user_id, replacement, MembershipAction::Join).await
        {
            tracing::debug!(%user_id, %error, "a user of a closed room did not come into the other");
        }
        kicked.push(user_id.clone());
    }
    let aliases = app.directory.aliases_of(room_id);
    match &replacement {
        Some(replacement) => {
            app.directory.move_aliases(room_id, replacement).await?;
            done["local_aliases"] = json!(aliases);
        }
        None if body.purge => {
            for alias in &aliases {
                app.directory.remove(alias).await?;
            }
        }
        None => {}
    }
    app.directory.list(room_id, false).await?;
    app.appservices.room_was_renamed(room_id);
    if body.purge {
        closed.change(room_id, |closure| closure.deleted = true).await?;
    }
    done["kicked_users"] = json!(kicked);
    done["failed_to_kick_users"] = json!(failed);
    done["new_room_id"] = json!(replacement);
    Ok(done)
}

/// A room in which a user of this server tells those who were taken out of another why.
async fn replacement(app: &AppState, user_id: &OwnedUserId, body: &Body) -> ApiResult<OwnedRoomId> {
    if !app.is_local(user_id) || !app.users.exists(user_id)? {
        return Err(ApiError::unknown("new_room_user_id is not a user of this server"));
    }
    let quiet = JsonObject::from_iter([("users_default".to_owned(), json!(-10))]);
    let room_id = app
        .rooms
        .create(CreateRoom {
            creator: user_id.clone(),
            creator_profile: app.member_content(user_id)?,
            version: None,
            preset: Preset::PublicChat,
            creation_content: JsonObject::new(),
            power_level_content_override: quiet,
            initial_state: Vec::new(),
            name: Some(body.room_name.clone().unwrap_or_else(|| NAME.to_owned())),
            topic: None,
            alias: None,
            invite: Vec::new(),
            is_direct: false,
            room_id: None,
            origin_server_ts: None,
            txn: None,
        })
        .await?;
    let message = json!({"msgtype": "m.text", "body": body.message.as_deref().unwrap_or(MESSAGE)});
    app.rooms
        .append(Append {
            room_id: room_id.clone(),
            sender: user_id.clone(),
            event_type: "m.room.message".into(),
            state_key: None,
            content: serde_json::value::to_raw_value(&message).expect("a value is JSON"),
            origin_server_ts: None,
            redacts: None,
            txn: None,
        })
        .await?;
    Ok(room_id)
}

async fn get_block(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    Ok(Reply(match app.rooms.closed().of(&room_id).blocked_by {
        Some(user_id) => json!({"block": true, "user_id": user_id}),
        None => json!({"block": false}),
    }))
}

#[derive(Debug, Default, Deserialize)]
struct Block {
    block: Option<bool>,
}

async fn set_block(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    OptionalJson(Block { block }): OptionalJson<Block>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let block = block.ok_or_else(|| ApiError::missing_param("block is missing"))?;
    let by = block.then(|| requester.user_id.clone());
    app.rooms.closed().change(&room_id, |closure| closure.blocked_by = by).await?;
    Ok(Reply(json!({ "block": block })))
}
