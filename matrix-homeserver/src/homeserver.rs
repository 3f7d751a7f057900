//! The server as a whole: its settings, its services, how it starts and stops.

use std::{collections::BTreeMap, error::Error, fmt, path::Path, sync::Arc, time::Duration};

use matrix_appservice::{Registration, Secret};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedServerName, RoomVersionId, ServerName, UserId};
use serde_json::json;
use tokio::{net::TcpListener, sync::Notify};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::{self, ApiError, ApiResult, Legacy, Requester, UiaSessions, register::Nonces},
    appservice::{AppserviceDevices, AppserviceObserver, Appservices, Queries, Queues, Sources},
    directory::Directory,
    event::ServerKey,
    fault::FaultDial,
    identity_server::IdentityServers,
    login_stage::LoginConfig,
    media::Media,
    notary::Notary,
    push::{Bells, Push, PushObserver, PushParts},
    room::{Rooms, RoomsConfig},
    store::{Store, StoreError, Tree, WriteSet, key},
    sync,
    testing::TestUser,
    user::{
        DeviceListTracker, DeviceObserver, Extras, Hasher, NewAccount, NewSession, Report, TokenHash,
        UnreadCounter, UserError, Users,
    },
    v2::V2,
};

mod accounts;
mod actions;
mod builder;
mod guests;
mod housekeeping;
mod limits;
mod metrics;
mod observers;
mod presence;
mod profiles;
mod provision;
mod serve;
mod succession;
mod summaries;

use self::observers::Observers;
pub(crate) use self::{
    accounts::Support,
    limits::{Limit, Limits},
    metrics::Metrics,
};
pub use self::{
    accounts::{SupportContact, Terms, TurnServer},
    builder::{HomeserverBuilder, StartError},
};

/// What an operator or a test chooses.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) server_name: OwnedServerName,
    pub(crate) default_room_version: RoomVersionId,
    /// Anybody may register, by the dummy stage.
    pub(crate) open_registration: bool,
    /// The ways to log in and to register.
    pub(crate) login: LoginConfig,
    /// Whoever knows it may register anybody.
    pub(crate) registration_shared_secret: Option<Secret>,
    /// Tokens of which one is needed to register, if there are any.
    pub(crate) registration_tokens: Vec<Secret>,
    /// What has to be agreed to for a registration.
    pub(crate) terms: Vec<Terms>,
    /// Anybody may come in as a guest.
    pub(crate) guests: bool,
    /// How long access tokens are good that can be refreshed.
    pub(crate) access_token_lifetime: Duration,
    /// Whom to turn to.
    pub(crate) support: Support,
    pub(crate) turn_server: Option<TurnServer>,
    /// Where other servers are found.
    pub(crate) peers: BTreeMap<OwnedServerName, String>,
    /// The identity servers that are trusted, and where they are.
    pub(crate) identity_servers: BTreeMap<String, String>,
    /// Pushers may name gateways by `http`.
    pub(crate) plain_push_gateways: bool,
    /// The wait after the first notification that a push gateway did not take.
    pub(crate) push_backoff: Duration,
    pub(crate) rate_limits: bool,
    /// Serve what only the drafts of 2014 and 2015 know.
    pub(crate) drafts: bool,
    /// Make users and rooms from the answers of application services to queries, as a draft has it.
    pub(crate) draft_provisioning: bool,
    /// Serve the draft of a client-server API v2.
    pub(crate) v2_draft: bool,
    /// How long a session of that draft lasts without a request.
    pub(crate) v2_session_timeout: Duration,
    /// Tokens with which an application service may register itself by the draft's `POST /register`; any, if empty.
    pub(crate) draft_tokens: Vec<Secret>,
    /// Serve the fault dial over HTTP, at `/_fault`.
    pub(crate) fault_control: bool,
    /// Serve what the server counts, at `/metrics`.
    pub(crate) metrics: bool,
    /// The largest JSON body, in bytes.
    pub(crate) max_request_size: usize,
    /// The largest upload, in bytes.
    pub(crate) max_upload_size: usize,
    /// The wait after the first failed transaction; every further failure doubles it.
    pub(crate) appservice_backoff: Duration,
    /// How long an application service may take to answer one query.
    pub(crate) appservice_query_timeout: Duration,
    /// How long after the last sign of them users count as offline.
    pub(crate) presence_timeout: Duration,
    /// How long the drafts' paths are used, where an application service served nothing else, before today's are tried
    /// again.
    pub(crate) appservice_legacy_retry: Duration,
}

