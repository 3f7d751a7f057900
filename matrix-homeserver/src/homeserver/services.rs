//! What handlers reach, and how its parts are put together.

use std::{path::Path, sync::Arc};

use matrix_appservice::Registration;
use ruma::{MilliSecondsSinceUnixEpoch, ServerName, UserId};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Config, Limit, Limits, Metrics, StartError, finishing::Finishing, observers::Observers};
use crate::{
    api::{ApiError, ApiResult, Deletions, Legacy, Requester, UiaSessions, register::Nonces},
    appservice::{AppserviceDevices, AppserviceObserver, Appservices, Queries, Queues, Sources},
    directory::Directory,
    event::ServerKey,
    fault::FaultDial,
    identity_server::IdentityServers,
    media::Media,
    notary::Notary,
    push::{Bells, Push, PushObserver, PushParts},
    room::{Rooms, RoomsConfig},
    store::{Store, StoreError, Tree, WriteSet, key},
    sync,
    user::{
        DeviceListTracker, DeviceObserver, Extras, Hasher, NewAccount, TokenHash, UnreadCounter, UserError,
        Users,
    },
    v2::V2,
};

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
    pub(crate) deletions: Deletions,
    pub(crate) faults: FaultDial,
    /// Rung when the server is to be stopped and started again.
    pub(crate) restart: Notify,
    /// One room at a time is made from an answer.
    pub(super) provisioning: tokio::sync::Mutex<()>,
    pub(crate) v2: V2,
    pub(super) base_url: String,
    pub(super) shutdown: CancellationToken,
    /// Every task of the server but those that do what requests ask for.
    pub(super) tracker: TaskTracker,
    /// What requests ask for and is done to its end.
    pub(super) finishing: TaskTracker,
}

impl Services {
    pub(super) fn new(
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
            deletions: Deletions::default(),
            restart: Notify::new(),
            faults,
            provisioning: tokio::sync::Mutex::default(),
            v2,
            push,
            notary,
            identity_servers: IdentityServers::new(config.identity_servers.clone()),
            shutdown,
            tracker,
            finishing: TaskTracker::new(),
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

    /// Does some work to its end, also when nobody waits for the outcome any more.
    pub(crate) async fn finish<T: Send>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        Finishing::new(work, self.finishing.clone()).await
    }

    /// Ends every task of the server; long polls answer at once.
    pub(super) fn stop(&self) {
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
            Err(_) => return Err(StartError::Sender),
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
