//! Building an [`Appservice`].

use std::{path::PathBuf, sync::Arc, time::Duration};

use ruma::{OwnedServerName, ServerName};
use tokio_util::sync::CancellationToken;

use super::{Appservice, bot_id};
use crate::{
    client::{Client, ClientError, RetryPolicy},
    inbox::InboxConfig,
    intent::Intents,
    metrics::Metrics,
    outbox::Outbox,
    registration::{NamespaceError, NamespaceSet, Registration},
    store::{Store, StoreError},
};

/// The largest transaction that is accepted unless another limit is set: homeservers send up to 100 events
/// of up to 64 KiB, and some ephemeral data.
const BODY_LIMIT: usize = 16 << 20;

/// Builds an [`Appservice`].
#[derive(Debug)]
#[must_use]
pub struct AppserviceBuilder {
    registration: Registration,
    homeserver: String,
    server_name: Option<OwnedServerName>,
    store: Option<Store>,
    path: Option<PathBuf>,
    retry: RetryPolicy,
    inbox: InboxConfig,
    body_limit: usize,
}

/// Why an [`Appservice`] could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The homeserver's name was not given.
    #[error("the homeserver's name is missing; set it with `server_name`")]
    ServerName,
    /// `sender_localpart` and the homeserver's name make no user ID.
    #[error("`sender_localpart` and the server name make no user ID")]
    Bot,
    /// A namespace is not usable.
    #[error("the registration has an unusable namespace")]
    Namespace(#[from] NamespaceError),
    /// The homeserver's address is not usable.
    #[error("the homeserver's address is not usable")]
    Homeserver(#[from] ClientError),
    /// The store cannot be opened.
    #[error("the store cannot be opened")]
    Store(#[from] StoreError),
}

impl AppserviceBuilder {
    pub(super) fn new(registration: Registration) -> Self {
        Self {
            registration,
            homeserver: "http://127.0.0.1:8008".to_owned(),
            server_name: None,
            store: None,
            path: None,
            retry: RetryPolicy::default(),
            inbox: InboxConfig::default(),
            body_limit: BODY_LIMIT,
        }
    }

    /// Where the homeserver is. `http://127.0.0.1:8008` if not given.
    pub fn homeserver(mut self, url: impl Into<String>) -> Self {
        self.homeserver = url.into();
        self
    }

    /// What the homeserver is called: what stands behind the colon in user IDs. Required.
    pub fn server_name(mut self, name: &ServerName) -> Self {
        self.server_name = Some(name.to_owned());
        self
    }

    /// Where to keep what outlives the process. A temporary store if neither this nor a path is given, and then
    /// nothing does.
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// The directory of the store, opened by [`build`](Self::build).
    pub fn store_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// How requests to the homeserver are repeated.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// The largest body that is accepted, in bytes; 16 MiB if not given. What is refused for its size is sent again
    /// and again: rather set it too high.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// How many rooms are handled at the same time; 64 if not given, at least 1.
    pub fn parallel_rooms(mut self, rooms: usize) -> Self {
        self.inbox.parallel_rooms = rooms.max(1);
        self
    }

    /// How many events may wait before transactions are answered with 503; 100,000 if not given.
    pub fn inbox_capacity(mut self, events: usize) -> Self {
        self.inbox.capacity = events;
        self
    }

    /// The pause after a first failed attempt, which doubles until the longest; 1 s and 5 min if not given.
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        (self.inbox.first_pause, self.inbox.longest_pause) = (first, longest);
        self
    }

    /// When an event that keeps failing is given up and kept as a dead letter; 7 days if not given.
    pub fn give_up_after(mut self, age: Duration) -> Self {
        self.inbox.give_up_after = age;
        self
    }

    /// Puts the parts together. Nothing is sent or served yet.
    ///
    /// # Errors
    /// See [`BuildError`].
    pub fn build(self) -> Result<Appservice, BuildError> {
        let server_name = self.server_name.ok_or(BuildError::ServerName)?;
        let bot = bot_id(&self.registration, &server_name).ok_or(BuildError::Bot)?;
        let namespaces = NamespaceSet::new(&self.registration.namespaces)?;
        let metrics = Metrics::default();
        let as_token = self.registration.as_token.clone();
        let client = Client::with(&self.homeserver, as_token, self.retry, metrics.clone())?;
        let store = match (self.store, self.path) {
            (Some(store), _) => store,
            (None, Some(path)) => Store::open(path)?,
            (None, None) => Store::temporary()?,
        };
        let intents = Intents::new(client, store.clone(), bot, namespaces);
        let stop = CancellationToken::new();
        let outbox = Outbox::open(intents.clone(), store.clone(), metrics.clone(), stop.clone())?;
        Ok(Appservice {
            registration: Arc::new(self.registration),
            intents,
            outbox,
            stop,
            store,
            metrics,
            inbox: self.inbox,
            body_limit: self.body_limit,
        })
    }
}
