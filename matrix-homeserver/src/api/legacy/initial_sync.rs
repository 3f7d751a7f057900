//! Everything at once, of all rooms or of one: where a client starts ([deprecated] today).
//!
//! [deprecated]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3initialsync

use axum::{extract::State, routing::get};
use ruma::{OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::page_limit;
use crate::{
    api::{ApiError, ApiResult, AppState, Dialect, Params, Reply, Requester, Routes, Segments, read::token},
    homeserver::Services,
    room::{Direction, PageRequest, RoomEventFilter, StoredEvent, Viewer},
    store::Position,
    user::Scope,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .since_2014("/initialSync", get(initial_sync))
        .since_2014("/rooms/{room_id}/initialSync", get(room_initial_sync))
}

#[derive(Debug, Deserialize)]
struct Query {
    limit: Option<String>,
    archived: Option<String>,
}

/// What a request wants to see, up to one position.
struct Snapshot<'a> {
    app: &'a Services,
    requester: &'a Requester,
    limit: usize,
    end: Position,
}

async fn initial_sync(
    State(app): State<AppState>,
    requester: Requester,
    Params(query): Params<Query>,
) -> ApiResult<Reply<Value>> {
    let limit = page_limit(query.limit.as_deref())?;
    let archived = query.archived.as_deref() == Some("true");
    // It may be long: not on the threads that answer everybody else.
    let answered = tokio::task::spawn_blocking(move || {
        let snapshot = Snapshot { app: &app, requester: &requester, limit, end: app.sync.now() };
        snapshot.everything(archived)
    });
    answered.await.map_err(|error| ApiError::internal(&error))?.map(Reply)
}

async fn room_initial_sync(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(query): Params<Query>,
) -> ApiResult<Reply<Value>> {
    let limit = page_limit(query.limit.as_deref())?;
    let answered = tokio::task::spawn_blocking(move || {
        let snapshot = Snapshot { app: &app, requester: &requester, limit, end: app.sync.now() };
        snapshot.one_room(&room_id)
    });
    answered.await.map_err(|error| ApiError::internal(&error))?.map(Reply)
}

impl Snapshot<'_> {
    fn user_id(&self) -> &UserId {
        &self.requester.user_id
    }

    fn viewer(&self) -> Viewer<'_> {
        self.requester.viewer()
    }

    fn everything(&self, archived: bool) -> ApiResult<Value> {
        let ignored = self.app.users.ignored(self.user_id())?;
        let mut rooms = Vec::new();
        let mut receipts = Vec::new();
        for (room_id, mine) in &self.app.rooms.of_user(self.user_id())? {
            match mine.membership {
                MembershipState::Join => {
                    receipts.extend(self.receipts(room_id)?);
                    rooms.push(self.listed(room_id, &mine.membership)?);
                }
                MembershipState::Invite => {
                    let invitation = self.app.rooms.events().expect(mine.number)?;
                    if !ignored.contains(&invitation.pdu.sender) {
                        rooms.push(self.invitation(room_id, &invitation)?);
                    }
                }
                // Who never was in the room sees nothing of it.
                MembershipState::Leave | MembershipState::Ban
                    if archived
                        && !mine.forgotten
                        && self.app.rooms.access(room_id, self.user_id()).is_ok() =>
                {
                    rooms.push(self.listed(room_id, &mine.membership)?);
                }
                _ => {}
            }
        }
        Ok(json!({
            "rooms": rooms,
            "presence": self.app.presence_events(self.requester, Position::ZERO, self.end)?,
            "account_data": self.account_data(Scope::Global)?,
            "receipts": receipts,
            "end": token(self.end),
        }))
    }

    fn one_room(&self, room_id: &RoomId) -> ApiResult<Value> {
        let access = self.app.rooms.access(room_id, self.user_id())?;
        let is_in = access.membership == Some(MembershipState::Join);
        let mut room = self.room(room_id)?;
        if let Some(membership) = &access.membership {
            room["membership"] = membership.as_str().into();
        }
        if self.requester.dialect == Dialect::Today {
            room["visibility"] = self.visibility(room_id).into();
        }
        let receipts: Vec<Value> =
            if is_in { self.receipts(room_id)?.into_iter().collect() } else { Vec::new() };
        room["receipts"] = json!(receipts);
        room["presence"] = json!([]);
        if is_in {
            let view = access.room.view();
            let events =
                view.joined_members().map(|user_id| self.app.presence_event(self.requester, user_id));
            room["presence"] = events.collect();
        }
        Ok(room)
    }

    /// A room of the list of all rooms.
    fn listed(&self, room_id: &RoomId, membership: &MembershipState) -> ApiResult<Value> {
        let mut room = self.room(room_id)?;
        room["membership"] = membership.as_str().into();
        room["visibility"] = self.visibility(room_id).into();
        Ok(room)
    }

    fn invitation(&self, room_id: &RoomId, invitation: &StoredEvent) -> ApiResult<Value> {
        Ok(json!({
            "room_id": room_id,
            "membership": "invite",
            "inviter": invitation.pdu.sender,
            "invite": self.app.rooms.render(invitation, &self.viewer(), None)?,
            "visibility": self.visibility(room_id),
        }))
    }

    /// The state of a room and the last of its events, the oldest first.
    fn room(&self, room_id: &RoomId) -> ApiResult<Value> {
        let filter = RoomEventFilter::default();
        let request = PageRequest {
            from: Some(self.end),
            to: None,
            direction: Direction::Backward,
            limit: self.limit,
            filter: &filter,
        };
        let mut page = self.app.rooms.messages(room_id, &self.viewer(), request)?;
        page.chunk.reverse();
        Ok(json!({
            "room_id": room_id,
            "messages": {
                "chunk": page.chunk,
                "start": token(page.end.unwrap_or_default()),
                "end": token(page.start),
            },
            "state": self.app.rooms.state(room_id, &self.viewer())?,
            "account_data": self.account_data(Scope::Room(room_id))?,
        }))
    }

    fn visibility(&self, room_id: &RoomId) -> &'static str {
        if self.app.directory.is_listed(room_id) { "public" } else { "private" }
    }

    fn receipts(&self, room_id: &RoomId) -> ApiResult<Option<Value>> {
        let users = &self.app.users;
        let content = users.receipts_seen_by(self.user_id(), room_id, Position::ZERO, self.end)?;
        Ok(content.map(|content| json!({"type": "m.receipt", "room_id": room_id, "content": content})))
    }

    fn account_data(&self, scope: Scope<'_>) -> ApiResult<Vec<Value>> {
        let found = self.app.users.account_data_between(self.user_id(), scope, Position::ZERO, self.end)?;
        let event = |(kind, content): (String, Box<RawValue>)| json!({"type": kind, "content": content});
        Ok(found.into_iter().map(event).collect())
    }
}
