//! The fault dial over HTTP, for tests in other languages. Served only where it was enabled: whoever reaches it can break
//! everything.

use axum::{
    extract::State,
    routing::{delete, get, post},
};
use serde_json::{Value, json};

use super::{ApiError, ApiResult, AppState, Empty, Json, Reply, Routes, Segments};
use crate::fault::{FaultId, FaultRule};

pub(super) fn routes() -> Routes {
    Routes::new()
        .absolute("/_fault", get(list).post(turn).delete(clear))
        .absolute("/_fault/{id}", delete(turn_back))
        .absolute("/_fault/restart", post(restart))
}

async fn list(State(app): State<AppState>) -> Reply<Value> {
    let rules = app.faults.rules().into_iter().map(|(id, rule, hits)| {
        let mut shown = json!(rule);
        shown["id"] = json!(id);
        shown["hits"] = hits.into();
        shown
    });
    Reply(json!({"rules": rules.collect::<Vec<_>>()}))
}

async fn turn(State(app): State<AppState>, Json(rule): Json<FaultRule>) -> ApiResult<Reply<Value>> {
    match app.faults.turn(rule) {
        Ok(id) => Ok(Reply(json!({"id": id}))),
        Err(refused) => Err(ApiError::invalid_param(refused.to_string())),
    }
}

async fn turn_back(State(app): State<AppState>, Segments(id): Segments<FaultId>) -> ApiResult<Reply<Value>> {
    match app.faults.turn_back(id) {
        Some(hits) => Ok(Reply(json!({"hits": hits}))),
        None => Err(ApiError::not_found("there is no such rule")),
    }
}

async fn clear(State(app): State<AppState>) -> Empty {
    app.faults.clear();
    Empty
}

/// Asks whoever runs the server to stop it and start it again, with its data and at its address.
async fn restart(State(app): State<AppState>) -> Empty {
    app.restart.notify_one();
    Empty
}
