//! Sessions over HTTP: every request belongs to one, and what is bound to it ends with it.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use ruma::OwnedRoomId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api::{
        ApiError, ApiResult, AppState, Empty, Json, Reply, Requester, Segments,
        extract::{query_value, read_body},
    },
    homeserver::Services,
    user::PresenceState,
    v2::{Reason, Session, Turn},
};

/// Tells the session in answers, and in requests unless it is in the query.
const HEADER: HeaderName = HeaderName::from_static("matrix-session-id");
/// How long an action waits for those before it.
const PATIENCE: Duration = Duration::from_secs(10);
/// As long as it can be: typing ends with the session.
const TYPING: Duration = Duration::from_mins(2);

/// The session of a request.
#[derive(Debug)]
pub(super) struct InSession(pub(super) Arc<Session>);

impl FromRequestParts<AppState> for InSession {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> ApiResult<Self> {
        // Whoever has no session was not recognised.
        parts.extensions.get::<Arc<Session>>().cloned().map(Self).ok_or_else(ApiError::unknown_token)
    }
}

/// Puts a request into its session: the one that it names, or one that begins with it. Naming one that is over fails,
/// and begins another.
pub(super) async fn keep(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    // Without a user there is no session, and the handler says why.
    let Ok(requester) = Requester::from_request_parts(&mut parts, &app).await else {
        return next.run(Request::from_parts(parts, body)).await;
    };
    let header = parts.headers.get(HEADER).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let named = header.or_else(|| query_value(parts.uri.query(), "session_id").map(Into::into));
    let sessions = &app.v2.sessions;
    let entered = sessions.enter(&requester.user_id, requester.device_id.as_ref(), named.as_deref());
    let session = entered.session;
    if entered.begins
        && let Err(error) = begin(&app, &session, entered.over).await
    {
        return error.into_response();
    }
    let mut response = if entered.begins && named.is_some() {
        over(&session).into_response()
    } else {
        let _in_use = session.in_use();
        for room_id in session.typing_in() {
            if let Err(error) = app.users.typing.start(&room_id, &session.user_id, TYPING).await {
                return ApiError::from(error).into_response();
            }
        }
        parts.extensions.insert(session.clone());
        match (action_id(&parts), parts.method == Method::GET) {
            (Err(error), _) => error.into_response(),
            (Ok(Some(action)), false) => {
                act(session.clone(), action, Request::from_parts(parts, body), next).await
            }
            _ => next.run(Request::from_parts(parts, body)).await,
        }
    };
    if let (false, Ok(id)) = (session.is_over(), HeaderValue::from_str(&session.id)) {
        response.headers_mut().insert(HEADER, id);
    }
    response
}

fn action_id(parts: &Parts) -> ApiResult<Option<u64>> {
    let Some(action) = query_value(parts.uri.query(), "action_id") else { return Ok(None) };
    action.parse().map(Some).map_err(|_| ApiError::invalid_param("action_id is a number, from 0"))
}

/// The refusal of a session that is over, with the one that begins.
fn over(session: &Session) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "M_STALE_SESSION", "the session is over, and another begins")
        .with("session_id", session.id.as_str())
}

/// Makes a request when everything before it in its session is done, and only once.
async fn act(session: Arc<Session>, action: u64, request: Request, next: Next) -> Response {
    match session.turn(action, PATIENCE).await {
        Turn::Now => {}
        Turn::Done(status, body) => {
            return (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
        }
        Turn::Never(reason) => return refusal(reason).into_response(),
    }
    // In a task of its own: an action is done to its end also when the client hangs up.
    let doing = session.clone();
    let done = tokio::spawn(async move {
        let (parts, body) = next.run(request).await.into_parts();
        match read_body(body, usize::MAX).await {
            Ok(body) => {
                doing.acted(action, parts.status, body.clone());
                Response::from_parts(parts, Body::from(body))
            }
            Err(error) => {
                doing.acted(action, StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
                error.into_response()
            }
        }
    });
    done.await.unwrap_or_else(|failed| {
        session.acted(action, StatusCode::INTERNAL_SERVER_ERROR, Bytes::new());
        match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(failed) => ApiError::internal(&failed).into_response(),
        }
    })
}

fn refusal(reason: Reason) -> ApiError {
    let (errcode, message) = match reason {
        Reason::Over => ("M_STALE_SESSION", "the session is over"),
        Reason::Forgotten => ("M_STALE_ACTION", "the action was done long ago"),
        Reason::Missing => ("M_MISSING_ACTION", "actions before this one have not come"),
    };
    ApiError::new(StatusCode::CONFLICT, errcode, message)
}

/// A session begins: its user is online, and after a while without requests it is over.
async fn begin(app: &AppState, session: &Arc<Session>, before: Option<Arc<Session>>) -> ApiResult<()> {
    if let Some(before) = before {
        app.end_session(&before).await?;
    }
    app.set_presence(&session.user_id, app.v2.sessions.presence(&session.user_id), None).await?;
    let (services, watched) = (app.clone(), Arc::downgrade(session));
    app.spawn(async move {
        services.v2.sessions.outlive(watched.clone()).await;
        if let Some(session) = watched.upgrade()
            && let Err(error) = services.end_session(&session).await
        {
            tracing::error!(%error, "a session could not be ended");
        }
    });
    Ok(())
}

impl Services {
    /// Ends a session, and with it everything that lasts as long as it.
    async fn end_session(&self, session: &Arc<Session>) -> ApiResult<()> {
        if !self.v2.sessions.end(session) {
            return Ok(());
        }
        let user_id = &session.user_id;
        for room_id in session.typing_in() {
            self.stop_typing(&room_id, user_id).await?;
        }
        self.set_presence(user_id, self.v2.sessions.presence(user_id), Some(None)).await?;
        self.show_capabilities(user_id).await
    }
}

pub(super) async fn show(_: Requester, InSession(session): InSession) -> Reply<Value> {
    Reply(json!({"session_id": session.id, "next_action_id": session.next_action()}))
}

pub(super) async fn end(
    State(app): State<AppState>,
    _: Requester,
    InSession(session): InSession,
) -> ApiResult<Empty> {
    app.end_session(&session).await?;
    Ok(Empty)
}

#[derive(Debug, Deserialize)]
pub(super) struct Typing {
    typing: bool,
}

pub(super) async fn set_typing(
    State(app): State<AppState>,
    requester: Requester,
    InSession(session): InSession,
    Segments(room_id): Segments<OwnedRoomId>,
    Json(body): Json<Typing>,
) -> ApiResult<Empty> {
    app.joined_room(&room_id, &requester.user_id)?;
    if body.typing {
        app.users.typing.start(&room_id, &requester.user_id, TYPING).await?;
    } else {
        app.stop_typing(&room_id, &requester.user_id).await?;
    }
    session.types_in(room_id, body.typing);
    Ok(Empty)
}

#[derive(Debug, Deserialize)]
pub(super) struct Presence {
    presence: String,
    status_msg: Option<String>,
}

pub(super) async fn set_presence(
    State(app): State<AppState>,
    requester: Requester,
    InSession(session): InSession,
    Json(body): Json<Presence>,
) -> ApiResult<Empty> {
    let Some(state) = PresenceState::parse(&body.presence) else {
        return Err(ApiError::invalid_param("presence is none of those that there are"));
    };
    session.set_presence(state);
    // With several clients a user is as available as on the best of them.
    let best = app.v2.sessions.presence(&requester.user_id);
    app.set_presence(&requester.user_id, best, Some(body.status_msg)).await?;
    Ok(Empty)
}
