//! The draft of a client-server API v2 (2015, "general API"), behind an option of its own.
//!
//! The draft says what requests are about, not how they look in HTTP. They are served under `/_matrix/client/v2_alpha`,
//! where servers of its time put what they took over from it. What the draft leaves as it is (registration, login,
//! content) and what today's specification does in the same way (rooms, invitations, kicks, bans, messages) is passed
//! on to today's API; here is what the draft has and today's specification has not:
//!
//! - **Sessions** ([`session`]): every answer has the header `Matrix-Session-Id`. The client sends it back, as that header
//!   or as `session_id` in the query. `GET` and `DELETE /session` show and end it. Typing
//!   (`PUT /rooms/{room_id}/typing`), presence (`PUT /presence`) and capabilities last as long as the session.
//! - **Action IDs**: `action_id` in the query of a request that changes something, counted from 0 in every session.
//! - **Capabilities** ([`capabilities`]), by hash.
//! - **`updates` and `relates_to`** ([`bundle`]): events that relate to another come inside of it, except on the event
//!   stream (`GET /events`), and are paged at `GET /events/{event_id}/relates_to`.
//! - **A window around an event**: `GET /events/{event_id}/context` with `before` and `after`.
//! - **Filters** ([`filter`]): `POST /filter` makes a token that all reading requests take as `filter`.
//! - **State** ([`state`]): `DELETE` deletes it, and what is deleted is an event without `content`; the read-up-to markers
//!   `m.room.marker.delivered` and `m.room.marker.read` are set like state.
//! - **Invitations** ([`invitation`]) by the ID of their event: `POST /join/{event_id}`, `DELETE /events/{event_id}`.
//! - **Presence lists**: those of 2014, at `/presence/list/{user_id}`; the draft asks about them and says no more.

use axum::{
    Extension, Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
    routing::{any, get, post, put},
};
use http::{Method, Uri};
use serde_json::Value;
use tower::ServiceExt;

use super::{ApiError, ApiResult, AppState, Routes, extract::read_body, layer::Peer, legacy};

mod bundle;
mod capabilities;
mod filter;
mod invitation;
mod relations;
mod session;
mod state;

/// What the paths of this API begin with.
pub(super) const PREFIX: &str = "/_matrix/client/v2_alpha";
/// Where today's API is, to which the rest is passed on.
const TODAY: &str = "/_matrix/client/v3";

/// Today's API, for what is passed on.
#[derive(Clone)]
struct Today(Router<AppState>);

/// The paths that this API has beside today's.
pub(super) fn routes() -> Routes {
    let at = |path: &str| format!("{PREFIX}{path}");
    Routes::new()
        .absolute(&at("/session"), get(session::show).delete(session::end))
        .absolute(&at("/session/capabilities"), put(capabilities::announce))
        .absolute(&at("/rooms/{room_id}/typing"), put(session::set_typing))
        .absolute(&at("/presence"), put(session::set_presence))
        .absolute(&at("/capabilities"), get(capabilities::of_server).post(capabilities::upload))
        .absolute(&at("/capabilities/{hash}"), get(capabilities::by_hash))
        .absolute(&at("/users/{user_id}/capabilities"), get(capabilities::of_user))
        .absolute(&at("/users/{user_id}/capabilities/{hash}"), get(capabilities::by_hash_of_user))
        .absolute(&at("/filter"), post(filter::make))
        .absolute(&at("/events"), get(relations::stream))
        .absolute(&at("/events/{event_id}"), get(bundle::read).delete(invitation::reject))
        .absolute(&at("/events/{event_id}/context"), get(relations::window))
        .absolute(&at("/events/{event_id}/relates_to"), get(relations::page))
        .absolute(&at("/initialSync"), get(bundle::read))
        .absolute(&at("/rooms/{room_id}/initialSync"), get(bundle::read))
        .absolute(&at("/rooms/{room_id}/messages"), get(bundle::read))
        .absolute(&at("/rooms/{room_id}/event/{event_id}"), get(bundle::read))
        .absolute(&at("/rooms/{room_id}/context/{event_id}"), get(bundle::read))
        .absolute(&at("/rooms/{room_id}/state"), get(bundle::read))
        .absolute(
            &at("/rooms/{room_id}/state/{event_type}"),
            get(state::get).put(state::put).delete(state::delete),
        )
        .absolute(
            &at("/rooms/{room_id}/state/{event_type}/{state_key}"),
            get(state::get_with_key).put(state::put_with_key).delete(state::delete_with_key),
        )
        .absolute(&at("/join/{target}"), post(invitation::join))
        .absolute(&at("/rooms/{room_id}/send/{event_type}"), post(relations::send))
        .absolute(&at("/rooms/{room_id}/send/{event_type}/{txn_id}"), put(relations::send_with_txn))
}

