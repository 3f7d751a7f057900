//! One IRC network: what all its connections share.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use matrix_appservice::bridge::{BridgeContext, LoginId, PortalKey, RemoteUserId, UserInfo};
use parking_lot::Mutex;
use regex::RegexSet;
use ruma::UserId;
use tokio::sync::Notify;

use super::channels::Channels;
use super::connection::Connection;
use super::gate::Gate;
use super::ids;
use super::own_nicks::OwnNicks;
use super::split::SplitWatch;
use crate::config::ServerConfig;
use crate::irc::casemapping::CaseMapping;
use crate::irc::isupport::Isupport;

/// What all connections to one network share.
#[derive(Debug)]
pub(crate) struct IrcNetwork {
    /// The key of its section in the configuration; part of all identifiers.
    pub(crate) server: String,
    pub(crate) config: ServerConfig,
    /// Base URL of the homeserver, for links to files.
    pub(crate) homeserver: String,
    pub(crate) cx: BridgeContext,
    pub(crate) gate: Gate,
    /// How to speak TLS, once it was found out.
    pub(super) tls: Mutex<Option<Arc<rustls::ClientConfig>>>,
    /// Never held while waiting.
    pub(crate) state: Mutex<NetworkState>,
    /// Woken when a leave begins to be held back.
    pub(crate) held: Notify,
    excluded: RegexSet,
}

/// What changes.
#[derive(Debug)]
pub(crate) struct NetworkState {
    /// What the network last said of itself.
    pub(crate) isupport: Arc<Isupport>,
    pub(crate) own: OwnNicks,
    pub(crate) channels: Channels,
    pub(crate) splits: SplitWatch,
    /// Nicks as their owners write them, by their folded form, of those met in private.
    pub(crate) spelled: HashMap<String, String>,
    connections: HashMap<LoginId, Weak<Connection>>,
}

impl IrcNetwork {
    pub(crate) fn new(
        server: String,
        config: ServerConfig,
        homeserver: String,
        cx: BridgeContext,
        isupport: Isupport,
    ) -> Self {
        let patterns = config.excluded_users.iter().map(|user| format!("^(?:{})$", user.regex));
        // The configuration was validated, so each pattern compiles.
        let excluded = RegexSet::new(patterns).unwrap_or_default();
        let state = NetworkState {
            isupport: Arc::new(isupport),
            own: OwnNicks::default(),
            channels: Channels::default(),
            splits: SplitWatch::new(config.quit_debounce.clone()),
            spelled: HashMap::new(),
            connections: HashMap::new(),
        };
        Self {
            gate: Gate::new(config.irc_clients.connects_per_second),
            state: Mutex::new(state),
            held: Notify::new(),
            tls: Mutex::new(None),
            server,
            config,
            homeserver,
            cx,
            excluded,
        }
    }

    /// Whether a Matrix user gets no connection here.
    pub(crate) fn is_excluded(&self, user: &UserId) -> bool {
        self.excluded.is_match(user.as_str())
    }

    pub(crate) fn fold(&self, name: &str) -> String {
        self.state.lock().fold(name)
    }

    /// The portal of a channel.
    pub(crate) fn channel(&self, folded: &str) -> PortalKey {
        ids::channel(&self.server, folded)
    }

    /// A user of the network.
    pub(crate) fn user(&self, folded: &str) -> RemoteUserId {
        ids::user(&self.server, folded)
    }

    /// What Matrix shows of a nick.
    pub(crate) fn user_info(&self, nick: &str) -> UserInfo {
        let template = &self.config.matrix_clients.display_name;
        UserInfo::named(template.replace("$SERVER", &self.server).replace("$NICK", nick))
    }

    pub(crate) fn add(&self, connection: &Arc<Connection>) {
        self.state.lock().connections.insert(connection.login.clone(), Arc::downgrade(connection));
    }

    pub(crate) fn connection(&self, login: &LoginId) -> Option<Arc<Connection>> {
        self.state.lock().connections.get(login)?.upgrade()
    }

    /// Whether a channel may have a room.
    pub(crate) fn serves(&self, folded: &str) -> bool {
        let dynamic = &self.config.dynamic_channels;
        self.config.mappings.keys().any(|name| self.fold(name) == folded)
            || (dynamic.enabled && !dynamic.exclude.iter().any(|name| self.fold(name) == folded))
    }

    /// A channel's name as the network writes it, as far as it is known.
    pub(crate) fn channel_name(&self, folded: &str) -> String {
        let state = self.state.lock();
        let known =
            state.channels.get(folded).map(|channel| channel.name.clone()).filter(|name| !name.is_empty());
        known.unwrap_or_else(|| folded.to_owned())
    }

    /// A nick as its owner writes it, if it was met.
    pub(crate) fn spelling(&self, folded: &str) -> Option<String> {
        self.state.lock().spelling(folded)
    }

    /// The nick of a Matrix user's connection, if it is up.
    pub(crate) fn nick_of(&self, user: &UserId) -> Option<String> {
        let connection = self.connection(&ids::puppet(&self.server, user))?;
        connection.link().map(|link| link.nick())
    }

    /// How many Matrix users have a connection or are about to have one.
    pub(crate) fn puppets(&self) -> usize {
        let state = self.state.lock();
        let alive = state.connections.values().filter_map(Weak::upgrade);
        alive.filter(|connection| connection.is_puppet() && connection.is_wanted()).count()
    }
}

impl NetworkState {
    pub(crate) fn fold(&self, name: &str) -> String {
        self.casemapping().fold(name)
    }

    pub(crate) fn casemapping(&self) -> CaseMapping {
        self.isupport.casemapping()
    }

    /// Whether a nick is one of the bridge's connections.
    pub(crate) fn is_own(&self, folded: &str) -> bool {
        self.own.owner(folded, Instant::now()).is_some()
    }

    /// A nick as its owner writes it.
    pub(crate) fn spelling(&self, folded: &str) -> Option<String> {
        let member = self.channels.iter().find_map(|(_, channel)| channel.members.get(folded));
        member.map(|member| member.nick.clone()).or_else(|| self.spelled.get(folded).cloned())
    }
}
