//! The only place where both sides meet: IRC as a [`Network`] of the framework.
//!
//! - [`network`](self): one value for each IRC network, with what all its connections share.
//! - `connection`: one IRC connection, the bridge's own or a Matrix user's, and the driver that keeps it up.
//! - `from_irc`: lines of the network become events for Matrix.
//! - `from_matrix`: messages and changes of Matrix become lines.
//! - `command`: what users can tell the bridge to do, a file per command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use matrix_appservice::bridge::{
    BridgeContext, Command, LoginId, LoginRecord, Network, NetworkError, NetworkInfo, PortalKey, PrivateChat,
    RemoteUserId,
};
use ruma::UserId;
use tracing::{info, warn};

use crate::config::{Config, Permission};
use crate::irc::isupport::Isupport;
use crate::mapping::{AliasTemplate, UserTemplate};

mod channels;
mod command;
mod connection;
mod ctcp;
mod from_irc;
mod from_matrix;
mod gate;
mod ids;
mod login;
mod network;
mod own_nicks;
mod pending;
mod refusal;
mod scrollback;
mod seen;
mod split;

pub(crate) use self::connection::probe;
pub use self::login::IrcLogin;

use self::connection::{Connection, Settings};
use self::network::IrcNetwork;
use self::scrollback::Scrollback;

/// All IRC networks of the configuration.
#[derive(Debug)]
pub struct IrcBridge {
    cx: BridgeContext,
    config: Arc<Config>,
    networks: BTreeMap<String, Served>,
}

/// A network with its names.
#[derive(Debug)]
struct Served {
    network: Arc<IrcNetwork>,
    users: UserTemplate,
    aliases: AliasTemplate,
}

#[async_trait]
impl Network for IrcBridge {
    type Config = Config;
    type Login = IrcLogin;

    fn describe(config: &Config) -> NetworkInfo {
        let name = match config.servers.iter().next() {
            Some((domain, server)) if config.servers.len() == 1 => server.display_name(domain).to_owned(),
            _ => "IRC".to_owned(),
        };
        NetworkInfo::new("irc", name)
    }

    async fn start(cx: BridgeContext, config: Config) -> Result<Self, NetworkError> {
        let mut networks = BTreeMap::new();
        for (domain, server) in &config.servers {
            let known = cx.get(&isupport_key(domain)).await;
            let isupport =
                known.as_ref().and_then(|value| value.as_str()).map(Isupport::parse).unwrap_or_default();
            let network = IrcNetwork::new(
                domain.clone(),
                server.clone(),
                config.homeserver.url.clone(),
                cx.clone(),
                isupport,
            );
            let network = Arc::new(network);
            remember_channels(&network).await;
            cx.tasks().spawn(tell_held_leaves(Arc::clone(&network)));
            let served = Served {
                users: UserTemplate::new(&server.matrix_clients.user_template, domain),
                aliases: AliasTemplate::new(&server.dynamic_channels.alias_template, domain),
                network,
            };
            networks.insert(domain.clone(), served);
        }
        Ok(Self { cx, config: Arc::new(config), networks })
    }

    async fn open(&self, record: LoginRecord) -> Result<IrcLogin, NetworkError> {
        let (server, _) = ids::of_login(&record.id)
            .ok_or_else(|| NetworkError::refused(format!("{} is no login of this bridge", record.id)))?;
        let served = self.networks.get(server).ok_or_else(|| {
            NetworkError::refused(format!("the network {server} is not configured any more"))
        })?;
        let settings: Settings = serde_json::from_value(record.data).unwrap_or_default();
        let connection = Connection::new(Arc::clone(&served.network), record.id, record.user, settings);
        let connection = Arc::new(connection);
        served.network.add(&connection);
        Ok(IrcLogin::new(connection))
    }

    async fn own_logins(&self) -> Vec<LoginRecord> {
        self.networks.keys().map(|server| LoginRecord::own(ids::listener(server))).collect()
    }

    async fn own_login(&self, portal: &PortalKey) -> Option<LoginId> {
        let (server, _) = ids::of_portal(&portal.id)?;
        self.networks.contains_key(server).then(|| ids::listener(server))
    }

    async fn login_for(&self, user: &UserId, portal: &PortalKey) -> Option<LoginRecord> {
        let (server, _) = ids::of_portal(&portal.id)?;
        self.puppet(user, server)
    }

