//! The presence list (specification of 2014, "Presence List"): whom a user wants to see, and who lets them.
//!
//! `GET` shows the list. `POST` changes it: `invite` asks to see users, `drop` takes them off the list, `accept` and `deny`
//! answer those who ask to see this user. Who asks is told by an `m.presence_invite`, the answer by an `m.presence_accept`
//! or `m.presence_deny`, among the events of presence.

use axum::{extract::State, routing::get};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{ApiError, ApiResult, AppState, Dialect, Empty, Json, Reply, Requester, Routes, Segments},
    store::Position,
    user::Invited,
};

/// How many users one request is about at most.
const MAX_CHANGES: usize = 100;

pub(super) fn routes() -> Routes {
    Routes::new().of_2014("/presence/list/{user_id}", get(get_list).post(change_list))
}

async fn get_list(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
) -> ApiResult<Reply<Vec<Value>>> {
    requester.must_be(&user_id)?;
    let entry = |(observed, accepted): (OwnedUserId, bool)| {
        let mut entry = if accepted { app.presence_content(&requester, &observed) } else { json!({}) };
        entry["user_id"] = observed.as_str().into();
        entry["accepted"] = accepted.into();
        entry
    };
    Ok(Reply(app.users.presence.lists.of(&user_id).into_iter().map(entry).collect()))
}

#[derive(Debug, Deserialize)]
struct Change {
    #[serde(default)]
    invite: Vec<OwnedUserId>,
    #[serde(default)]
    drop: Vec<OwnedUserId>,
    #[serde(default)]
    accept: Vec<OwnedUserId>,
    #[serde(default)]
    deny: Vec<OwnedUserId>,
}

async fn change_list(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    Json(change): Json<Change>,
) -> ApiResult<Empty> {
    requester.must_be(&user_id)?;
    let Change { invite, drop, accept, deny } = change;
    if invite.len() + drop.len() + accept.len() + deny.len() > MAX_CHANGES {
        return Err(ApiError::invalid_param("a request is about 100 users at most"));
    }
    let lists = &app.users.presence.lists;
    for other in &invite {
        if !app.is_local(other) || !app.users.exists(other)? {
            return Err(ApiError::not_found("there is no such user"));
        }
    }
    for other in invite.iter().filter(|other| **other != user_id) {
        if lists.invite(&user_id, other).await? == Invited::Full {
            return Err(ApiError::forbidden("the presence list is full"));
        }
        app.wake_both(&user_id, other);
    }
    for other in &drop {
        lists.remove(&user_id, other).await?;
    }
    for (others, accepted) in [(&accept, true), (&deny, false)] {
        for other in others {
            if !lists.answer(&user_id, other, accepted).await? {
                return Err(ApiError::not_found("this user has not asked to see you"));
            }
            app.wake_both(&user_id, other);
        }
    }
    Ok(Empty)
}

impl crate::homeserver::Services {
    fn wake_both(&self, one: &UserId, other: &UserId) {
        self.rooms.wakers().wake(one);
        self.rooms.wakers().wake(other);
    }

    /// The events of presence that a user is to see after one position and not after another, in the form of the
    /// request.
    pub(super) fn presence_events(
        &self,
        requester: &Requester,
        after: Position,
        until: Position,
    ) -> ApiResult<Vec<Value>> {
        let viewer = &requester.user_id;
        let presence = &self.users.presence;
        let mut events = presence.lists.news(viewer, after, until);
        let mut shown = presence.lists.granted_between(viewer, after, until);
        for (user_id, _) in presence.changed_between(after, until) {
            if !shown.contains(&user_id) && self.may_see_presence(viewer, &user_id)? {
                shown.push(user_id);
            }
        }
        events.extend(shown.iter().map(|user_id| self.presence_event(requester, user_id)));
        Ok(events)
    }

    /// Somebody's `m.presence`. In 2014 the user is named in its content.
    pub(super) fn presence_event(&self, requester: &Requester, user_id: &UserId) -> Value {
        let mut content = self.presence_content(requester, user_id);
        match requester.dialect {
            Dialect::Today => json!({"type": "m.presence", "sender": user_id, "content": content}),
            Dialect::Of2014 => {
                content["user_id"] = user_id.as_str().into();
                json!({"type": "m.presence", "content": content})
            }
        }
    }
}
