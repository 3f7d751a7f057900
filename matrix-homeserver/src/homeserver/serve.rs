//! Accepting connections and letting them end.

use std::{future::poll_fn, net::SocketAddr, sync::Arc, task::Poll, time::Duration};

use axum::{Router, body::Body, response::Response};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use self::{
    stream::{Replayed, Watched},
    unread::SharedBody,
    waiting::{Answer, Turn, Waiting},
};
use crate::api::layer::{Cut, Peer};

mod stream;
mod unread;
mod waiting;

/// Why a request is not answered, or not yet.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the fault dial cuts the connection")]
    Cut,
    #[error("the client has hung up")]
    HungUp,
    #[error("the answer has to be waited for")]
    Waits,
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

/// Serves one client. A request that has to wait gives back what HTTP needs to read and write, which is several times
/// as much as what waits.
async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, shutdown: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let stream = Arc::new(Watched::new(stream));
    let turn = Mutex::new(Turn::Next);
    let mut unread = Vec::new();
    loop {
        let io = TokioIo::new(Replayed::new(unread, Arc::clone(&stream)));
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            // Else whatever waits holds a buffer just to see its client hang up, which is watched for here.
            .half_close(true)
            .serve_connection(io, service_fn(|request| answer(request, peer, &router, &stream, &turn)));
        // Errors here are a client that hung up or never spoke HTTP: nobody is left to tell.
        tokio::select! {
            biased;
            _ = &mut connection => {}
            () = shutdown.cancelled() => {
                Pin::new(&mut connection).graceful_shutdown();
                let _ = tokio::time::timeout(GRACE, &mut connection).await;
            }
        }
        let Turn::Waits(mut waiting) = turn.lock().take() else { return };
        let ahead = connection.into_parts().read_buf.to_vec();
        let answered = tokio::select! {
            biased;
            answered = &mut waiting.answer => answered,
            () = stream.hung_up() => return,
            () = shutdown.cancelled() => match tokio::time::timeout(GRACE, &mut waiting.answer).await {
                Ok(answered) => answered,
                Err(_) => return,
            },
        };
        let Ok(response) = answered;
        *turn.lock() = Turn::Answered(response);
        unread = [waiting.head, ahead].concat();
    }
}

/// Answers one request.
async fn answer(
    mut request: http::Request<Incoming>,
    peer: SocketAddr,
    router: &Router,
    stream: &Watched,
    turn: &Mutex<Turn>,
) -> Result<Response, NoAnswer> {
    let last = turn.lock().take();
    if let Turn::Answered(response) = last {
        return unless_cut(response);
    }
    request.extensions_mut().insert(Peer(Some(peer.ip())));
    if let Some(head) = waiting::head(&request) {
        let mut answer: Answer = Box::pin(router.clone().oneshot(request.map(Body::new)));
        return match poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
            Poll::Ready(Ok(response)) => unless_cut(response),
            Poll::Pending => {
                *turn.lock() = Turn::Waits(Waiting { answer, head });
                Err(NoAnswer::Waits)
            }
        };
    }
    // A client that waits to be asked for its body does not send it in vain.
    let asks_first = request.headers().contains_key(http::header::EXPECT);
    let (request, body) = if request.body().is_end_stream() || asks_first {
        (request.map(Body::new), None)
    } else {
        let (head, body) = request.into_parts();
        let body = SharedBody::new(body);
        (http::Request::from_parts(head, Body::new(body.clone())), Some(body))
    };
    let hung_up = async {
        if let Some(body) = &body {
            body.ended().await;
        }
        stream.hung_up().await;
    };
    let Ok(response) = tokio::select! {
        biased;
        answered = router.clone().oneshot(request) => answered,
        () = hung_up => return Err(NoAnswer::HungUp),
    };
    let response = unless_cut(response)?;
    if let Some(body) = body {
        body.discard().await;
    }
    Ok(response)
}

