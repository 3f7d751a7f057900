//! [Server side search](https://spec.matrix.org/v1.19/client-server-api/#server-side-search).

use std::collections::{BTreeMap, BTreeSet};

use axum::{extract::State, routing::post};
use ruma::{OwnedRoomId, UserId, events::room::member::MembershipState};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ApiError, ApiResult, AppState, Json, Params, Reply, Requester, Routes,
    read::{position, token},
};
use crate::{
    homeserver::Limit,
    room::{
        Access, Direction, Match, Matches, PageRequest, RoomEventFilter, SearchKey, SearchRequest, Viewer,
        Words,
    },
    store::Position,
};

/// How many results are told at most.
const MAX_RESULTS: usize = 500;
/// How many events around a result are told at most, on each side.
const MAX_CONTEXT: usize = 100;

pub(super) fn routes() -> Routes {
    Routes::new().since_2014("/search", post(search))
}

#[derive(Debug, Deserialize)]
struct Query {
    next_batch: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Body {
    search_categories: Categories,
}

#[derive(Debug, Deserialize)]
struct Categories {
    room_events: Option<Criteria>,
}

#[derive(Debug, Deserialize)]
struct Criteria {
    search_term: String,
    keys: Option<Vec<SearchKey>>,
    #[serde(default)]
    filter: RoomEventFilter,
    #[serde(default)]
    order_by: Order,
    event_context: Option<ContextOptions>,
    #[serde(default)]
    include_state: bool,
    #[serde(default)]
    groupings: Groupings,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Recent,
    #[default]
    Rank,
}

#[derive(Debug, Deserialize)]
struct ContextOptions {
    #[serde(default = "five")]
    before_limit: usize,
    #[serde(default = "five")]
    after_limit: usize,
    #[serde(default)]
    include_profile: bool,
}

fn five() -> usize {
    5
}

#[derive(Debug, Default, Deserialize)]
struct Groupings {
    #[serde(default)]
    group_by: Vec<Grouping>,
}

#[derive(Debug, Deserialize)]
struct Grouping {
    key: GroupKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GroupKey {
    RoomId,
    Sender,
}

impl GroupKey {
    fn name(self) -> &'static str {
        match self {
            Self::RoomId => "room_id",
            Self::Sender => "sender",
        }
    }

    fn of(self, found: &Match) -> &str {
        match self {
            Self::RoomId => found.event.pdu.room_id.as_str(),
            Self::Sender => found.event.pdu.sender.as_str(),
        }
    }
}

/// Where the next page starts, and the one group that it shows, if it continues a group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Batch {
    place: Place,
    group: Option<(GroupKey, String)>,
}

/// By time, a position; by rank, how many results come before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    At(Position),
    Behind(usize),
}

impl Batch {
    fn parse(text: &str) -> ApiResult<Self> {
        let unknown = || ApiError::invalid_param("next_batch is not a token of this endpoint");
        let mut parts = text.splitn(3, '~');
        let place = parts.next().unwrap_or_default();
        let place = match place.strip_prefix('r') {
            Some(number) => Place::Behind(number.parse().map_err(|_| unknown())?),
            None => Place::At(position(place).map_err(|_| unknown())?),
        };
        let group = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some("room_id"), Some(room_id)) => Some((GroupKey::RoomId, room_id.to_owned())),
            (Some("sender"), Some(sender)) => Some((GroupKey::Sender, sender.to_owned())),
            _ => return Err(unknown()),
        };
        Ok(Self { place, group })
    }
}

impl Place {
    fn token(self) -> String {
        match self {
            Self::At(position) => token(position),
            Self::Behind(number) => format!("r{number}"),
        }
    }
}

async fn search(
    State(app): State<AppState>,
    requester: Requester,
    Params(query): Params<Query>,
    Json(body): Json<Body>,
) -> ApiResult<Reply<Value>> {
    let batch = query.next_batch.as_deref().map(Batch::parse).transpose()?;
    let Some(criteria) = body.search_categories.room_events else {
        return Ok(Reply(json!({"search_categories": {}})));
    };
    app.throttle_user(Limit::Search, &requester)?;
    // A search reads many events; whoever else wants an answer does not wait for it.
    let room_events = tokio::task::spawn_blocking(move || room_events(&app, &requester, &criteria, batch))
        .await
        .map_err(|error| ApiError::internal(&error))??;
    Ok(Reply(json!({"search_categories": {"room_events": room_events}})))
}

