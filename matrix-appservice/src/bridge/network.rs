//! The network as a whole: what it is called, how its names become Matrix identifiers, how logins open.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ruma::{OwnedMxcUri, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{BridgeContext, Command, Login};
use crate::network_id::{LoginId, PortalKey, RemoteUserId};

/// The other network. One value per process.
///
/// # When the methods are called
/// [`describe`](Self::describe) before anything else, [`start`](Self::start) once, then
/// [`own_logins`](Self::own_logins) and [`open`](Self::open) for every stored login. From then on all
/// methods may be called at any time and from any task, also concurrently. The naming methods
/// (`ghost_localpart` and its inverse, `portal_alias` and its inverse) are pure: the same argument gives
/// the same answer for the life of the installation, because what they return is written into
/// the homeserver's database.
#[async_trait]
pub trait Network: Sized + Send + Sync + 'static {
    /// What the operator configures.
    type Config: Send + Sync + 'static;
    /// One account or connection.
    type Login: Login;

    /// What the network is called and which names it uses. Called before [`start`](Self::start).
    fn describe(config: &Self::Config) -> NetworkInfo;

    /// Prepares what all logins share. May wait for the outside world, but a network that is down is no
    /// error here: logins report that through their own state.
    ///
    /// # Errors
    /// Whatever makes it pointless to go on; the bridge then stops with this error.
    async fn start(cx: BridgeContext, config: Self::Config) -> Result<Self, NetworkError>;

    /// Makes a login of its record, without connecting: [`Login::connect`] follows.
    ///
    /// # Errors
    /// If the record cannot be used. It stays stored; its owner is told.
    async fn open(&self, record: LoginRecord) -> Result<Self::Login, NetworkError>;

    /// The bridge's own logins (a relay, a listener), opened at every start before any other.
    ///
    /// A record that is already stored under the same identifier wins, so that what the network stored
    /// in it is kept.
    async fn own_logins(&self) -> Vec<LoginRecord> {
        Vec::new()
    }

    /// The bridge's own login that looks after `portal`: it is asked for [`Login::chat_info`], and it
    /// speaks for users without a login where [`NetworkInfo::relay`] is on. The first of
    /// [`own_logins`](Self::own_logins) unless overridden.
    async fn own_login(&self, portal: &PortalKey) -> Option<LoginId> {
        let _ = portal;
        self.own_logins().await.into_iter().next().map(|record| record.id)
    }

    /// The login that `user` should have in `portal`. Called when a user without a login there joins
    /// or speaks; a network that gives everybody a connection of their own (IRC puppets) answers
    /// with a fresh record, which is stored, opened and connected. A record that is already stored
    /// under the same identifier wins.
    ///
    /// `None` leaves the choice to the framework: any login that the user has, else the relay.
    async fn login_for(&self, user: &UserId, portal: &PortalKey) -> Option<LoginRecord> {
        let _ = (user, portal);
        None
    }

    /// The Matrix user behind `user`, if `user` is no stranger but somebody's puppet. What the network does
    /// to him (a kick, a ban, a power level) then happens to the Matrix user instead of a ghost;
    /// that he joins or leaves is ignored, because he did so himself.
    fn matrix_user(&self, user: &RemoteUserId) -> Option<OwnedUserId> {
        let _ = user;
        None
    }

    /// Makes a login for `user` from what he wrote after the `login` command; the framework stores and
    /// opens it. `arguments` may hold a secret: it is neither logged nor left in the room.
    ///
    /// # Errors
    /// [`NetworkError::Refused`] if the network offers no login, or the arguments are wrong.
    async fn log_in(&self, user: &UserId, arguments: &str) -> Result<LoginRecord, NetworkError> {
        let _ = (user, arguments);
        Err(NetworkError::refused("this bridge needs no login"))
    }

    /// How `user` talks to `with` in private: the portal and the login that it belongs to. Called
    /// when a Matrix user invites a ghost. `None` refuses the invitation.
    async fn private_chat(&self, user: &UserId, with: &RemoteUserId) -> Option<PrivateChat> {
        let _ = (user, with);
        None
    }

    /// The localpart of the ghost that stands for `user`. It must lie in the registration's user
    /// namespace, be valid (`a-z0-9._=-/+`) and differ for different users.
    ///
    /// Unless overridden: [`NetworkInfo::ghost_prefix`] and the identifier, escaped as in the
    /// [specification's suggestion](https://spec.matrix.org/v1.19/appendices/#mapping-from-other-character-sets).
    fn ghost_localpart(&self, info: &NetworkInfo, user: &RemoteUserId) -> String {
        format!("{}{}", info.ghost_prefix, super::escape::localpart(user.as_str()))
    }

    /// The inverse of [`ghost_localpart`](Self::ghost_localpart); `None` if it stands for nobody (the
    /// bot, or a name that no user of the network can have).
    fn remote_user(&self, info: &NetworkInfo, localpart: &str) -> Option<RemoteUserId> {
        super::escape::from_localpart(localpart.strip_prefix(&info.ghost_prefix)?).map(RemoteUserId::new)
    }

    /// The localpart of a portal's alias. Every portal has one, also a private chat: it is how a room
    /// is found again that was made just before a crash. It must lie in the registration's alias
    /// namespace and differ for different portals.
    ///
    /// Unless overridden: [`NetworkInfo::alias_prefix`] and the escaped identifier; with
    /// a digest for private chats, so that the alias does not tell who talks to whom.
    fn portal_alias(&self, info: &NetworkInfo, portal: &PortalKey) -> String {
        super::escape::portal_alias(&info.alias_prefix, portal)
    }

    /// The portal that an alias stands for, when somebody asks for a room that does not exist yet. `None`
    /// if there can be no such portal; private chats are never found this way.
    fn portal_for_alias(&self, info: &NetworkInfo, localpart: &str) -> Option<PortalKey> {
        super::escape::from_localpart(localpart.strip_prefix(&info.alias_prefix)?).map(PortalKey::shared)
    }

    /// Commands that the network adds to the built-in ones. Asked once.
    fn commands(&self) -> Vec<Arc<dyn Command>> {
        Vec::new()
    }

    /// The last call, after every login was disconnected.
    async fn stop(&self) {}
}

