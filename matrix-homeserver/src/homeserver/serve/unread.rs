//! What a handler leaves of a request's body.
//!
//! A client that is still sending when the connection closes never sees the answer, which is mostly the reason why
//! nobody read its body: a wrong token, a wrong path, too many bytes.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use parking_lot::Mutex;

/// How many bytes are read to no purpose before the connection is closed after all.
const DISCARDED: usize = 8 << 20;
/// How long that may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The body that a handler gets; the connection keeps a hand on it.
#[derive(Debug, Clone)]
pub(super) struct SharedBody(Arc<Mutex<Reading>>);

#[derive(Debug)]
struct Reading {
    body: Incoming,
    ended: bool,
}

impl SharedBody {
    pub(super) fn new(body: Incoming) -> Self {
        Self(Arc::new(Mutex::new(Reading { ended: body.is_end_stream(), body })))
    }

    /// Waits until the handler has read everything. To be polled by the task that polls the handler, which is woken
    /// whenever the body can be read on.
    pub(super) async fn ended(&self) {
        poll_fn(|_| if self.is_end_stream() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Reads what the handler has not read.
    pub(super) async fn discard(mut self) {
        if self.is_end_stream() {
            return;
        }
        let reading = async {
            let mut seen = 0;
            while let Some(Ok(frame)) = self.frame().await {
                seen += frame.data_ref().map_or(0, Bytes::len);
                if seen > DISCARDED {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(TIMEOUT, reading).await;
    }
}

impl Body for SharedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut reading = self.0.lock();
        let frame = ready!(Pin::new(&mut reading.body).poll_frame(context));
        reading.ended = !matches!(frame, Some(Ok(_))) || reading.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().ended
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().body.size_hint()
    }
}