impl Config {
    pub(crate) fn new(server_name: OwnedServerName) -> Self {
        Self {
            server_name,
            default_room_version: RoomVersionId::V12,
            open_registration: false,
            login: LoginConfig::default(),
            registration_shared_secret: None,
            registration_tokens: Vec::new(),
            terms: Vec::new(),
            guests: false,
            access_token_lifetime: Duration::from_mins(5),
            support: Support::default(),
            turn_server: None,
            peers: BTreeMap::new(),
            identity_servers: BTreeMap::new(),
            plain_push_gateways: false,
            push_backoff: Duration::from_secs(1),
            rate_limits: false,
            drafts: false,
            draft_provisioning: false,
            v2_draft: false,
            v2_session_timeout: Duration::from_mins(1),
            draft_tokens: Vec::new(),
            fault_control: false,
            metrics: false,
            max_request_size: 1 << 20,
            max_upload_size: 50 << 20,
            appservice_backoff: Duration::from_secs(1),
            appservice_query_timeout: Duration::from_secs(20),
            presence_timeout: Duration::from_secs(30),
            appservice_legacy_retry: Duration::from_mins(5),
        }
    }
}

/// Everything that handlers reach, made once per server.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) config: Config,
    pub(crate) users: Arc<Users>,
    pub(crate) rooms: Rooms,
    pub(crate) sync: sync::Sync,
    pub(crate) unread: Arc<UnreadCounter>,
    pub(crate) device_lists: Arc<DeviceListTracker>,
    pub(crate) push: Push,
    pub(crate) notary: Notary,
    pub(crate) identity_servers: IdentityServers,
    pub(crate) appservices: Arc<Appservices>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) media: Media,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) nonces: Nonces,
    pub(crate) legacy: Legacy,
    pub(crate) uia: UiaSessions,
    pub(crate) faults: FaultDial,
    /// Rung when the server is to be stopped and started again.
    pub(crate) restart: Notify,
    /// One room at a time is made from an answer.
    provisioning: tokio::sync::Mutex<()>,
    pub(crate) v2: V2,
    base_url: String,
    shutdown: CancellationToken,
    /// Every task of the server.
    tracker: TaskTracker,
}

impl Services {
    fn new(
        config: Config,
        store: Store,
        data_dir: Option<&Path>,
        base_url: String,
    ) -> Result<Self, StoreError> {
        let hasher = if data_dir.is_some() { Hasher::strong() } else { Hasher::quick() };
        let media = Media::new(store.clone(), data_dir.map(|data_dir| data_dir.join("media")));
        let faults = FaultDial::default();
        let queries = Queries::new(config.appservice_query_timeout);
        let queues = Queues::new(store.clone());
        let legacy_for = config.appservice_legacy_retry;
        let appservices =
            Arc::new(Appservices::new(&config.server_name, queues, queries, legacy_for, faults.clone()));
        let directory = Arc::new(Directory::open(store.clone())?);
        let observer = AppserviceObserver { appservices: appservices.clone(), directory: directory.clone() };
        let v2 = V2::new(store.clone(), config.v2_session_timeout);
        let devices: Arc<dyn DeviceObserver> = Arc::new(AppserviceDevices(appservices.clone()));
        let users = Arc::new(Users::open(store.clone(), config.server_name.clone(), hasher, &devices)?);
        let bells = Arc::new(Bells::default());
        let observers = Observers(vec![Arc::new(observer), Arc::new(PushObserver(bells.clone()))]);
        let rooms_config = RoomsConfig {
            key: server_key(&store, &config.server_name)?,
            default_version: config.default_room_version.clone(),
            clock: Arc::new(MilliSecondsSinceUnixEpoch::now),
            policies: Arc::new(Arc::downgrade(&users)),
        };
        let rooms = Rooms::new(store, rooms_config, Arc::new(observers))?;
        wake_for_typing(&users, &rooms, &appservices, &directory);
        wake_for_keys(&users, &rooms, &appservices);
        let device_lists = Arc::new(DeviceListTracker { users: users.clone(), rooms: rooms.clone() });
        let unread = Arc::new(UnreadCounter::new(users.clone(), rooms.clone()));
        let extras = Extras {
            users: users.clone(),
            rooms: rooms.clone(),
            unread: unread.clone(),
            device_lists: device_lists.clone(),
        };
        let notary = Notary::new(rooms.store().clone(), rooms.clone(), config.peers.clone());
        let sync = sync::Sync::new(rooms.clone(), Arc::new(extras));
        let (shutdown, tracker) = (CancellationToken::new(), TaskTracker::new());
        let push = Push::new(PushParts {
            users: users.clone(),
            rooms: rooms.clone(),
            unread: unread.clone(),
            bells,
            backoff: config.push_backoff,
            shutdown: shutdown.clone(),
            tracker: tracker.clone(),
        });
        Ok(Self {
            users,
            rooms,
            sync,
            unread,
            device_lists,
            directory,
            media,
            limits: Limits::new(config.rate_limits),
            metrics: Metrics::default(),
            nonces: Nonces::default(),
            legacy: Legacy::default(),
            uia: UiaSessions::default(),
            restart: Notify::new(),
            faults,
            provisioning: tokio::sync::Mutex::default(),
            v2,
            push,
            notary,
            identity_servers: IdentityServers::new(config.identity_servers.clone()),
            shutdown,
            tracker,
            appservices,
            base_url,
            config,
        })
    }