    async fn private_chat(&self, user: &UserId, with: &RemoteUserId) -> Option<PrivateChat> {
        let (server, nick) = ids::of_user(with)?;
        if !self.networks.get(server)?.network.config.private_messages.enabled {
            return None;
        }
        let login = self.puppet(user, server)?;
        Some(PrivateChat { portal: ids::private(server, nick, &login.id), login })
    }

    fn ghost_localpart(&self, _info: &NetworkInfo, user: &RemoteUserId) -> String {
        let named = ids::of_user(user)
            .and_then(|(server, nick)| Some(self.networks.get(server)?.users.localpart(nick)));
        // A user of a network that was taken out of the configuration: nobody asks for it any more.
        named.unwrap_or_else(|| {
            format!("irc_gone_{}", user.as_str().bytes().map(|b| format!("{b:02x}")).collect::<String>())
        })
    }

    fn remote_user(&self, _info: &NetworkInfo, localpart: &str) -> Option<RemoteUserId> {
        self.networks.iter().find_map(|(server, served)| {
            let nick = served.users.nick(localpart)?;
            Some(ids::user(server, &served.network.fold(&nick)))
        })
    }

    fn portal_alias(&self, _info: &NetworkInfo, portal: &PortalKey) -> String {
        let Some((server, name)) = ids::of_portal(&portal.id) else { return portal.id.to_string() };
        let Some(served) = self.networks.get(server) else { return portal.id.to_string() };
        match &portal.receiver {
            None => served.aliases.localpart(name),
            Some(receiver) => served.aliases.private_localpart(name, receiver.as_str()),
        }
    }

    fn portal_for_alias(&self, _info: &NetworkInfo, localpart: &str) -> Option<PortalKey> {
        self.networks.iter().find_map(|(server, served)| {
            let channel = served.aliases.channel(localpart)?;
            let network = &served.network;
            let folded = network.fold(&channel);
            if !network.state.lock().isupport.is_channel(&channel) || !network.serves(&folded) {
                return None;
            }
            Some(ids::channel(server, &folded))
        })
    }

    fn commands(&self) -> Vec<Arc<dyn Command>> {
        let networks: Vec<_> = self.networks.values().map(|served| Arc::clone(&served.network)).collect();
        command::all(&networks)
    }
}

impl IrcBridge {
    /// The login of a Matrix user on a network. `None` if he may have none.
    fn puppet(&self, user: &UserId, server: &str) -> Option<LoginRecord> {
        let network = &self.networks.get(server)?.network;
        if self.config.permission(user) < Permission::User || network.is_excluded(user) {
            return None;
        }
        let id = ids::puppet(server, user);
        let limit = usize::try_from(network.config.irc_clients.max_clients).unwrap_or(usize::MAX);
        if limit > 0 && network.connection(&id).is_none() && network.puppets() >= limit {
            warn!(user_id = %user, network = server, "no connection: ircClients.maxClients is reached");
            return None;
        }
        Some(LoginRecord::of_user(id, user.to_owned()))
    }

    /// What the framework offers.
    pub fn context(&self) -> &BridgeContext {
        &self.cx
    }
}

/// Where the features of a network are kept from one run to the next.
fn isupport_key(server: &str) -> String {
    format!("isupport/{server}")
}

/// Brings back the scrollback of the channels that are listened to whether or not they have a room.
async fn remember_channels(network: &Arc<IrcNetwork>) {
    for name in network.config.mappings.keys() {
        let folded = network.fold(name);
        let portal = network.channel(&folded);
        let loaded = Scrollback::load(&network.cx, &portal, &network.config.scrollback).await;
        network.state.lock().channels.entry(&folded, name).scrollback.prepend(loaded);
    }
}

/// Tells the leaves that were held back during a split when they are due.
async fn tell_held_leaves(network: Arc<IrcNetwork>) {
    loop {
        let next = network.state.lock().splits.next();
        let due = async {
            match next {
                Some(next) => tokio::time::sleep_until(next.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = network.cx.shutdown().cancelled() => return,
            () = network.held.notified() => continue,
            () = due => {}
        }
        let (due, listener) = {
            let mut state = network.state.lock();
            let due = state.splits.due(Instant::now());
            (due, ids::listener(&network.server))
        };
        let Some(connection) = network.connection(&listener) else { continue };
        info!(network = %network.server, "{} people did not come back after a split", due.len());
        for held in due {
            connection.tell_held(&held);
        }
    }
}
