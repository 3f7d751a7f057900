//! How events look in this API, and which come inside of others.
//!
//! An event that updates another has its ID as `updates`, and one that is about another without changing it as
//! `relates_to`. They are the relations of today's specification: `m.replace` is an update, every other is not.
//! Bundled, an event has all its updates in a list `updates`, the oldest first, and the last [`BUNDLED`] of those that
//! relate to it in `relates_to`, with the `token` of those before them; the related events are not shown by themselves
//! then. An event that relates to another and has events that relate to it tells the latter.

use axum::{
    Extension,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use ruma::{EventId, RoomId};
use serde_json::{Map, Value, json, value::RawValue};

use super::{Today, answer, filter::Filter, forward, path_for_today, respond};
use crate::{
    api::{ApiError, ApiResult, AppState, Reply, Requester, read::token},
    room::{Direction, RelationsRequest},
    store::Position,
};

/// How many related events come inside of an event.
pub(super) const BUNDLED: usize = 5;
/// The most updates of one event.
const MAX_UPDATES: usize = 1000;

/// A request that reads events: today's answer, in this API's form.
pub(super) async fn read(
    State(app): State<AppState>,
    Extension(today): Extension<Today>,
    requester: Requester,
    request: Request,
) -> Response {
    respond(read_as(app, today, requester, request, true).await)
}

pub(super) async fn read_as(
    app: AppState,
    today: Today,
    requester: Requester,
    request: Request,
    bundled: bool,
) -> ApiResult<Response> {
    let filter = Filter::of(request.uri())?;
    let path = path_for_today(request.uri());
    match answer(forward(&app, &today, request, &path).await).await {
        Err(response) => Ok(response),
        Ok(value) => {
            let value = Shape { app, requester, filter, bundled }.apply(value).await?;
            Ok(Reply(value).into_response())
        }
    }
}

/// The form of what is shown to somebody.
pub(super) struct Shape {
    pub(super) app: AppState,
    pub(super) requester: Requester,
    pub(super) filter: Filter,
    pub(super) bundled: bool,
}

/// How an event relates to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Updates,
    RelatesTo,
}

impl Kind {
    fn key(self) -> &'static str {
        match self {
            Self::Updates => "updates",
            Self::RelatesTo => "relates_to",
        }
    }
}

impl Shape {
    /// Brings every event inside of an answer into form. It may be long: not on the threads that answer everybody else.
    pub(super) async fn apply(self, value: Value) -> ApiResult<Value> {
        let shaped = tokio::task::spawn_blocking(move || self.value(value));
        shaped.await.map_err(|error| ApiError::internal(&error))?
    }

    fn value(&self, value: Value) -> ApiResult<Value> {
        match value {
            Value::Array(items) => {
                let mut kept = Vec::with_capacity(items.len());
                for item in items {
                    match item {
                        Value::Object(item) if is_event(&item) => self.listed(item, &mut kept)?,
                        Value::Object(item) if !self.lets_room_through(&item) => {}
                        item => kept.push(self.value(item)?),
                    }
                }
                Ok(Value::Array(kept))
            }
            Value::Object(event) if is_event(&event) => Ok(Value::Object(self.event(event)?)),
            Value::Object(object) => {
                let mut shaped = Map::new();
                for (key, value) in object {
                    let value = if key == "account_data" { value } else { self.value(value)? };
                    shaped.insert(key, value);
                }
                Ok(Value::Object(shaped))
            }
            value => Ok(value),
        }
    }

    fn lets_room_through(&self, object: &Map<String, Value>) -> bool {
        let room_id = object.get("room_id").and_then(Value::as_str);
        room_id.is_none_or(|room_id| self.filter.lets_room_through(room_id))
    }

    /// An event in a list, if it is to be shown there.
    fn listed(&self, event: Map<String, Value>, kept: &mut Vec<Value>) -> ApiResult<()> {
        if event.get("type").is_some_and(|event_type| event_type == "m.receipt") {
            let markers = self.app.markers(&Value::Object(event))?;
            kept.extend(markers.into_iter().filter_map(|marker| {
                let Value::Object(marker) = marker else { return None };
                self.filter.lets_through(&marker).then(|| self.filter.pick(marker).into())
            }));
            return Ok(());
        }
        let inside = self.bundled
            && relation(&event).is_some_and(|(kind, _)| match kind {
                Kind::Updates => self.filter.updates,
                Kind::RelatesTo => self.filter.relates_to,
            });
        if !inside && self.filter.lets_through(&event) {
            kept.push(self.event(event)?.into());
        }
        Ok(())
    }

