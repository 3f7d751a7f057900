//! Accepting connections and letting them end.

use std::{net::SocketAddr, pin::pin, sync::Arc, task::Poll, time::Duration};

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

use self::{stream::SharedStream, unread::SharedBody};
use crate::api::layer::{Cut, Peer};

mod stream;
mod unread;

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the fault dial cuts the connection")]
    Cut,
    #[error("the client has hung up")]
    HungUp,
}

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
    let stream = Arc::new(stream);
    let watched = Arc::clone(&stream);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(Peer(Some(peer.ip())));
        // A client that waits to be asked for its body does not send it in vain.
        let asks_first = request.headers().contains_key(http::header::EXPECT);
        let (request, body) = if request.body().is_end_stream() || asks_first {
            (request.map(Body::new), None)
        } else {
            let (head, body) = request.into_parts();
            let body = SharedBody::new(body);
            (http::Request::from_parts(head, Body::new(body.clone())), Some(body))
        };
        let answered = router.clone().oneshot(request);
        let stream = Arc::clone(&watched);
        async move {
            let Ok(response) = tokio::select! {
                biased;
                response = answered => response,
                () = hung_up(&stream, body.as_ref()) => return Err(NoAnswer::HungUp),
            };
            if response.extensions().get::<Cut>().is_some() {
                return Err(NoAnswer::Cut);
            }
            if let Some(body) = body {
                body.discard().await;
            }
            Ok(response)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        // Else every request that waits holds a buffer just to see its client hang up, which is watched for here.
        .half_close(true)
        .serve_connection(TokioIo::new(SharedStream(stream)), service);
    let mut connection = pin!(connection);
    // Errors here are a client that hung up or never spoke HTTP: nobody is left to tell.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = shutdown.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(GRACE, connection).await;
}

/// Waits until the client hangs up. A client that sends its next request already is not watched any more.
async fn hung_up(stream: &TcpStream, body: Option<&SharedBody>) {
    if let Some(body) = body {
        // This is polled whenever the body could be read on.
        std::future::poll_fn(|_| if body.is_end_stream() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
    if let Ok(1..) = stream.peek(&mut [0]).await {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Bytes,
        routing::{get, post},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::mpsc::{Sender, channel},
        time::timeout,
    };

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// Says when a handler ends.
    struct Handler(Sender<&'static str>);

    impl Drop for Handler {
        fn drop(&mut self) {
            let _ = self.0.try_send("ends");
        }
    }

    async fn wait(told: Sender<&'static str>) {
        let handler = Handler(told);
        let _ = handler.0.try_send("waits");
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn a_handler_ends_when_its_client_hangs_up() {
        let (told, mut heard) = channel(8);
        let without = told.clone();
        let router = Router::new()
            .route("/without", get(move || wait(without)))
            .route("/with", post(move |_: Bytes| wait(told)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let serving = tokio::spawn(serve(listener, router, stop.clone(), tracker.clone()));
        for request in [
            "GET /without HTTP/1.1\r\nHost: hs\r\n\r\n",
            "POST /with HTTP/1.1\r\nHost: hs\r\nContent-Length: 2\r\n\r\n{}",
            "POST /with HTTP/1.1\r\nHost: hs\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(timeout(DEADLINE, heard.recv()).await, Ok(Some("waits")), "{request}");
            drop(client);
            assert_eq!(timeout(DEADLINE, heard.recv()).await, Ok(Some("ends")), "{request}");
        }
        stop.cancel();
        serving.await.unwrap();
        tracker.close();
        timeout(DEADLINE, tracker.wait()).await.expect("connections end");
    }

    #[tokio::test]
    async fn a_request_sent_before_the_answer_to_the_last_one_is_answered_in_its_turn() {
        let router = Router::new().route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                "slow"
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, router, stop.clone(), TaskTracker::new()));
        let mut client = TcpStream::connect(address).await.unwrap();
        let (first, last) = ("GET /slow HTTP/1.1\r\nHost: hs\r\n\r\n", "GET /none HTTP/1.0\r\n\r\n");
        client.write_all(format!("{first}{first}").as_bytes()).await.unwrap();
        client.write_all(last.as_bytes()).await.unwrap();
        let mut answers = String::new();
        timeout(DEADLINE, client.read_to_string(&mut answers)).await.unwrap().unwrap();
        assert_eq!(answers.matches("200 OK").count(), 2, "{answers}");
        assert_eq!(answers.matches("404 Not Found").count(), 1, "{answers}");
        stop.cancel();
        serving.await.unwrap();
    }
}
