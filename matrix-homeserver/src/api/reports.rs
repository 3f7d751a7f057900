//! [Reporting content](https://spec.matrix.org/v1.19/client-server-api/#reporting-content).

use axum::{extract::State, routing::post};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::Deserialize;

use super::{ApiError, ApiResult, AppState, Empty, Json, Requester, Routes, Segments};
use crate::user::Report;

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/rooms/{room_id}/report", post(report_room))
        .v3("/rooms/{room_id}/report/{event_id}", post(report_event))
        .v3("/users/{user_id}/report", post(report_user))
}

#[derive(Debug, Deserialize)]
struct Body {
    reason: Option<String>,
}

impl Body {
    /// The reason, where one has to be given.
    fn reason(self) -> ApiResult<String> {
        self.reason.ok_or_else(|| ApiError::missing_param("reason is missing"))
    }
}

#[derive(Debug, Deserialize)]
struct EventBody {
    reason: Option<String>,
    score: Option<i64>,
}

async fn report_room(
    State(app): State<AppState>,
    requester: Requester,
    Segments(room_id): Segments<OwnedRoomId>,
    Json(body): Json<Body>,
) -> ApiResult<Empty> {
    let reason = body.reason()?;
    if app.rooms.get(&room_id)?.is_none() {
        return Err(ApiError::not_found("there is no such room"));
    }
    let report = Report { room_id: Some(room_id), reason: Some(reason), ..Report::by(&requester.user_id) };
    app.users.report(report).await?;
    Ok(Empty)
}

async fn report_event(
    State(app): State<AppState>,
    requester: Requester,
    Segments((room_id, event_id)): Segments<(OwnedRoomId, OwnedEventId)>,
    Json(body): Json<EventBody>,
) -> ApiResult<Empty> {
    let not_found = || ApiError::not_found("there is no such event, or you are not in its room");
    if !app.rooms.is_joined(&room_id, &requester.user_id)? {
        return Err(not_found());
    }
    let access = app.rooms.access(&room_id, &requester.user_id)?;
    let (event, _) =
        app.rooms.visible_event(&access, &requester.user_id, &event_id).map_err(|_| not_found())?;
    let report = Report {
        room_id: Some(room_id),
        event_id: Some(event_id),
        user_id: Some(event.pdu.sender.clone()),
        reason: body.reason,
        score: body.score,
        ..Report::by(&requester.user_id)
    };
    app.users.report(report).await?;
    Ok(Empty)
}

async fn report_user(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    Json(body): Json<Body>,
) -> ApiResult<Empty> {
    let reason = body.reason()?;
    if !app.is_local(&user_id) || !app.users.exists(&user_id)? {
        return Err(ApiError::not_found("there is no such user"));
    }
    let report = Report { user_id: Some(user_id), reason: Some(reason), ..Report::by(&requester.user_id) };
    app.users.report(report).await?;
    Ok(Empty)
}