    /// An event, wherever it is shown.
    fn event(&self, event: Map<String, Value>) -> ApiResult<Map<String, Value>> {
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let (Some(Ok(event_id)), Some(Ok(room_id))) =
            (text("event_id").map(EventId::parse), text("room_id").map(RoomId::parse))
        else {
            return Ok(self.filter.pick(event));
        };
        if self.filter.federation {
            let (rooms, user_id) = (&self.app.rooms, &self.requester.user_id);
            // Who is only invited sees the invitation in its usual form.
            if let (Some((event, _)), Ok(access)) =
                (rooms.events().by_id(&event_id)?, rooms.access(&room_id, user_id))
            {
                let mut visibility = rooms.visibility(&access, user_id)?;
                let full = rooms.full_json(&event, Some(&mut visibility))?;
                let full = serde_json::from_str(full.get()).map_err(|error| ApiError::internal(&error))?;
                return Ok(self.filter.pick(full));
            }
        }
        let mut event = dressed(event);
        if self.bundled && self.filter.updates {
            let updates = self.updates(&room_id, &event_id)?;
            if !updates.is_empty() {
                event.insert("updates".to_owned(), updates.into());
            }
        }
        if self.bundled && self.filter.relates_to {
            let related = self.related(&room_id, &event_id, None, BUNDLED)?;
            if related["chunk"].as_array().is_some_and(|chunk| !chunk.is_empty()) {
                event.insert("relates_to".to_owned(), related);
            }
        }
        Ok(self.filter.pick(event))
    }

    fn updates(&self, room_id: &RoomId, event_id: &EventId) -> ApiResult<Vec<Value>> {
        let request = RelationsRequest {
            rel_type: Some("m.replace"),
            event_type: None,
            from: None,
            to: None,
            direction: Direction::Forward,
            limit: MAX_UPDATES,
            recurse: false,
        };
        let viewer = self.requester.viewer();
        let found = self.app.rooms.relations(room_id, &viewer, event_id, request)?;
        Ok(found.chunk.iter().filter_map(|event| parsed(event)).map(Into::into).collect())
    }

    /// A page of the events that relate to another, the newest page first, each from old to new.
    pub(super) fn related(
        &self,
        room_id: &RoomId,
        event_id: &EventId,
        from: Option<Position>,
        limit: usize,
    ) -> ApiResult<Value> {
        let mut chunk: Vec<Value> = Vec::new();
        let mut next = from;
        loop {
            // As many as are wanted: so the end of what is read is the end of what is shown.
            let request = RelationsRequest {
                rel_type: None,
                event_type: None,
                from: next,
                to: None,
                direction: Direction::Backward,
                limit: limit - chunk.len(),
                recurse: false,
            };
            let viewer = self.requester.viewer();
            let found = self.app.rooms.relations(room_id, &viewer, event_id, request)?;
            let events = found.chunk.iter().filter_map(|event| parsed(event));
            let wanted =
                |event: &Map<String, Value>| relation(event).is_none_or(|(kind, _)| kind == Kind::RelatesTo);
            chunk.extend(events.filter(wanted).map(Value::Object));
            next = found.next;
            if next.is_none() || chunk.len() >= limit {
                break;
            }
        }
        chunk.reverse();
        let mut page = json!({"chunk": chunk});
        if let Some(next) = next {
            page["token"] = token(next).into();
        }
        Ok(page)
    }
}

fn parsed(event: &RawValue) -> Option<Map<String, Value>> {
    serde_json::from_str(event.get()).ok().map(dressed)
}

fn is_event(object: &Map<String, Value>) -> bool {
    object.get("type").is_some_and(Value::is_string)
        && (object.contains_key("event_id") || object.get("content").is_some_and(Value::is_object))
}

/// What an event relates to, and how.
fn relation(event: &Map<String, Value>) -> Option<(Kind, String)> {
    let relates_to = event.get("content")?.get("m.relates_to")?;
    let parent = relates_to.get("event_id")?.as_str()?.to_owned();
    let rel_type = relates_to.get("rel_type")?.as_str()?;
    Some((if rel_type == "m.replace" { Kind::Updates } else { Kind::RelatesTo }, parent))
}

/// An event with what it relates to; state that was deleted without content.
fn dressed(mut event: Map<String, Value>) -> Map<String, Value> {
    if let Some((kind, parent)) = relation(&event) {
        event.insert(kind.key().to_owned(), parent.into());
    }
    let is_empty = |value: Option<&Value>| value.is_some_and(|value| *value == json!({}));
    if event.contains_key("state_key") {
        if is_empty(event.get("content")) {
            event.remove("content");
        }
        if is_empty(event.get("prev_content")) {
            event.remove("prev_content");
        }
        if let Some(Value::Object(unsigned)) = event.get_mut("unsigned")
            && is_empty(unsigned.get("prev_content"))
        {
            unsigned.remove("prev_content");
        }
    }
    event
}
