//! What a handler leaves of a request's body.
//!
//! A client that is still sending when the connection closes never sees the answer, which is mostly the reason why
//! nobody read its body: a wrong token, a wrong path, too many bytes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
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
pub(super) struct SharedBody(Arc<Mutex<Incoming>>);

impl SharedBody {
    pub(super) fn new(body: Incoming) -> Self {
        Self(Arc::new(Mutex::new(body)))
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
        Pin::new(&mut *self.0.lock()).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().size_hint()
    }
}
