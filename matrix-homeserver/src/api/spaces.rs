//! [Spaces](https://spec.matrix.org/v1.19/client-server-api/#spaces): the rooms below a room.

use std::collections::HashSet;

use axum::{extract::State, routing::get};
use ruma::{OwnedRoomId, RoomId, events::StateEventType};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, ApiResult, AppState, Params, Reply, Requester, Routes, Segments};

/// How many rooms are told unless the client says how many, and at most.
const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 100;

pub(super) fn routes() -> Routes {
    Routes::new().v1("/rooms/{room_id}/hierarchy", get(get_space_hierarchy))
}

#[derive(Debug, Deserialize)]
struct Query {
    #[serde(default)]
    suggested_only: bool,
    limit: Option<usize>,
    max_depth: Option<usize>,
    from: Option<String>,
}

impl Query {
    /// How many rooms were told before, by a token that holds for the same question only.
    fn told(&self) -> ApiResult<usize> {
        let Some(from) = &self.from else { return Ok(0) };
        let unknown = || ApiError::invalid_param("from is not a token of this endpoint");
        let (told, question) =
            from.strip_prefix('h').and_then(|from| from.split_once('.')).ok_or_else(unknown)?;
        if question != self.question() {
            return Err(ApiError::invalid_param(
                "suggested_only and max_depth stay the same from page to page",
            ));
        }
        told.parse().map_err(|_| unknown())
    }

    fn question(&self) -> String {
        let depth = self.max_depth.map(|depth| depth.to_string()).unwrap_or_default();
        format!("{}.{depth}", u8::from(self.suggested_only))
    }

    fn token(&self, told: usize) -> String {
        format!("h{told}.{}", self.question())
    }
}

/// A child of a space, as its state event says.
struct Child {
    room_id: OwnedRoomId,
    /// What children are sorted by: those with a valid order first, by it.
    order: (bool, String, u64, String),
    stripped: Value,
}

async fn get_space_hierarchy(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Params(query): Params<Query>,
) -> ApiResult<Reply<Value>> {
    let told = query.told()?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if limit == 0 {
        return Err(ApiError::invalid_param("limit is greater than zero"));
    }
    let end = told.saturating_add(limit.min(MAX_LIMIT));
    // The whole way again for every page: the tree may be another by now, and nothing is kept between requests.
    let mut walked = walk(&app, &requester, &room_id, &query, end)?;
    let more = walked.len() > end;
    walked.truncate(end);
    let rooms: Vec<Value> = walked.into_iter().skip(told).collect();
    let mut reply = json!({"rooms": rooms});
    if more {
        reply["next_batch"] = query.token(end).into();
    }
    Ok(Reply(reply))
}

/// The rooms of a tree, depth first, up to one more than `end` of them.
fn walk(
    app: &AppState,
    requester: &Requester,
    root: &RoomId,
    query: &Query,
    end: usize,
) -> ApiResult<Vec<Value>> {
    let (mut seen, mut rooms) = (HashSet::new(), Vec::new());
    let mut ahead = vec![(root.to_owned(), 0)];
    while let Some((room_id, depth)) = ahead.pop() {
        if !seen.insert(room_id.clone()) {
            continue;
        }
        let summary = app.room_summary(&room_id)?;
        let visible = match &summary {
            Some(summary) => app.may_find(summary, &room_id, Some(&requester.user_id))?,
            None => false,
        };
        let Some(mut summary) = summary.filter(|_| visible) else {
            if depth == 0 {
                return Err(ApiError::forbidden("you may not see this room, or there is none"));
            }
            continue;
        };
        let mut children = Vec::new();
        if summary["room_type"] == "m.space" {
            children = children_of(app, &room_id, query.suggested_only)?;
        }
        summary["children_state"] = children.iter().map(|child| child.stripped.clone()).collect();
        rooms.push(summary);
        if rooms.len() > end {
            break;
        }
        if query.max_depth.is_none_or(|max| depth < max) {
            ahead.extend(children.into_iter().rev().map(|child| (child.room_id, depth + 1)));
        }
    }
    Ok(rooms)
}

/// The children of a space in their order
/// ([ordering](https://spec.matrix.org/v1.19/client-server-api/#ordering-of-children-within-a-space)).
fn children_of(app: &AppState, room_id: &RoomId, suggested_only: bool) -> ApiResult<Vec<Child>> {
    #[derive(Deserialize)]
    struct Content {
        via: Vec<String>,
        #[serde(default)]
        order: Value,
        #[serde(default)]
        suggested: Value,
    }
    let mut children = Vec::new();
    for event in app.rooms.current_state_of_type(room_id, &StateEventType::SpaceChild)? {
        let pdu = &event.pdu;
        let state_key = pdu.state_key.as_deref().unwrap_or_default();
        let Ok(child_id) = OwnedRoomId::try_from(state_key) else { continue };
        let Ok(content) = serde_json::from_str::<Content>(pdu.content.get()) else { continue };
        if content.via.is_empty() || (suggested_only && content.suggested != true) {
            continue;
        }
        let order = content.order.as_str().filter(|order| {
            order.len() <= 50 && !order.is_empty() && order.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        });
        let sent = u64::from(pdu.origin_server_ts.0);
        let order = (order.is_none(), order.unwrap_or_default().to_owned(), sent, child_id.to_string());
        let stripped = json!({
            "type": "m.space.child", "state_key": state_key, "content": pdu.content, "sender": pdu.sender,
            "origin_server_ts": pdu.origin_server_ts,
        });
        children.push(Child { room_id: child_id, order, stripped });
    }
    children.sort_by(|one, other| one.order.cmp(&other.order));
    Ok(children)
}
