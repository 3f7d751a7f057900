//! Accepting connections and letting them end.

use std::{net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use self::unread::SharedBody;
use crate::api::layer::{Cut, Peer};

mod unread;

/// The fault dial wants the connection to end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut")]
struct ConnectionCut;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests that are being answered may take when the server stops.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// The wait after a connection could not be accepted, which happens when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections until `shutdown`. Their tasks belong to `tracker`.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    tracker: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                tracker.spawn(connection(stream, peer, router.clone(), shutdown.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, shutdown: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(Peer(Some(peer.ip())));
        // A client that waits to be asked for its body does not send it in vain.
        let asks_first = request.headers().contains_key(http::header::EXPECT);
        let (request, shared) = if request.body().is_end_stream() || asks_first {
            (request.map(Body::new), None)
        } else {
            let (head, body) = request.into_parts();
            let body = SharedBody::new(body);
            (http::Request::from_parts(head, Body::new(body.clone())), Some(body))
        };
        let answered = router.clone().oneshot(request);
        async move {
            let Ok(response) = answered.await;
            if response.extensions().get::<Cut>().is_some() {
                return Err(ConnectionCut);
            }
            if let Some(body) = shared {
                body.discard().await;
            }
            Ok(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // Errors here are a client that hung up or never spoke HTTP: nobody is left to tell.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(GRACE, connection).await;
}
