//! [Listing rooms](https://spec.matrix.org/v1.19/client-server-api/#published-room-directory), also on the networks of
//! [application services](https://spec.matrix.org/v1.19/application-service-api/#application-service-room-directories).

use std::cmp::Reverse;

use axum::{
    extract::State,
    routing::{get, put},
};
use ruma::{OwnedRoomId, RoomId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState, Empty, Json, OptionalJson, Params, Reply, Requester, Routes, Segments,
};

/// The longest page.
const MAX_LIMIT: usize = 500;

pub(super) fn routes() -> Routes {
    Routes::new()
        .since_2014("/publicRooms", get(get_public_rooms).post(query_public_rooms))
        .since_2014("/directory/list/room/{room_id}", get(get_visibility).put(set_visibility))
        .since_2014(
            "/directory/list/appservice/{network_id}/{room_id}",
            put(update_appservice_visibility).delete(remove_appservice_visibility),
        )
}

#[derive(Debug, Deserialize)]
struct Page {
    limit: Option<usize>,
    since: Option<String>,
    server: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Whose {
    server: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Query {
    limit: Option<usize>,
    since: Option<String>,
    #[serde(default)]
    filter: Filter,
    #[serde(default)]
    include_all_networks: bool,
    third_party_instance_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Filter {
    generic_search_term: Option<String>,
    room_types: Option<Vec<Option<String>>>,
}

async fn get_public_rooms(
    State(app): State<AppState>,
    Params(page): Params<Page>,
) -> ApiResult<Reply<Value>> {
    let query = Query { limit: page.limit, since: page.since, ..Query::default() };
    public_rooms(&app, page.server.as_deref(), &query).map(Reply)
}

async fn query_public_rooms(
    State(app): State<AppState>,
    _: Requester,
    Params(whose): Params<Whose>,
    OptionalJson(query): OptionalJson<Query>,
) -> ApiResult<Reply<Value>> {
    public_rooms(&app, whose.server.as_deref(), &query).map(Reply)
}

fn public_rooms(app: &AppState, server: Option<&str>, query: &Query) -> ApiResult<Value> {
    if server.is_some_and(|server| server != app.config.server_name) {
        return Err(ApiError::not_found("this server asks no other for its rooms"));
    }
    let mut listed = match &query.third_party_instance_id {
        Some(_) if query.include_all_networks => {
            return Err(ApiError::invalid_param("third_party_instance_id names one network of all"));
        }
        Some(network) => app.directory.listed_on(Some(network)),
        None => app.directory.listed(),
    };
    if query.include_all_networks {
        listed.extend(app.directory.listed_on(None));
    }
    listed.sort();
    listed.dedup();
    let mut found = Vec::new();
    for room_id in listed {
        if let Some(summary) = app.published_room(&room_id)?
            && matches(&summary, &query.filter)
        {
            found.push(summary);
        }
    }
    found.sort_by_key(|summary| Reverse(summary["num_joined_members"].as_u64()));
    let total = found.len();
    let place = query.since.as_deref().map(Place::parse).transpose()?.unwrap_or(Place::From(0));
    let (start, end) = place.page(query.limit.unwrap_or(MAX_LIMIT).clamp(1, MAX_LIMIT), total);
    let page: Vec<Value> = found.drain(start..end).collect();
    let mut reply = json!({"chunk": page, "total_room_count_estimate": total});
    if end < total {
        reply["next_batch"] = Place::From(end).token().into();
    }
    if start > 0 {
        reply["prev_batch"] = Place::Before(start).token().into();
    }
    Ok(reply)
}

/// Where a page of the list is. The token alone says in which direction to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    From(usize),
    Before(usize),
}

impl Place {
    fn parse(token: &str) -> ApiResult<Self> {
        let unknown = || ApiError::invalid_param("since is not a token of this server");
        let number = |number: &str| number.parse().map_err(|_| unknown());
        match (token.strip_prefix('n'), token.strip_prefix('p')) {
            (Some(from), _) => number(from).map(Self::From),
            (_, Some(before)) => number(before).map(Self::Before),
            _ => Err(unknown()),
        }
    }

    fn token(self) -> String {
        match self {
            Self::From(number) => format!("n{number}"),
            Self::Before(number) => format!("p{number}"),
        }
    }

    /// Where a page of a list starts and ends.
    fn page(self, limit: usize, total: usize) -> (usize, usize) {
        match self {
            Self::From(start) => {
                let start = start.min(total);
                (start, start.saturating_add(limit).min(total))
            }
            Self::Before(end) => {
                let end = end.min(total);
                (end.saturating_sub(limit), end)
            }
        }
    }
}

fn matches(summary: &Value, filter: &Filter) -> bool {
    let of_type = filter
        .room_types
        .as_ref()
        .is_none_or(|types| types.iter().any(|wanted| wanted.as_deref() == summary["room_type"].as_str()));
    let term = filter.generic_search_term.as_deref().unwrap_or_default().to_lowercase();
    let mentions =
        |name: &str| summary[name].as_str().is_some_and(|text| text.to_lowercase().contains(&term));
    of_type && (term.is_empty() || ["name", "topic", "canonical_alias"].into_iter().any(mentions))
}

async fn get_visibility(
    State(app): State<AppState>,
    Segments(room_id): Segments<OwnedRoomId>,
) -> ApiResult<Reply<Value>> {
    if app.rooms.get(&room_id)?.is_none() {
        return Err(ApiError::not_found("there is no such room"));
    }
    let visibility = if app.directory.is_listed(&room_id) { "public" } else { "private" };
    Ok(Reply(json!({"visibility": visibility})))
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Visibility {
    #[default]
    Public,
    Private,
}

#[derive(Debug, Default, Deserialize)]
struct Listing {
    #[serde(default)]
    visibility: Visibility,
}

async fn set_visibility(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    OptionalJson(body): OptionalJson<Listing>,
) -> ApiResult<Empty> {
    if app.rooms.get(&room_id)?.is_none() {
        return Err(ApiError::not_found("there is no such room"));
    }
    if !app.may_manage_aliases(&room_id, &requester.user_id)? {
        return Err(ApiError::forbidden("you may not change whether this room is listed"));
    }
    app.directory.list(&room_id, body.visibility == Visibility::Public).await?;
    Ok(Empty)
}

async fn update_appservice_visibility(
    State(app): State<AppState>,
    requester: Requester,
    Segments((network, room_id)): Segments<(String, OwnedRoomId)>,
    Json(body): Json<Listing>,
) -> ApiResult<Empty> {
    list_on_network(&app, &requester, &network, &room_id, body.visibility == Visibility::Public).await
}

async fn remove_appservice_visibility(
    State(app): State<AppState>,
    requester: Requester,
    Segments((network, room_id)): Segments<(String, OwnedRoomId)>,
) -> ApiResult<Empty> {
    list_on_network(&app, &requester, &network, &room_id, false).await
}

async fn list_on_network(
    app: &AppState,
    requester: &Requester,
    network: &str,
    room_id: &RoomId,
    listed: bool,
) -> ApiResult<Empty> {
    let Some(appservice) = &requester.appservice else {
        return Err(ApiError::forbidden("only application services have networks"));
    };
    app.directory.list_on(room_id, appservice.id(), network, listed).await?;
    Ok(Empty)
}
