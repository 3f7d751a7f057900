//! A request that waits outside of the HTTP connection.
//!
//! The HTTP implementation holds two buffers of 8 KiB for a connection, and there is no other way to have them back than
//! to give it up. So that is what happens when a request has to wait; when its answer is there, HTTP begins anew on the
//! same stream, and reads again as much of the request's head as the answer depends on. Nothing is lost by that: HTTP
//! reads a request when everything before it is answered and written.

use std::{convert::Infallible, mem, pin::Pin};

use axum::response::Response;
use http::{Method, Request, Version, header};
use hyper::body::{Body, Incoming};

/// An answer to come.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// What the next request that is read on a connection is.
pub(super) enum Turn {
    /// A new one.
    Next,
    /// There is none: the last one waits.
    Waits(Waiting),
    /// The one that has waited, with its answer.
    Answered(Response),
}

impl Turn {
    pub(super) fn take(&mut self) -> Self {
        mem::replace(self, Self::Next)
    }
}

/// A request that waits.
pub(super) struct Waiting {
    pub(super) answer: Answer,
    /// Its head, as far as the form of the answer depends on it.
    pub(super) head: Vec<u8>,
}

/// The head to read again of a request that may wait: one of those that clients make to be told of what happens.
pub(super) fn head(request: &Request<Incoming>) -> Option<Vec<u8>> {
    let waits = request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && request.body().is_end_stream()
        && !request.headers().contains_key(header::EXPECT);
    waits.then(|| {
        let mut head = b"GET / HTTP/1.1\r\n".to_vec();
        for value in request.headers().get_all(header::CONNECTION) {
            head.extend_from_slice(b"connection: ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    })
}
