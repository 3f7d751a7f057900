//! What all parts of a running bridge share.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::RwLock;
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId};
use serde_json::Value;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    BridgeContext, LoginRecord, LoginState, NetworkError, NetworkInfo, UserInfo,
    command::Commands,
    context::ContextPort,
    erased::AnyNetwork,
    ghost::Ghosts,
    journal::Journal,
    login_set::Logins,
    metrics::Metrics,
    portal::{Portals, backoff},
};
use crate::{
    intent::{Intent, Intents},
    network_id::{LoginId, PortalKey, RemoteUserId},
    registration::{NamespaceSet, Ownership},
    store::{Batch, Store, StoreError},
};

/// What all parts of a running bridge share.
pub(crate) struct Core {
    pub(crate) info: NetworkInfo,
    pub(crate) store: Store,
    pub(crate) intents: Intents,
    pub(crate) namespaces: NamespaceSet,
    pub(crate) appservice_id: String,
    pub(crate) server_name: OwnedServerName,
    pub(crate) bot: OwnedUserId,
    pub(crate) portals: Portals,
    pub(crate) logins: Logins,
    pub(crate) ghosts: Ghosts,
    pub(crate) journal: Journal,
    pub(crate) commands: RwLock<Commands>,
    pub(crate) metrics: Metrics,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// Set while the bridge runs. The network holds the core in turn, so it is let go in the end.
    pub(crate) network: RwLock<Option<Arc<dyn AnyNetwork>>>,
}

impl Core {
    /// The network. It starts before anything is handed to it, so this finds it.
    pub(crate) fn network(&self) -> Result<Arc<dyn AnyNetwork>, NetworkError> {
        let network = self.network.read().clone();
        network.ok_or_else(|| NetworkError::unavailable("the bridge is starting or stopping"))
    }

    /// Act as `user`.
    pub(crate) fn intent(&self, user: &UserId) -> Intent {
        self.intents.of(user)
    }

    /// Act as the bot.
    pub(crate) fn bot_intent(&self) -> Intent {
        self.intents.bot()
    }

    /// The user ID of the ghost of `user`.
    pub(crate) fn ghost_id(&self, user: &RemoteUserId) -> Result<OwnedUserId, NetworkError> {
        let localpart = self.network()?.ghost_localpart(user);
        UserId::parse(format!("@{localpart}:{}", self.server_name))
            .map_err(|_| NetworkError::refused(format!("{user} has no valid ghost name")))
    }

    /// Whom `user` stands for, if it is a ghost.
    pub(crate) fn remote_user_of(&self, user: &UserId) -> Option<RemoteUserId> {
        if user.server_name() != self.server_name || user == self.bot {
            return None;
        }
        self.network().ok()?.remote_user(user.localpart())
    }

    /// Whether `user` is the bot or a ghost: what they do was done by the bridge.
    pub(crate) fn is_own(&self, user: &UserId) -> bool {
        user == self.bot || self.remote_user_of(user).is_some()
    }

    /// Whether the bridge may act as `user`, who is no ghost.
    pub(crate) fn may_act_as(&self, user: &UserId) -> bool {
        self.namespaces.user(user.as_str()) != Ownership::None
    }

    /// Makes the bot and its name, as soon as the homeserver is there.
    pub(crate) async fn introduce_bot(&self) {
        for attempt in 0.. {
            let bot = self.bot_intent();
            let introduced = async {
                bot.ensure_registered().await?;
                bot.set_display_name(Some(&self.info.bot_display_name)).await?;
                match &self.info.icon {
                    Some(icon) => bot.set_avatar_url(Some(icon)).await,
                    None => Ok(()),
                }
            };
            match introduced.await {
                Ok(()) => return,
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, attempt, "the homeserver does not answer yet");
                    tokio::select! {
                        () = tokio::time::sleep(error.retry_after().unwrap_or_else(|| backoff(attempt))) => {}
                        () = self.shutdown.cancelled() => return,
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the homeserver refuses the bridge's bot; is it registered there?");
                    return;
                }
            }
        }
    }

    /// The bridge as networks and commands see it.
    pub(crate) fn context(self: &Arc<Self>) -> BridgeContext {
        BridgeContext::new(Arc::new(Context(Arc::clone(self))))
    }

    /// Writes what need not wait for the disk. A failure is logged: the store is then beyond help, and
    /// the next write that somebody waits for says so.
    pub(crate) fn apply(&self, batch: Batch) {
        if let Err(error) = self.store.apply(batch) {
            tracing::error!(%error, "could not write to the store");
        }
    }
}

