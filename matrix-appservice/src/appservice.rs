//! An application service: the parts wired together.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use axum::serve::ListenerExt as _;
use ruma::{
    OwnedServerName, OwnedUserId, RoomAliasId, UserId, api::client::appservice::request_ping,
    events::room::message::RoomMessageEventContent,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod builder;

pub use self::builder::{AppserviceBuilder, BuildError};
use crate::{
    client::{Client, ClientError, Identity},
    inbox::{Inbox, InboxConfig, RejectHook, Rejected},
    intent::Intents,
    metrics::Metrics,
    outbox::Outbox,
    registration::Registration,
    service::{
        self, AppserviceHandler, DeviceChanges, Ephemeral, EventContext, Outcome, QueryReply, RoomEvent,
        ThirdParty, ToDevice,
    },
    store::{Store, StoreError},
};

/// How long a stopping service waits for attempts that have begun.
const DRAIN: Duration = Duration::from_secs(10);

/// An application service that is ready to [run](Self::run). Cheap to clone; clones share everything.
///
/// What it offers can be used before it runs: a handler is made with the [`Intents`] that it acts through.
#[derive(Clone)]
pub struct Appservice {
    registration: Arc<Registration>,
    intents: Intents,
    store: Store,
    metrics: Metrics,
    outbox: Outbox,
    /// Ends the outbox.
    stop: CancellationToken,
    inbox: InboxConfig,
    body_limit: usize,
}

impl Appservice {
    /// Starts to build one.
    pub fn builder(registration: Registration) -> AppserviceBuilder {
        AppserviceBuilder::new(registration)
    }

    /// By what the homeserver knows it.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// For acting as one of its users.
    pub fn intents(&self) -> &Intents {
        &self.intents
    }

    /// Its way to the homeserver.
    pub fn client(&self) -> &Client {
        self.intents.client()
    }

    /// What outlives the process.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// For events that must arrive even if the process dies before they are sent. What an earlier
    /// process left in it is sent once the service [runs](Self::run).
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Asks the homeserver to call this service, which has to be running, and tells how long that took.
    ///
    /// # Errors
    /// If the homeserver cannot be reached, does not know this service, or could not reach it.
    pub async fn ping(&self) -> Result<Duration, ClientError> {
        let request = request_ping::v1::Request::new(self.registration.id.clone());
        Ok(self.client().send(request, &Identity::default()).await?.duration)
    }

    /// Serves the homeserver's requests until `shutdown`, then drains: nothing more is accepted, attempts that
    /// have begun may end, the rest stays in the store for the next start.
    ///
    /// # Errors
    /// If what an earlier process left cannot be read.
    pub async fn run(
        self,
        handler: impl AppserviceHandler,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), StoreError> {
        let handler: Arc<dyn AppserviceHandler> =
            Arc::new(Attentive { inner: handler, intents: self.intents.clone() });
        let inbox = Inbox::open(
            self.store.clone(),
            self.inbox.clone(),
            Arc::clone(&handler),
            self.metrics.clone(),
            notice(self.intents.clone()),
        )?;
        let shared = Arc::new(service::Shared {
            hs_token: self.registration.hs_token.clone(),
            handler,
            inbox: inbox.clone(),
            metrics: self.metrics.clone(),
            body_limit: self.body_limit,
            draining: false.into(),
        });
        let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
        tracing::info!(%address, id = %self.registration.id, "serving the homeserver on {address}");
        self.outbox.resume()?;
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let served = CancellationToken::new();
        let server = axum::serve(listener, service::router(Arc::clone(&shared)))
            .with_graceful_shutdown(served.clone().cancelled_owned());
        let mut server = tokio::spawn(async move { server.await });
        shutdown.cancelled().await;
        tracing::info!("shutting down");
        shared.draining.store(true, Ordering::Relaxed);
        served.cancel();
        inbox.stop(DRAIN).await;
        self.stop.cancel();
        if tokio::time::timeout(DRAIN, self.outbox.stopped()).await.is_err() {
            tracing::warn!("the homeserver did not answer in time; what was being sent is sent again");
        }
        if tokio::time::timeout(DRAIN, &mut server).await.is_err() {
            server.abort();
        }
        Ok(())
    }
}

impl fmt::Debug for Appservice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appservice").field("registration", &self.registration).finish_non_exhaustive()
    }
}

/// Tells the room, as the bot, that an event was given up.
fn notice(intents: Intents) -> RejectHook {
    Arc::new(move |Rejected { room_id, event_id, reason }| {
        let bot = intents.bot();
        tokio::spawn(async move {
            let text = format!("A message could not be delivered: {reason}");
            let content = RoomMessageEventContent::notice_plain(text);
            let key = format!("rejected {event_id}");
            if let Err(error) = bot.message(&room_id, &content).key(key).await {
                tracing::warn!(%room_id, %event_id, %error, "could not tell the room of a dead letter");
            }
        });
    })
}

/// Keeps what is remembered of memberships true before the handler acts on it.
struct Attentive<H> {
    inner: H,
    intents: Intents,
}

#[async_trait]
impl<H: AppserviceHandler> AppserviceHandler for Attentive<H> {
    async fn event(&self, cx: &EventContext, event: RoomEvent) -> Outcome {
        #[derive(serde::Deserialize)]
        struct Member {
            membership: String,
        }
        if event.event_type == "m.room.member"
            && let Some(user) = event.state_key.as_deref().and_then(|key| <&UserId>::try_from(key).ok())
            && let Ok(Member { membership }) = event.content()
        {
            self.intents.member_changed(&event.room_id, user, membership == "join");
        }
        self.inner.event(cx, event).await
    }

    async fn ephemeral(&self, ephemeral: Ephemeral) {
        self.inner.ephemeral(ephemeral).await;
    }

    async fn to_device(&self, cx: &EventContext, message: ToDevice) -> Outcome {
        self.inner.to_device(cx, message).await
    }

    async fn devices(&self, changes: DeviceChanges) {
        self.inner.devices(changes).await;
    }

    async fn query_user(&self, user_id: &UserId) -> QueryReply {
        self.inner.query_user(user_id).await
    }

    async fn query_alias(&self, alias: &RoomAliasId) -> QueryReply {
        self.inner.query_alias(alias).await
    }

    fn third_party(&self) -> Option<&dyn ThirdParty> {
        self.inner.third_party()
    }

    fn records_attempts(&self) -> bool {
        self.inner.records_attempts()
    }
}

/// The user that the bot is.
fn bot_id(registration: &Registration, server_name: &OwnedServerName) -> Option<OwnedUserId> {
    UserId::parse_with_server_name(registration.sender_localpart.as_str(), server_name).ok()
}
