//! What every request goes through: CORS, and a net under the handlers.

use std::{convert::Infallible, net::IpAddr, panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use super::{AppState, error::ApiError, extract::Empty};
use crate::fault::{self, Fault};

/// Answers preflights, opens every answer to web clients
/// ([web browser clients](https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients)), and turns a
/// panic into an answer, which is counted.
pub(super) async fn guard(State(app): State<AppState>, request: Request, next: Next) -> Response {
    if request.method() == Method::OPTIONS {
        let mut response = Empty.into_response();
        open_to_web(response.headers_mut());
        return response;
    }
    let asked = Asked::of(&request);
    let struck = app.faults.on_route(request.method(), request.uri().path());
    struck.wait().await;
    match struck.fault {
        Some(Fault::CutConnection) => return cut(),
        Some(Fault::Status { status, retry_after_ms }) => {
            return ApiError::fault(fault::status(status), retry_after_ms).into_response();
        }
        _ => {}
    }
    let to_the_end = changes_something(&request);
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind();
    let answered = if to_the_end { app.finish(answered).await } else { answered.await };
    if struck.fault == Some(Fault::LoseAcknowledgement) {
        return cut();
    }
    let mut response = answered.unwrap_or_else(|_| {
        app.metrics.panics.inc();
        ApiError::internal(&Panicked).into_response()
    });
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        app.metrics.server_errors.inc();
    }
    open_to_web(response.headers_mut());
    asked.answered(&app, response.status());
    response
}

/// Whether the work for a request is done to its end, also when the client hangs up meanwhile: between two writes it
/// would leave behind what no request ever asked for. Those who wait for news stop waiting.
fn changes_something(request: &Request) -> bool {
    !request.method().is_safe() && !request.uri().path().ends_with("/sync")
}

/// What is counted of a request.
struct Asked {
    method: Method,
    /// None where no route has the path.
    route: Option<MatchedPath>,
    at: Instant,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { method: request.method().clone(), route, at: Instant::now() }
    }

    fn answered(&self, app: &AppState, status: StatusCode) {
        let route = self.route.as_ref().map_or("unknown", MatchedPath::as_str);
        app.metrics.answered(&self.method, route, status.as_u16(), self.at.elapsed());
    }
}

/// Marks an answer that is not to be sent: the connection ends instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut;

fn cut() -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(Cut);
    response
}

fn open_to_web(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS"),
    );
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("X-Requested-With, Content-Type, Authorization"),
    );
}

#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
struct Panicked;

/// The address that a request comes from, put into its extensions by whoever accepted the connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

impl Peer {
    /// A name to count requests by.
    pub(crate) fn name(self) -> String {
        self.0.map(|address| address.to_string()).unwrap_or_default()
    }
}

impl FromRequestParts<AppState> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or_default())
    }
}