/// A store that cannot be read is reported where it happens; to a network or a user it is a
/// passing failure.
impl From<StoreError> for NetworkError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "could not use the store");
        Self::unavailable("the bridge's store does not work")
    }
}

/// The value, or what stands for it after the failure was reported.
pub(crate) fn or_report<T: Default>(result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|error| {
        tracing::error!(%error, "could not read the store");
        T::default()
    })
}

/// The bridge as networks and commands see it.
pub(crate) struct Context(pub(crate) Arc<Core>);

#[async_trait]
impl ContextPort for Context {
    fn server_name(&self) -> &ServerName {
        &self.0.server_name
    }

    fn bot(&self) -> &UserId {
        &self.0.bot
    }

    fn network(&self) -> &NetworkInfo {
        &self.0.info
    }

    fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    fn ghost(&self, user: &RemoteUserId) -> Result<OwnedUserId, NetworkError> {
        self.0.ghost_id(user)
    }

    fn remote_user(&self, user: &UserId) -> Option<RemoteUserId> {
        self.0.remote_user_of(user)
    }

    async fn room_of(&self, portal: &PortalKey) -> Option<OwnedRoomId> {
        or_report(self.0.store.portal(portal)).map(|row| row.room_id)
    }

    async fn portal_of(&self, room: &RoomId) -> Option<PortalKey> {
        or_report(self.0.store.portal_by_room(room)).map(|row| row.key)
    }

    async fn portals_of(&self, login: &LoginId) -> Vec<PortalKey> {
        self.0.portals_of(login).await
    }

    async fn matrix_members(&self, portal: &PortalKey) -> Vec<OwnedUserId> {
        let Some(row) = or_report(self.0.store.portal(portal)) else { return Vec::new() };
        let mut members = or_report(self.0.store.room_members(&row.room_id));
        members.retain(|user| !self.0.is_own(user));
        members
    }

    async fn logins(&self) -> Vec<LoginRecord> {
        or_report(self.0.store.logins())
    }

    async fn save_login(&self, record: LoginRecord) -> Result<(), NetworkError> {
        self.0.save_login(record).await
    }

    async fn remove_login(&self, id: &LoginId) {
        self.0.remove_login(id).await;
    }

    async fn reopen_login(&self, id: &LoginId) -> Result<(), NetworkError> {
        self.0.reopen_login(id).await
    }

    fn login_state(&self, id: &LoginId) -> Option<LoginState> {
        self.0.logins.state(id)
    }

    async fn log_in(&self, user: &UserId, arguments: &str) -> Result<LoginId, NetworkError> {
        let record = self.0.network()?.log_in(user, arguments).await?;
        let id = record.id.clone();
        self.0.save_login(record).await?;
        Ok(id)
    }

    async fn profile(&self, user: &UserId) -> UserInfo {
        match self.0.bot_intent().profile(user).await {
            Ok(Some(profile)) => UserInfo { display_name: profile.display_name, avatar: profile.avatar_url },
            Ok(None) => UserInfo::default(),
            Err(error) => {
                tracing::debug!(%error, user_id = %user, "could not read a profile");
                UserInfo::default()
            }
        }
    }

    async fn open_portal(
        &self,
        portal: &PortalKey,
        invite: Option<&UserId>,
    ) -> Result<OwnedRoomId, NetworkError> {
        self.0.open_portal(portal, invite).await
    }

    async fn say(&self, room: &RoomId, text: &str) {
        self.0.say_or_log(room, text, &super::convert::fresh_txn_id()).await;
    }

    async fn tell(&self, user: &UserId, text: &str) {
        self.0.tell(user, text).await;
    }

    async fn get(&self, key: &str) -> Option<Value> {
        or_report(self.0.store.network_value(key))
    }

    async fn put(&self, key: &str, value: Option<Value>) -> Result<(), NetworkError> {
        let mut batch = Batch::default();
        batch.put_network_value(key, value.as_ref());
        Ok(self.0.store.commit(batch).await?)
    }
}