    /// Runs a task until the server stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tracker.spawn(async move {
            shutdown.run_until_cancelled(task).await;
        });
    }

    /// Ends every task of the server; long polls answer at once.
    fn stop(&self) {
        self.shutdown.cancel();
        self.rooms.wakers().close();
    }

    pub(crate) fn is_local(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.config.server_name
    }

    /// Where clients find this server.
    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Counts something that is limited.
    pub(crate) fn throttle(&self, limit: Limit, whose: &str) -> ApiResult<()> {
        self.limits.take(limit, whose).map_err(ApiError::limit_exceeded)
    }

    /// Counts something that a user does. Of the users of application services those are
    /// limited whose registration says so; the sender never.
    pub(crate) fn throttle_user(&self, limit: Limit, requester: &Requester) -> ApiResult<()> {
        match &requester.appservice {
            Some(appservice) if !appservice.is_rate_limited() || requester.user_id == appservice.sender() => {
                Ok(())
            }
            _ => self.throttle(limit, requester.user_id.as_str()),
        }
    }

    /// Whether a local user exists, after asking the application services that could make it. No lock is held
    /// while they answer.
    pub(crate) async fn user_exists_or_is_made(&self, user_id: &UserId) -> ApiResult<bool> {
        if self.users.exists(user_id)? {
            return Ok(true);
        }
        let found = self.appservices.query_user(user_id).await?;
        if let (Some(found), true) = (found, self.config.draft_provisioning)
            && !self.users.exists(user_id)?
        {
            self.provision_user(user_id, &found).await?;
        }
        Ok(self.users.exists(user_id)?)
    }

    /// Serves an application service from now on, as the user that its registration names.
    pub(crate) async fn add_appservice(
        self: &Arc<Self>,
        registration: Registration,
    ) -> Result<(), StartError> {
        let token = TokenHash::of(registration.as_token.expose());
        self.add_appservice_with(registration, token).await
    }

    /// Serves an application service that shows a token of which only the hash is known.
    pub(crate) async fn add_appservice_with(
        self: &Arc<Self>,
        registration: Registration,
        token: TokenHash,
    ) -> Result<(), StartError> {
        let appservice = self.appservices.add(registration, token)?;
        let account = NewAccount { appservice: Some(appservice.id().to_owned()), ..NewAccount::default() };
        match self.users.register(appservice.sender(), account, None).await {
            Ok(_) | Err(UserError::InUse) => {}
            Err(UserError::Store(error)) => return Err(error.into()),
            Err(UserError::Localpart(_)) => return Err(StartError::Sender),
        }
        self.appservices.start_sender(
            appservice,
            Sources {
                rooms: self.rooms.clone(),
                users: self.users.clone(),
                directory: self.directory.clone(),
            },
            self.config.appservice_backoff,
            self.shutdown.clone(),
            &self.tracker,
        );
        Ok(())
    }
}