fn room_events(
    app: &AppState,
    requester: &Requester,
    criteria: &Criteria,
    batch: Option<Batch>,
) -> ApiResult<Value> {
    let by_rank = criteria.order_by == Order::Rank;
    let (place, group) = batch.map_or((None, None), |batch| (Some(batch.place), batch.group));
    let (from, skipped) = match place {
        None => (None, 0),
        Some(Place::At(position)) if !by_rank => (Some(position), 0),
        Some(Place::Behind(number)) if by_rank => (None, number),
        Some(_) => return Err(ApiError::invalid_param("next_batch is of a search in another order")),
    };
    let rooms = searched_rooms(app, &requester.user_id, &criteria.filter)?;
    let keys = criteria.keys.as_deref().unwrap_or(&SearchKey::ALL);
    let words = Words::new(&criteria.search_term);
    let request = SearchRequest { words, keys, filter: &criteria.filter, from };
    let mut found = app.rooms.search(&requester.user_id, &rooms, &request)?;
    if let Some((key, value)) = &group {
        found.matches.retain(|found| key.of(found) == value);
    }
    if by_rank {
        // Stable: among equals, the newest first.
        found.matches.sort_by(|one, other| other.rank.total_cmp(&one.rank));
    }
    let count = found.matches.len();
    let limit = criteria.filter.limit.unwrap_or(10).clamp(1, MAX_RESULTS);
    let page: Vec<Match> = found.matches.iter().skip(skipped).take(limit).cloned().collect();
    let next = next_place(&found, by_rank, skipped + page.len());

    let rooms: BTreeMap<&OwnedRoomId, &Access> =
        rooms.iter().map(|access| (&access.room.room_id, access)).collect();
    let viewer = requester.viewer();
    let mut results = Vec::with_capacity(page.len());
    for found in &page {
        let Some(access) = rooms.get(&found.event.pdu.room_id) else { continue };
        results.push(result(app, access, &viewer, found, criteria.event_context.as_ref())?);
    }
    let mut reply = json!({"count": count, "highlights": found.highlights, "results": results});
    if let Some(next) = next {
        let group = group.map(|(key, value)| format!("~{}~{value}", key.name())).unwrap_or_default();
        reply["next_batch"] = format!("{}{group}", next.token()).into();
    }
    if !criteria.groupings.group_by.is_empty() {
        reply["groups"] = groups(&criteria.groupings, &page, next);
    }
    if criteria.include_state {
        let mut state = Map::new();
        for found in &page {
            let room_id = &found.event.pdu.room_id;
            if !state.contains_key(room_id.as_str()) {
                state.insert(room_id.to_string(), json!(app.rooms.state(room_id, &viewer)?));
            }
        }
        reply["state"] = state.into();
    }
    Ok(reply)
}

/// The rooms that the user is in; of those that the filter names, also what he has left or anybody may read.
fn searched_rooms(app: &AppState, user_id: &UserId, filter: &RoomEventFilter) -> ApiResult<Vec<Access>> {
    let mut searched = Vec::new();
    let named: BTreeSet<OwnedRoomId> = match &filter.rooms {
        Some(named) => named.iter().cloned().collect(),
        None => {
            let rooms = app.rooms.of_user(user_id)?;
            let joined = rooms.iter().filter(|(_, room)| room.membership == MembershipState::Join);
            joined.map(|(room_id, _)| room_id.clone()).collect()
        }
    };
    for room_id in named {
        // What the user may not see is as if it were empty.
        if !filter.not_rooms.contains(&room_id)
            && let Ok(access) = app.rooms.access(&room_id, user_id)
        {
            searched.push(access);
        }
    }
    Ok(searched)
}

fn next_place(found: &Matches, by_rank: bool, told: usize) -> Option<Place> {
    let following = found.matches.get(told);
    if by_rank {
        following.map(|_| Place::Behind(told))
    } else {
        following.map(|found| found.position).or(found.rest).map(Place::At)
    }
}

fn result(
    app: &AppState,
    access: &Access,
    viewer: &Viewer<'_>,
    found: &Match,
    context: Option<&ContextOptions>,
) -> ApiResult<Value> {
    let mut visibility = app.rooms.visibility(access, viewer.user_id)?;
    let mut result = json!({"rank": found.rank, "result": app.rooms.show(&found.event, viewer, &mut visibility)?, "context": {}});
    let Some(options) = context else { return Ok(result) };
    let filter = RoomEventFilter::default();
    let around = |direction, from: Position, limit: usize| {
        let limit = limit.min(MAX_CONTEXT);
        let request = PageRequest { from: Some(from), to: None, direction, limit, filter: &filter };
        app.rooms.page(access, viewer.user_id, request)
    };
    let before_it = Position(found.position.0.saturating_sub(1));
    let before = around(Direction::Backward, before_it, options.before_limit)?;
    let after = around(Direction::Forward, found.position, options.after_limit)?;
    let mut context = json!({
        "start": token(before.end.unwrap_or(before.start)),
        "end": token(after.end.unwrap_or(after.start)),
        "events_before": app.rooms.render_page(access, viewer, &before)?,
        "events_after": app.rooms.render_page(access, viewer, &after)?,
    });
    if options.include_profile {
        let mut profiles = Map::new();
        let events = before.events.iter().chain(&after.events).map(|(_, event)| event);
        for event in events.chain([&found.event]) {
            let profile = app.rooms.profile_at(event, &event.pdu.sender)?;
            profiles.insert(event.pdu.sender.to_string(), profile.into());
        }
        context["profile_info"] = profiles.into();
    }
    result["context"] = context;
    Ok(result)
}

fn groups(groupings: &Groupings, page: &[Match], next: Option<Place>) -> Value {
    let mut groups = Map::new();
    for Grouping { key } in &groupings.group_by {
        let mut by_value: BTreeMap<&str, Vec<&Match>> = BTreeMap::new();
        for found in page {
            by_value.entry(key.of(found)).or_default().push(found);
        }
        let mut of_key = Map::new();
        for (value, members) in by_value {
            let order = page.iter().position(|found| key.of(found) == value).unwrap_or_default();
            let results: Vec<_> = members.iter().map(|found| &found.event.pdu.event_id).collect();
            let mut group = json!({"order": order, "results": results});
            // By rank, the place is among the results of all groups, which a group alone does not have.
            if let Some(Place::At(position)) = next {
                group["next_batch"] = format!("{}~{}~{value}", token(position), key.name()).into();
            }
            of_key.insert(value.to_owned(), group);
        }
        groups.insert(key.name().to_owned(), of_key.into());
    }
    groups.into()
}
