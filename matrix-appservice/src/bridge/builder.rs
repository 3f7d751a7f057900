//! A bridge from its parts, and its life.

use std::{fmt, path::PathBuf, sync::Arc};

use parking_lot::RwLock;
use ruma::ServerName;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Network, NetworkError,
    command::Commands,
    core::Core,
    erased::{AnyNetwork, Erased},
    ghost::Ghosts,
    handler::Handler,
    journal::Journal,
    login_set::Logins,
    metrics::Metrics,
    portal::Portals,
};
use crate::{
    appservice::{Appservice, AppserviceBuilder, BuildError},
    client::{ClientError, RetryPolicy},
    registration::{NamespaceSet, Registration},
    store::{Store, StoreError},
};

/// A bridge that is ready to [run](Self::run).
///
/// # Example
/// ```no_run
/// # async fn run<N: matrix_appservice::bridge::Network>(
/// #     registration: matrix_appservice::Registration, config: N::Config,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use matrix_appservice::bridge::Bridge;
/// use tokio_util::sync::CancellationToken;
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:9998").await?;
/// let bridge = Bridge::<N>::builder(registration, config)
///     .homeserver("http://127.0.0.1:8008", "example.org".try_into()?)
///     .store_path("bridge.db")
///     .build()?;
/// bridge.run(listener, CancellationToken::new()).await?;
/// # Ok(())
/// # }
/// ```
pub struct Bridge<N: Network> {
    appservice: Appservice,
    core: Arc<Core>,
    config: N::Config,
}

/// Builds a [`Bridge`].
#[must_use]
pub struct BridgeBuilder<N: Network> {
    appservice: AppserviceBuilder,
    registration: Registration,
    config: N::Config,
}

/// Why a bridge could not be built, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The parts do not fit together.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The network could not be started.
    #[error("the network cannot be started: {0}")]
    Network(#[from] NetworkError),
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The homeserver refuses the bridge.
    #[error("the homeserver refuses the bridge")]
    Homeserver(#[source] ClientError),
}

impl<N: Network> Bridge<N> {
    /// A bridge between a homeserver, which knows it by `registration`, and the network that
    /// `config` describes.
    pub fn builder(registration: Registration, config: N::Config) -> BridgeBuilder<N> {
        BridgeBuilder { appservice: Appservice::builder(registration.clone()), registration, config }
    }

    /// The low layer, for what the bridge does not cover.
    pub fn appservice(&self) -> &Appservice {
        &self.appservice
    }

    /// What is counted. Others may be added.
    pub fn metrics(&self) -> &crate::Metrics {
        self.appservice.metrics()
    }

    /// What the network and its commands are given.
    pub fn context(&self) -> super::BridgeContext {
        self.core.context()
    }

    /// Runs until `shutdown`, then stops in order: nothing more is accepted, what has begun may end, logins
    /// disconnect, and everything else stays in the store for the next start.
    ///
    /// The homeserver is served from the beginning; logins open while it is. The bridge does not need
    /// the homeserver to be up: what it has to say waits.
    ///
    /// # Errors
    /// If the network cannot be started, or the store cannot be read.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) -> Result<(), BridgeError> {
        let core = self.core;
        let network = N::start(core.context(), self.config).await?;
        let network: Arc<dyn AnyNetwork> = Arc::new(Erased { network, info: core.info.clone() });
        let commands = Commands::new(network.commands(), core.info.login_usage.as_deref());
        *core.commands.write() = commands;
        *core.network.write() = Some(Arc::clone(&network));
        core.load_open_sends()?;
        core.store_own_logins().await?;
        let left = core.replay_journal()?;
        if left > 0 {
            tracing::info!(left, "going on with what the network did before the restart");
        }
        let opening = tokio::spawn({
            let core = Arc::clone(&core);
            async move {
                let (opened, ()) = tokio::join!(core.open_logins(), core.introduce_bot());
                if let Err(error) = opened {
                    tracing::error!(%error, "could not open the logins");
                }
            }
        });
        let stop = core.shutdown.clone();
        let served = self.appservice.run(Handler::new(Arc::clone(&core)), listener, shutdown).await;
        stop.cancel();
        opening.abort();
        core.close_logins().await;
        network.stop().await;
        core.tasks.close();
        if tokio::time::timeout(PATIENCE, core.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks of the bridge did not end in time");
        }
        // They hold the core in turn; without this the store would stay open for ever.
        drop(core.network.write().take());
        *core.commands.write() = Commands::default();
        served?;
        Ok(())
    }
}

/// How long a stopping bridge waits for tasks that have begun something.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

impl<N: Network> fmt::Debug for Bridge<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bridge").field("appservice", &self.appservice).finish_non_exhaustive()
    }
}

impl<N: Network> fmt::Debug for BridgeBuilder<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeBuilder").field("appservice", &self.appservice).finish_non_exhaustive()
    }
}

impl<N: Network> BridgeBuilder<N> {
    /// Where the homeserver is, and what it is called: what stands behind the colon in user IDs.
    pub fn homeserver(self, url: impl Into<String>, server_name: &ServerName) -> Self {
        self.appservice(|appservice| appservice.homeserver(url).server_name(server_name))
    }

    /// The directory for what outlives the process. Without one nothing does.
    pub fn store_path(self, path: impl Into<PathBuf>) -> Self {
        self.appservice(|appservice| appservice.store_path(path))
    }

    /// An open store.
    pub fn store(self, store: Store) -> Self {
        self.appservice(|appservice| appservice.store(store))
    }

    /// How requests to the homeserver are repeated.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.appservice(|appservice| appservice.retry(policy))
    }

    /// Any other setting of the low layer.
    pub fn appservice(self, set: impl FnOnce(AppserviceBuilder) -> AppserviceBuilder) -> Self {
        Self { appservice: set(self.appservice), ..self }
    }

    /// Puts the parts together. Nothing is sent or served yet.
    ///
    /// # Errors
    /// If a part is missing or cannot be used.
    pub fn build(self) -> Result<Bridge<N>, BridgeError> {
        let appservice = self.appservice.build()?;
        let intents = appservice.intents().clone();
        let metrics = Metrics::default();
        metrics.register(appservice.metrics());
        let core = Arc::new(Core {
            info: N::describe(&self.config),
            store: appservice.store().clone(),
            namespaces: NamespaceSet::new(&self.registration.namespaces).map_err(BuildError::from)?,
            appservice_id: self.registration.id,
            server_name: intents.server_name().to_owned(),
            bot: intents.bot().user_id().to_owned(),
            intents,
            portals: Portals::default(),
            logins: Logins::default(),
            ghosts: Ghosts::default(),
            journal: Journal::default(),
            commands: RwLock::default(),
            metrics,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            network: RwLock::default(),
        });
        Ok(Bridge { appservice, core, config: self.config })
    }
}
