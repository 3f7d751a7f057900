//! How a server is put together and started.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use matrix_appservice::{Registration, Secret};
use ruma::{RoomVersionId, ServerName};
use tokio::net::TcpListener;

use super::{Config, Homeserver, Services};
use crate::{
    appservice::RegistrationRefused,
    login_stage::{LoginFlow, LoginStage},
    mail::Mailer,
    oauth2::OAuth2Provider,
    room::Rooms,
    store::{Durability, Store, StoreError},
};

mod accounts;

/// How long to wait for a database that somebody else has open.
const UNLOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// The wait between two attempts to open it.
const UNLOCK_PAUSE: Duration = Duration::from_millis(20);

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The server name is not one.
    #[error("{0:?} is not a server name; use a host name, with a port if it needs one, like example.org")]
    ServerName(String),
    /// The room version is not supported.
    #[error("{0:?} is not a room version of this server; use one of 1 to 12")]
    RoomVersion(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error("cannot use the data directory")]
    Store(#[source] Box<dyn Error + Send + Sync>),
    /// An application service cannot be served.
    #[error("cannot serve an application service")]
    Appservice(#[from] RegistrationRefused),
    /// A stage is offered without what it needs.
    #[error("nobody can pass {0}: it needs a mailer or a provider")]
    LoginStage(LoginStage),
    /// The public URL is not one.
    #[error("{0:?} is not where people reach a server; use a URL like https://matrix.example.org")]
    PublicUrl(String),
    /// A user that the server needs could not be made.
    #[error("cannot make the user of an application service")]
    Sender,
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// What a server is to be like; see [`Homeserver::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct HomeserverBuilder {
    server_name: String,
    room_version: String,
    listen: String,
    data_dir: Option<PathBuf>,
    public_url: Option<String>,
    registrations: Vec<Registration>,
    /// Where other servers are, by their names.
    peers: Vec<(String, String)>,
    adjust: Config,
}

impl HomeserverBuilder {
    pub(super) fn new(server_name: &str) -> Self {
        let placeholder = ServerName::parse("localhost").expect("localhost is a server name");
        let mut adjust = Config::new(placeholder);
        adjust.open_registration = true;
        Self {
            server_name: server_name.to_owned(),
            room_version: adjust.default_room_version.to_string(),
            listen: "127.0.0.1:0".to_owned(),
            data_dir: None,
            public_url: None,
            registrations: Vec::new(),
            peers: Vec::new(),
            adjust,
        }
    }

    /// The address to listen on, `HOST:PORT`. Default `127.0.0.1:0`: any free port.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// Where data stays between runs. Every answer is then given only after its write is flushed. Without it,
    /// everything is gone when the server stops.
    pub fn data_dir(mut self, path: impl AsRef<Path>) -> Self {
        self.data_dir = Some(path.as_ref().to_owned());
        self
    }

    /// An application service to serve. May be called several times.
    pub fn registration(mut self, registration: Registration) -> Self {
        self.registrations.push(registration);
        self
    }

    /// Whether anybody may register by `POST /register`. Default in process: yes.
    pub fn open_registration(mut self, open: bool) -> Self {
        self.adjust.open_registration = open;
        self
    }

    /// The ways to log in. Default: a password alone. Today's paths can only ask for that, so they refuse everybody where
    /// it is not among the flows.
    pub fn login_flows(mut self, flows: impl IntoIterator<Item = LoginFlow>) -> Self {
        self.adjust.login.login_flows = flows.into_iter().collect();
        self
    }

    /// The ways to register, where [anybody may](Self::open_registration). Default: a password alone, which is all that
    /// today's path can ask for.
    pub fn registration_flows(mut self, flows: impl IntoIterator<Item = LoginFlow>) -> Self {
        self.adjust.login.registration_flows = flows.into_iter().collect();
        self
    }

    /// Who carries mail to people, for flows that show whose an address is.
    pub fn mailer(mut self, mailer: impl Mailer) -> Self {
        self.adjust.login.mailer = Some(Arc::new(mailer));
        self
    }

    /// A provider that vouches for people. May be called several times; a provider with the same ID takes the place of the
    /// one before.
    pub fn oauth2_provider(mut self, provider: impl OAuth2Provider) -> Self {
        self.adjust.login.providers.retain(|other| other.id() != provider.id());
        self.adjust.login.providers.push(Arc::new(provider));
        self
    }

    /// Where people reach the server, when that is not where it listens: `https://matrix.example.org`. It stands in mails,
    /// and providers send people back there.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// The secret for registrations at `/_synapse/admin/v1/register`. Default: none, no such registrations.
    pub fn registration_shared_secret(mut self, secret: &str) -> Self {
        self.adjust.registration_shared_secret = Some(Secret::new(secret));
        self
    }

    /// The version of rooms that are made without naming one. Default: 12.
    pub fn default_room_version(mut self, version: impl Into<String>) -> Self {
        self.room_version = version.into();
        self
    }

    /// Whether requests are limited by rate. Default in process: no.
    pub fn rate_limits(mut self, limited: bool) -> Self {
        self.adjust.rate_limits = limited;
        self
    }

    /// Whether what only the drafts of 2014 and 2015 know, and today's specification has no room for, is served too:
    /// bare paths, application services that register themselves by `POST /register`, that act as a real user by a
    /// `user_token`, and that say where a link into their network leads. Default: no.
    pub fn drafts(mut self, served: bool) -> Self {
        self.adjust.drafts = served;
        self
    }

    /// Whether application services may answer queries with what is to be made: a profile for a user, events and state
    /// for a room, which then has the ID that its alias has with `!` in the place of `#`, and version 11, since later
    /// versions do not leave the choice. Default: no.
    pub fn draft_provisioning(mut self, served: bool) -> Self {
        self.adjust.draft_provisioning = served;
        self
    }

    /// Whether the draft of a client-server API v2 (2015) is served, under `/_matrix/client/v2_alpha`: sessions and action
    /// IDs, capabilities by hash, `updates` and `relates_to`, and what else it has that today's specification has not.
    /// Default: no.
    pub fn v2_draft(mut self, served: bool) -> Self {
        self.adjust.v2_draft = served;
        self
    }

    /// How long a session of the v2 draft lasts without a request. Default: 1 min.
    pub fn v2_session_timeout(mut self, timeout: Duration) -> Self {
        self.adjust.v2_session_timeout = timeout;
        self
    }

    /// The `as_token`s that may be used for the draft's `POST /register`. Default: any.
    pub fn draft_tokens<'t>(mut self, tokens: impl IntoIterator<Item = &'t str>) -> Self {
        self.adjust.draft_tokens = tokens.into_iter().map(Secret::new).collect();
        self
    }

    /// Whether the [fault dial](crate::fault) is served over HTTP, at `/_fault`: `POST` turns it (the body is a
    /// [`FaultRule`](crate::fault::FaultRule)), `GET` shows it, `DELETE` turns it back, `POST /_fault/restart` restarts
    /// the server. Nothing protects it. Default: no.
    pub fn fault_control(mut self, served: bool) -> Self {
        self.adjust.fault_control = served;
        self
    }

    /// Whether what the server counts is served at `/metrics`, for Prometheus: requests by route and status with their
    /// latency, events, commits, requests that wait, the queues of the application services, rooms, users, memory.
    /// Nothing protects it. Default: no.
    pub fn metrics(mut self, served: bool) -> Self {
        self.adjust.metrics = served;
        self
    }

    /// The wait after the first transaction that failed; every further failure doubles it, up to 512 s. Default: 1 s.
    pub fn appservice_backoff(mut self, first: Duration) -> Self {
        self.adjust.appservice_backoff = first;
        self
    }

    /// How long application services have to answer a query for a user or an alias, all attempts together.
    /// Default: 20 s.
    pub fn appservice_query_timeout(mut self, timeout: Duration) -> Self {
        self.adjust.appservice_query_timeout = timeout;
        self
    }

    /// How long the drafts' paths are used for an application service that did not serve today's, before those are tried
    /// again. Default: 5 min.
    pub fn appservice_legacy_retry(mut self, after: Duration) -> Self {
        self.adjust.appservice_legacy_retry = after;
        self
    }

    /// How long after the end of their last `/sync` or `/events` users count as offline. Default: 30 s.
    pub fn presence_timeout(mut self, timeout: Duration) -> Self {
        self.adjust.presence_timeout = timeout;
        self
    }

    /// The largest JSON body that is accepted, in bytes. Default: 1 MiB.
    pub fn max_request_size(mut self, bytes: usize) -> Self {
        self.adjust.max_request_size = bytes;
        self
    }

    /// The largest upload that is accepted, in bytes. Default: 50 MiB.
    pub fn max_upload_size(mut self, bytes: usize) -> Self {
        self.adjust.max_upload_size = bytes;
        self
    }

    /// Starts the server. When this returns, it accepts requests.
    ///
    /// # Errors
    /// [`StartError`] names what is wrong with the settings or the machine.
    pub async fn start(self) -> Result<Homeserver, StartError> {
        let mut config = self.adjust.clone();
        config.server_name = ServerName::parse(&*self.server_name)
            .map_err(|_| StartError::ServerName(self.server_name.clone()))?;
        for (name, url) in &self.peers {
            let name = ServerName::parse(name).map_err(|_| StartError::ServerName(name.clone()))?;
            config.peers.insert(name, url.clone());
        }
        config.default_room_version = room_version(&self.room_version)?;
        if let Some(stage) = config.login.impossible() {
            return Err(StartError::LoginStage(stage));
        }
        let public_url = self.public_url.as_deref().map(public_url).transpose()?;
        let listening = TcpListener::bind(&self.listen).await;
        let listen = |source| StartError::Listen { address: self.listen.clone(), source };
        let listener = listening.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let store = match &self.data_dir {
            Some(path) => open_store(path).await?,
            None => Store::temporary()?,
        };
        let url = format!("http://{address}");
        let base_url = public_url.unwrap_or_else(|| url.clone());
        let services = Services::new(config, store, self.data_dir.as_deref(), base_url)?;
        let services = Arc::new(services);
        // Before the first request: what is accepted without an application service never reaches it.
        if services.config.drafts {
            services.add_drafted_appservices().await?;
        }
        for registration in &self.registrations {
            if let Err(error) = services.add_appservice(registration.clone()).await {
                services.stop();
                return Err(error);
            }
        }
        services.push.start();
        Ok(Homeserver::serve(services, listener, url, self))
    }
}

/// Opens the database. One that was closed a moment ago may still be locked: the engine lets go of it in the background.
async fn open_store(path: &Path) -> Result<Store, StoreError> {
    let until = Instant::now() + UNLOCK_TIMEOUT;
    loop {
        match Store::open(path, Durability::Flushed) {
            Err(error) if error.is_locked() && Instant::now() < until => {
                tokio::time::sleep(UNLOCK_PAUSE).await;
            }
            opened => return opened,
        }
    }
}

/// A URL to which paths can be added.
fn public_url(text: &str) -> Result<String, StartError> {
    match url::Url::parse(text) {
        Ok(url)
            if matches!(url.scheme(), "http" | "https")
                && url.query().is_none()
                && url.fragment().is_none() =>
        {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(StartError::PublicUrl(text.to_owned())),
    }
}

fn room_version(text: &str) -> Result<RoomVersionId, StartError> {
    match RoomVersionId::try_from(text) {
        Ok(version) if Rooms::supported_versions().contains(&version) => Ok(version),
        _ => Err(StartError::RoomVersion(text.to_owned())),
    }
}