impl Services {
    /// Serves the application services again that registered themselves before the server was stopped.
    pub(crate) async fn add_drafted_appservices(self: &Arc<Self>) -> Result<(), StartError> {
        for (registration, token) in self.appservices.queues.drafted()? {
            self.add_appservice_with(registration, token).await?;
        }
        Ok(())
    }
}

/// The key by which the server signs: the one from its store, or a new one that is kept there.
fn server_key(store: &Store, server_name: &ServerName) -> Result<ServerKey, StoreError> {
    let row = key(["signing_key"]);
    let der = match store.get(Tree::Meta, &row)? {
        Some(der) => der.to_vec(),
        None => {
            let der = ServerKey::generate();
            let mut writes = WriteSet::new();
            writes.put(Tree::Meta, row, der.clone());
            drop(store.stage(writes));
            der
        }
    };
    ServerKey::from_der(server_name.to_owned(), &der, "a_1")
        .map_err(|_| StoreError::damaged("the signing key"))
}

/// Who waits for news of a room is woken when somebody starts or stops typing there, and application services are told.
fn wake_for_typing(
    users: &Arc<Users>,
    rooms: &Rooms,
    appservices: &Arc<Appservices>,
    directory: &Arc<Directory>,
) {
    let (rooms, appservices, directory) = (rooms.clone(), appservices.clone(), directory.clone());
    let typing = Arc::downgrade(&users.typing);
    users.typing.listen(move |room_id| {
        if let Ok(Some(room)) = rooms.get(room_id) {
            rooms.wakers().wake_room(&room.view());
        }
        let Some(typing) = typing.upgrade() else { return };
        let content = json!({"user_ids": typing.now(room_id)});
        let edu = json!({"type": "m.typing", "room_id": room_id, "content": content});
        if let Err(error) = appservices.tell_room(&rooms, &directory, room_id, &edu) {
            tracing::error!(%error, %room_id, "application services were not told who types");
        }
    });
}

/// Who shares a room with somebody is woken when that user's keys change.
fn wake_for_keys(users: &Users, rooms: &Rooms, appservices: &Arc<Appservices>) {
    let (rooms, appservices) = (rooms.clone(), appservices.clone());
    users.keys.changes().listen(move |user_id| {
        appservices.keys_were_changed();
        rooms.wakers().wake(user_id);
        for room_id in rooms.joined_rooms(user_id).unwrap_or_default() {
            if let Ok(Some(room)) = rooms.get(&room_id) {
                rooms.wakers().wake_room(&room.view());
            }
        }
    });
}

/// A running homeserver. Dropping it stops it; [`shutdown`](Self::shutdown) also waits until it has stopped.
pub struct Homeserver {
    services: Arc<Services>,
    url: String,
    /// What it was started from.
    builder: HomeserverBuilder,
}