/// What a network is called and which names it uses.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkInfo {
    /// The protocol, as in `m.bridge` state and third-party lookups: `irc`.
    pub protocol: String,
    /// What people call it: `Libera Chat`.
    pub display_name: String,
    /// The network's picture.
    pub icon: Option<OwnedMxcUri>,
    /// The network's web page.
    pub url: Option<String>,
    /// What the localpart of every ghost begins with: `irc_`.
    pub ghost_prefix: String,
    /// What the localpart of every portal's alias begins with: `irc_`.
    pub alias_prefix: String,
    /// What begins a command outside the management room: `!irc`.
    pub command_prefix: String,
    /// Whether the bridge's own login speaks for users who have none.
    pub relay: bool,
    /// How the bot shows itself.
    pub bot_display_name: String,
    /// What follows the `login` command, if [`Network::log_in`] is offered: `<account> <password>`.
    pub login_usage: Option<String>,
}

impl NetworkInfo {
    /// A network whose names all derive from its protocol: `irc` has ghosts and aliases that
    /// begin with `irc_` and commands that begin with `!irc`. No relay.
    pub fn new(protocol: impl Into<String>, display_name: impl Into<String>) -> Self {
        let (protocol, display_name) = (protocol.into(), display_name.into());
        Self {
            icon: None,
            url: None,
            ghost_prefix: format!("{protocol}_"),
            alias_prefix: format!("{protocol}_"),
            command_prefix: format!("!{protocol}"),
            relay: false,
            bot_display_name: format!("{display_name} bridge"),
            login_usage: None,
            protocol,
            display_name,
        }
    }

    /// Other beginnings for ghosts and aliases.
    pub fn prefixes(mut self, ghosts: impl Into<String>, aliases: impl Into<String>) -> Self {
        self.ghost_prefix = ghosts.into();
        self.alias_prefix = aliases.into();
        self
    }

    /// Lets the bridge's own login speak for users who have none.
    pub fn with_relay(mut self) -> Self {
        self.relay = true;
        self
    }
}

/// What is stored about a login. The network owns `data` and may keep secrets in it, so it never
/// appears in `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRecord {
    /// Which login.
    pub id: LoginId,
    /// Whose it is; `None` for the bridge's own (a relay, a listener).
    pub user: Option<OwnedUserId>,
    /// Whatever the network needs to open it again.
    #[serde(default)]
    pub data: serde_json::Value,
}

impl LoginRecord {
    /// A login of the bridge itself.
    pub fn own(id: impl Into<LoginId>) -> Self {
        Self { id: id.into(), user: None, data: serde_json::Value::Null }
    }

    /// A login of a Matrix user.
    pub fn of_user(id: impl Into<LoginId>, user: OwnedUserId) -> Self {
        Self { id: id.into(), user: Some(user), data: serde_json::Value::Null }
    }

    /// With what the network needs to open it again.
    pub fn with_data(mut self, data: serde_json::Value) -> Self {
        self.data = data;
        self
    }
}

impl std::fmt::Debug for LoginRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginRecord").field("id", &self.id).field("user", &self.user).finish_non_exhaustive()
    }
}

/// Where a Matrix user and a remote user talk in private.
#[derive(Debug, Clone)]
pub struct PrivateChat {
    /// The portal; its receiver is the login.
    pub portal: PortalKey,
    /// The Matrix user's login; it is opened if it is not open yet.
    pub login: LoginRecord,
}

/// Why the network could not do something. The text is for people and says nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// There is no such chat, user or message.
    #[error("{0}")]
    NotFound(String),
    /// The network refuses, and asking again will not help.
    #[error("{0}")]
    Refused(String),
    /// It may work later.
    #[error("{text}")]
    Unavailable {
        /// What is wrong.
        text: String,
        /// How long to wait at least.
        retry_after: Option<Duration>,
    },
    /// The login's credentials are wrong or expired; somebody has to log in again.
    #[error("{0}")]
    BadCredentials(String),
}

impl NetworkError {
    /// It may work later.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::Unavailable { text: text.into(), retry_after: None }
    }

    /// There is no such thing.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::NotFound(text.into())
    }

    /// The network refuses.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