fn unless_cut(response: Response) -> Result<Response, NoAnswer> {
    if response.extensions().get::<Cut>().is_some() { Err(NoAnswer::Cut) } else { Ok(response) }
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

    /// Serves until it is dropped.
    async fn serving(router: Router) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        (address, stop.clone(), tokio::spawn(serve(listener, router, stop, TaskTracker::new())))
    }

    /// A handler that has to wait, though not for long.
    async fn slow() -> String {
        tokio::time::sleep(Duration::from_millis(20)).await;
        "slow".repeat(1000)
    }

    /// Everything that is answered to some bytes, up to the end of the connection.
    async fn answers(address: SocketAddr, sent: &[&str]) -> String {
        let mut client = TcpStream::connect(address).await.unwrap();
        for sent in sent {
            client.write_all(sent.as_bytes()).await.unwrap();
        }
        let mut answers = String::new();
        timeout(DEADLINE, client.read_to_string(&mut answers)).await.unwrap().unwrap();
        answers
    }

    #[tokio::test]
    async fn requests_sent_before_the_answer_to_the_last_one_are_answered_in_their_turn() {
        let router = Router::new().route("/slow", get(slow)).route("/quick", get(|| async { "quick" }));
        let (address, stop, serving) = serving(router).await;
        let slow = "GET /slow HTTP/1.1\r\nHost: hs\r\n\r\n";
        let quick = "GET /quick HTTP/1.1\r\nHost: hs\r\n\r\n";
        let last = "GET /none HTTP/1.1\r\nHost: hs\r\nConnection: close\r\n\r\n";
        let sent = [&[slow, quick, slow].concat(), slow, &[quick, last].concat()];
        let answers = answers(address, &sent.map(|sent: &str| sent)).await;
        let bodies = [4000, 5, 4000, 4000, 5];
        let mut rest = answers.as_str();
        for body in bodies {
            let (head, then) = rest.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
            assert!(head.contains(&format!("content-length: {body}")), "{head}");
            rest = &then[body..];
        }
        assert!(rest.starts_with("HTTP/1.1 404 Not Found"), "{rest}");
        stop.cancel();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_asks_on_without_reading_gets_every_byte() {
        // More than the kernel keeps for a client that does not read.
        const LARGE: usize = 32 << 20;
        let router =
            Router::new().route("/large", get(|| async { "#".repeat(LARGE) })).route("/slow", get(slow));
        let (address, stop, serving) = serving(router).await;
        let large = "GET /large HTTP/1.1\r\nHost: hs\r\n\r\n";
        let last = "GET /slow HTTP/1.1\r\nHost: hs\r\nConnection: close\r\n\r\n";
        let answers = answers(address, &[&[large, last].concat()]).await;
        assert_eq!(answers.matches('#').count(), LARGE);
        assert!(answers.ends_with("slow"));
        stop.cancel();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn a_request_that_waits_is_answered_as_its_head_asks() {
        let (address, stop, serving) = serving(Router::new().route("/slow", get(slow))).await;
        let closing = "GET /slow HTTP/1.1\r\nHost: hs\r\nConnection: close\r\n\r\n";
        let answer = answers(address, &[closing]).await;
        assert!(answer.contains("connection: close"), "{answer}");
        let old = answers(address, &["GET /slow HTTP/1.0\r\n\r\n"]).await;
        assert!(old.starts_with("HTTP/1.0 200 OK") && old.ends_with("slow"), "{old}");
        stop.cancel();
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn what_waits_when_the_server_stops_is_answered_still() {
        let stopping = CancellationToken::new();
        let waiting = stopping.clone();
        let (told, mut heard) = channel(1);
        let router = Router::new().route(
            "/wait",
            get(move || async move {
                told.send("waits").await.unwrap();
                waiting.cancelled().await;
                "done"
            }),
        );
        let (address, stop, serving) = serving(router).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /wait HTTP/1.1\r\nHost: hs\r\n\r\n").await.unwrap();
        timeout(DEADLINE, heard.recv()).await.unwrap();
        stop.cancel();
        serving.await.unwrap();
        stopping.cancel();
        let mut answer = String::new();
        timeout(DEADLINE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.ends_with("done"), "{answer}");
    }
}
