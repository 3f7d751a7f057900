//! Where a login puts what it sees.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

use super::{LoginState, RemoteEvent, SendError};
use crate::network_id::{LoginId, RemoteMessageId, TxnKey};

/// Where a login puts what it sees. Cheap to clone.
///
/// Order: within a portal, events reach Matrix in the order in which [`push`](Self::push) was *called*.
/// Waiting for the returned future is only for knowing that the event is safe, so a login may have
/// many pushes in flight and share their flush.
#[derive(Clone)]
pub struct RemoteSink {
    login: LoginId,
    port: Arc<dyn SinkPort>,
}

impl RemoteSink {
    pub(crate) fn new(login: LoginId, port: Arc<dyn SinkPort>) -> Self {
        Self { login, port }
    }

    /// The login that this sink belongs to.
    pub fn login(&self) -> &LoginId {
        &self.login
    }

    /// Hands over what happened. When the future completes with `Ok`, the event is on disk and
    /// will reach Matrix once, whatever happens to the process. Under load it completes late: a login that
    /// waits for it before it reads on holds the network back instead of filling the memory.
    ///
    /// Dropping the future loses nothing but the knowledge. Typing and receipts are not journalled; for
    /// them it completes at once.
    pub fn push(&self, event: RemoteEvent) -> Journalled {
        self.port.push(&self.login, event)
    }

    /// The network has what the framework sent under `key`, as `id`. Once per message of the
    /// network, if one Matrix message became several. This is not a new message.
    pub fn confirm(&self, key: &TxnKey, id: impl Into<RemoteMessageId>) -> Journalled {
        self.port.confirm(&self.login, key, vec![id.into()])
    }

    /// The network refused what the framework sent under `key`: its sender is told.
    pub fn fail(&self, key: &TxnKey, error: SendError) -> Journalled {
        self.port.fail(&self.login, key, error)
    }

    /// The state of the connection changed.
    pub fn state(&self, state: LoginState) {
        self.port.state(&self.login, state);
    }
}

impl fmt::Debug for RemoteSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSink").field("login", &self.login).finish_non_exhaustive()
    }
}

/// The other end of a [`RemoteSink`].
pub(crate) trait SinkPort: Send + Sync {
    fn push(&self, login: &LoginId, event: RemoteEvent) -> Journalled;
    fn confirm(&self, login: &LoginId, key: &TxnKey, ids: Vec<RemoteMessageId>) -> Journalled;
    fn fail(&self, login: &LoginId, key: &TxnKey, error: SendError) -> Journalled;
    fn state(&self, login: &LoginId, state: LoginState);
}

/// Why a push was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The bridge is stopping. What was not accepted must come from the network again.
    #[error("the bridge is stopping")]
    Stopping,
    /// The event could not be written to disk.
    #[error("the event could not be stored")]
    Storage,
}

/// Completes when a push is safe on disk.
#[must_use = "a push is only known to be safe once this completes; drop it on purpose with `drop`"]
#[derive(Debug)]
pub struct Journalled(State);

#[derive(Debug)]
enum State {
    Now(Result<(), SinkError>),
    Later(oneshot::Receiver<Result<(), SinkError>>),
}

impl Journalled {
    /// Known already.
    pub(crate) fn now(result: Result<(), SinkError>) -> Self {
        Self(State::Now(result))
    }

    /// Known when the sender says so; a dropped sender means that the bridge stops.
    pub(crate) fn later() -> (oneshot::Sender<Result<(), SinkError>>, Self) {
        let (done, wait) = oneshot::channel();
        (done, Self(State::Later(wait)))
    }
}

impl Future for Journalled {
    type Output = Result<(), SinkError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Now(result) => Poll::Ready(*result),
            State::Later(wait) => {
                Pin::new(wait).poll(cx).map(|result| result.unwrap_or(Err(SinkError::Stopping)))
            }
        }
    }
}