impl fmt::Debug for Homeserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Homeserver")
            .field("server_name", &self.services.config.server_name)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Homeserver {
    /// Begins a server with this name. In process everything is set for tests: any free port, no data left behind,
    /// open registration, no rate limits.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use matrix_homeserver::Homeserver;
    ///
    /// let homeserver = Homeserver::builder("hs.test").start().await?;
    /// let alice = homeserver.user("alice").await?;
    /// assert_eq!(alice.user_id(), "@alice:hs.test");
    /// homeserver.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(server_name: &str) -> HomeserverBuilder {
        HomeserverBuilder::new(server_name)
    }

    fn serve(
        services: Arc<Services>,
        listener: TcpListener,
        url: String,
        builder: HomeserverBuilder,
    ) -> Self {
        let router = api::router(services.clone());
        let tracker = services.tracker.clone();
        tracker.spawn(presence::watch(services.clone()));
        tracker.spawn(housekeeping::run(services.rooms.transactions().clone(), services.shutdown.clone()));
        tracker.spawn(serve::serve(listener, router, services.shutdown.clone(), tracker.clone()));
        Self { services, url, builder }
    }

    /// Where the server is reached, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name in the IDs of its users.
    pub fn server_name(&self) -> &ServerName {
        &self.services.config.server_name
    }

    /// A user with this localpart, logged in on a new device; registered first if there is none. The password is
    /// [`testing::PASSWORD`](crate::testing::PASSWORD).
    ///
    /// # Errors
    /// If the localpart cannot name a user, or the database fails.
    pub async fn user(&self, localpart: &str) -> Result<TestUser, HomeserverError> {
        let users = &self.services.users;
        let naming = crate::user::Naming::Appservice;
        let user_id = users.new_user_id(localpart, naming).map_err(UserError::from)?;
        let account =
            NewAccount { password: Some(crate::testing::PASSWORD.to_owned()), ..NewAccount::default() };
        match users.register(&user_id, account, None).await {
            Ok(_) | Err(UserError::InUse) => {}
            Err(error) => return Err(error.into()),
        }
        let login = users.log_in(&user_id, NewSession::default()).await.map_err(UserError::from)?;
        Ok(TestUser::from_token(&self.url, user_id, &login.access_token))
    }

    /// Lets a user log in by mail to an address, where the [flows](HomeserverBuilder::login_flows) have such a stage.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn link_email(&self, user_id: &UserId, address: &str) -> Result<(), HomeserverError> {
        let linked = self.services.users.link_email(user_id, &address.to_lowercase()).await;
        Ok(linked.map_err(UserError::from)?)
    }

    /// Lets a user log in by an account at an [OAuth 2.0 provider](crate::oauth2), which then is nobody else's.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn link_oauth2(
        &self,
        user_id: &UserId,
        provider: &str,
        subject: &str,
    ) -> Result<(), HomeserverError> {
        let linked = self.services.users.link_identity(user_id, (provider, subject)).await;
        Ok(linked.map_err(UserError::from)?)
    }

    /// The dial by which things go wrong on purpose.
    pub fn faults(&self) -> &FaultDial {
        &self.services.faults
    }

    /// Returns when somebody asks over HTTP for the server to be [restarted](Self::restart).
    pub async fn restart_requested(&self) {
        self.services.restart.notified().await;
    }

    /// Stops the server and starts it again at the same address, with its data if it has a data directory, else without
    /// any. The fault dial is turned back.
    ///
    /// # Errors
    /// As [`HomeserverBuilder::start`].
    pub async fn restart(self) -> Result<Self, StartError> {
        let address = self.url.trim_start_matches("http://").to_owned();
        let again = self.builder.clone().listen(address);
        self.shutdown().await;
        again.start().await
    }

    /// What users have reported to the administrators, the oldest first.
    ///
    /// # Errors
    /// If the database fails.
    pub fn reports(&self) -> Result<Vec<Report>, HomeserverError> {
        Ok(self.services.users.reports().map_err(UserError::from)?)
    }

    /// How many handlers panicked since the server started. A test harness fails when it is not zero.
    pub fn panics(&self) -> u64 {
        self.services.metrics.panics.get()
    }

    /// How many answers had the status 500 since the server started.
    pub fn internal_errors(&self) -> u64 {
        self.services.metrics.server_errors.get()
    }

    /// [`stop`](Self::stop), for those who own the server.
    pub async fn shutdown(self) {
        self.stop().await;
    }

    /// Stops accepting requests, lets those in flight finish for a moment, and returns when everything has ended. The
    /// data directory is free again when the handle is dropped, too.
    pub async fn stop(&self) {
        self.services.stop();
        self.services.tracker.close();
        self.services.tracker.wait().await;
    }
}

impl Drop for Homeserver {
    fn drop(&mut self) {
        self.services.stop();
    }
}

/// Why the server could not do what was asked of it in process.
#[derive(Debug, thiserror::Error)]
#[error("the user could not be made")]
pub struct HomeserverError {
    source: Box<dyn Error + Send + Sync>,
}

impl From<UserError> for HomeserverError {
    fn from(error: UserError) -> Self {
        Self { source: Box::new(error) }
    }
}