/// The whole API: its own paths, and today's API behind them.
pub(super) fn router(state: &AppState, today: Router<AppState>) -> Router<AppState> {
    let drafts = state.config.drafts;
    routes()
        .into_router(drafts)
        .route(&format!("{PREFIX}/{{*rest}}"), any(pass_on))
        .layer(axum::middleware::from_fn_with_state(state.clone(), session::keep))
        .layer(Extension(Today(today)))
}

async fn pass_on(
    axum::extract::State(app): axum::extract::State<AppState>,
    Extension(today): Extension<Today>,
    request: Request,
) -> Response {
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let path = path.strip_prefix(PREFIX).unwrap_or_default().to_owned();
    forward(&app, &today, request, &path).await
}

/// Makes the same request at another path of today's API. What the router noted about the path before is left behind.
async fn forward(app: &AppState, today: &Today, request: Request, path: &str) -> Response {
    let prefix = if path.starts_with("/presence/list/") { legacy::PREFIX } else { TODAY };
    let Ok(uri) = Uri::try_from(format!("{prefix}{path}")) else {
        return ApiError::unrecognized().into_response();
    };
    let (parts, body) = request.into_parts();
    let mut bare = Request::new(body);
    *bare.method_mut() = parts.method;
    *bare.uri_mut() = uri;
    *bare.headers_mut() = parts.headers;
    bare.extensions_mut().insert(parts.extensions.get::<Peer>().copied().unwrap_or_default());
    let today = today.0.clone().fallback(|| async { ApiError::unrecognized() });
    today.with_state(app.clone()).oneshot(bare).await.unwrap_or_else(|never| match never {})
}

/// Makes another request of today's API with the headers of one, and reads its answer. `Err` is an answer that is passed on.
async fn ask(
    app: &AppState,
    today: &Today,
    parts: &http::request::Parts,
    method: Method,
    path: &str,
    body: Body,
) -> Result<Value, Response> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.headers_mut() = parts.headers.clone();
    // The length is that of another body.
    request.headers_mut().remove(http::header::CONTENT_LENGTH);
    request.extensions_mut().insert(parts.extensions.get::<Peer>().copied().unwrap_or_default());
    answer(forward(app, today, request, path).await).await
}

/// Reads the answer of a request that was passed on. `Err` is an answer that is passed on.
async fn answer(response: Response) -> Result<Value, Response> {
    if !response.status().is_success() {
        return Err(response);
    }
    let body = read_body(response.into_body(), usize::MAX).await.map_err(IntoResponse::into_response)?;
    serde_json::from_slice(&body).map_err(|error| ApiError::internal(&error).into_response())
}

/// The path of a request without the prefix, with its query less what only this API knows.
fn path_for_today(uri: &Uri) -> String {
    const OURS: [&str; 4] = ["filter", "session_id", "action_id", "token"];
    let path = uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let kept = pairs.filter(|(name, _)| !OURS.contains(&&**name));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The answer of a handler that may also pass on somebody else's.
fn respond(result: ApiResult<Response>) -> Response {
    result.unwrap_or_else(IntoResponse::into_response)
}
