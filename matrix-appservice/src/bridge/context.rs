//! What the framework offers to a network.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use ruma::{OwnedRoomId, OwnedUserId, ServerName, UserId};
use serde_json::Value;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{LoginRecord, LoginState, NetworkInfo, UserInfo};
use crate::network_id::{LoginId, PortalKey, RemoteUserId};

/// What the framework offers to a network and its commands. Cheap to clone.
#[derive(Clone)]
pub struct BridgeContext {
    port: Arc<dyn ContextPort>,
}

impl BridgeContext {
    pub(crate) fn new(port: Arc<dyn ContextPort>) -> Self {
        Self { port }
    }

    /// The homeserver's name: what stands after the colon in ghosts' user IDs.
    pub fn server_name(&self) -> &ServerName {
        self.port.server_name()
    }

    /// The bridge's bot.
    pub fn bot(&self) -> &UserId {
        self.port.bot()
    }

    /// What [`Network::describe`](super::Network::describe) said.
    pub fn network(&self) -> &NetworkInfo {
        self.port.network()
    }

    /// Cancelled when the process is about to stop.
    pub fn shutdown(&self) -> &CancellationToken {
        self.port.shutdown()
    }

    /// Where tasks are spawned that have to end before the process does.
    pub fn tasks(&self) -> &TaskTracker {
        self.port.tasks()
    }

    /// The user ID of the ghost of `user`, whether or not it exists yet.
    ///
    /// # Errors
    /// If [`Network::ghost_localpart`](super::Network::ghost_localpart) is not valid, or
    /// [`Network::start`](super::Network::start) has not returned yet.
    pub fn ghost(&self, user: &RemoteUserId) -> Result<OwnedUserId, super::NetworkError> {
        self.port.ghost(user)
    }

    /// Whom `user` stands for, if it is a ghost of this bridge.
    pub fn remote_user(&self, user: &UserId) -> Option<RemoteUserId> {
        self.port.remote_user(user)
    }

    /// The room of a portal, if it exists.
    pub async fn room_of(&self, portal: &PortalKey) -> Option<OwnedRoomId> {
        self.port.room_of(portal).await
    }

    /// The portal that a room belongs to, if it is one.
    pub async fn portal_of(&self, room: &ruma::RoomId) -> Option<PortalKey> {
        self.port.portal_of(room).await
    }

    /// The portals whose room the login's Matrix user has joined (for an own login: all that it looks
    /// after). What a login is in after a restart.
    pub async fn portals_of(&self, login: &LoginId) -> Vec<PortalKey> {
        self.port.portals_of(login).await
    }

    /// The Matrix users, no ghosts, who have joined the portal's room.
    pub async fn matrix_members(&self, portal: &PortalKey) -> Vec<OwnedUserId> {
        self.port.matrix_members(portal).await
    }

    /// All stored logins.
    pub async fn logins(&self) -> Vec<LoginRecord> {
        self.port.logins().await
    }

    /// One stored login.
    pub async fn login(&self, id: &LoginId) -> Option<LoginRecord> {
        self.logins().await.into_iter().find(|record| &record.id == id)
    }

    /// Stores a login, new or changed; flushed when it returns. A new one is also opened and connected.
    ///
    /// # Errors
    /// If the store fails or the login cannot be opened; the text is for people.
    pub async fn save_login(&self, record: LoginRecord) -> Result<(), super::NetworkError> {
        self.port.save_login(record).await
    }

    /// Disconnects a login and forgets it.
    pub async fn remove_login(&self, id: &LoginId) {
        self.port.remove_login(id).await;
    }

    /// Disconnects a login and connects it again, from its stored record.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn reopen_login(&self, id: &LoginId) -> Result<(), super::NetworkError> {
        self.port.reopen_login(id).await
    }

    /// How a login is; `None` if it is not open.
    pub fn login_state(&self, id: &LoginId) -> Option<LoginState> {
        self.port.login_state(id)
    }

    /// Logs a user in as [`Network::log_in`](super::Network::log_in) says; stored, open and
    /// connected or on the way when it returns.
    ///
    /// # Errors
    /// What the network says; or if the login cannot be stored or opened.
    pub async fn log_in(&self, user: &UserId, arguments: &str) -> Result<LoginId, super::NetworkError> {
        self.port.log_in(user, arguments).await
    }

    /// How a Matrix user shows himself, as far as the homeserver tells.
    pub async fn profile(&self, user: &UserId) -> UserInfo {
        self.port.profile(user).await
    }

    /// Makes the room of a portal, if there is none, and lets `invite` into it.
    ///
    /// # Errors
    /// What the network or the homeserver says.
    pub async fn open_portal(
        &self,
        portal: &PortalKey,
        invite: Option<&UserId>,
    ) -> Result<OwnedRoomId, super::NetworkError> {
        self.port.open_portal(portal, invite).await
    }

    /// Says something in a room as the bot, as a notice.
    pub async fn say(&self, room: &ruma::RoomId, text: &str) {
        self.port.say(room, text).await;
    }

    /// Tells a Matrix user something in his management room, which is made if there is none.
    pub async fn tell(&self, user: &UserId, text: &str) {
        self.port.tell(user, text).await;
    }

    /// What the network stored under `key`.
    pub async fn get(&self, key: &str) -> Option<Value> {
        self.port.get(key).await
    }

    /// Stores a value for the network; flushed when it returns. `None` removes it. Unique within one
    /// bridge process.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put(&self, key: &str, value: Option<Value>) -> Result<(), super::NetworkError> {
        self.port.put(key, value).await
    }
}

impl fmt::Debug for BridgeContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeContext").field("bot", &self.bot()).finish_non_exhaustive()
    }
}

/// The other end of a [`BridgeContext`].
#[async_trait]
pub(crate) trait ContextPort: Send + Sync {
    fn server_name(&self) -> &ServerName;
    fn bot(&self) -> &UserId;
    fn network(&self) -> &NetworkInfo;
    fn shutdown(&self) -> &CancellationToken;
    fn tasks(&self) -> &TaskTracker;
    fn ghost(&self, user: &RemoteUserId) -> Result<OwnedUserId, super::NetworkError>;
    fn remote_user(&self, user: &UserId) -> Option<RemoteUserId>;
    async fn room_of(&self, portal: &PortalKey) -> Option<OwnedRoomId>;
    async fn portal_of(&self, room: &ruma::RoomId) -> Option<PortalKey>;
    async fn portals_of(&self, login: &LoginId) -> Vec<PortalKey>;
    async fn matrix_members(&self, portal: &PortalKey) -> Vec<OwnedUserId>;
    async fn logins(&self) -> Vec<LoginRecord>;
    async fn save_login(&self, record: LoginRecord) -> Result<(), super::NetworkError>;
    async fn remove_login(&self, id: &LoginId);
    async fn reopen_login(&self, id: &LoginId) -> Result<(), super::NetworkError>;
    fn login_state(&self, id: &LoginId) -> Option<LoginState>;
    async fn log_in(&self, user: &UserId, arguments: &str) -> Result<LoginId, super::NetworkError>;
    async fn profile(&self, user: &UserId) -> UserInfo;
    async fn open_portal(
        &self,
        portal: &PortalKey,
        invite: Option<&UserId>,
    ) -> Result<OwnedRoomId, super::NetworkError>;
    async fn say(&self, room: &ruma::RoomId, text: &str);
    async fn tell(&self, user: &UserId, text: &str);
    async fn get(&self, key: &str) -> Option<Value>;
    async fn put(&self, key: &str, value: Option<Value>) -> Result<(), super::NetworkError>;
}
