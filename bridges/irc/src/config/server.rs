//! `servers.<name>:` one IRC network.

use std::collections::BTreeMap;

use super::channels::{DynamicChannelsConfig, MappingConfig};
use super::clients::{IrcClientsConfig, MatrixClientsConfig};
use super::membership::{MembershipListsConfig, QuitDebounceConfig};
use super::messages::{PrivateMessagesConfig, ScrollbackConfig};
use super::secret::Secret;
use super::setting::section;

section! {
    /// One IRC network. Its key is the host name to connect to, and `$SERVER` in templates.
    pub struct ServerConfig {
        /// The network's name for people. Default: the host name.
        "name" => name: Option<String> = None,
        /// Connect here instead of to the host name that is the section's key.
        "address" => address: Option<String> = None,
        /// Other hosts of the same network, tried in turn when one does not answer.
        "additionalAddresses" => additional_addresses: Vec<String> = Vec::new(),
        /// Port. Default: 6697 with TLS, 6667 without.
        "port" => port: Option<u16> = None,
        /// Whether to speak TLS.
        "ssl" => ssl: bool = true,
        /// Accept any certificate. Only for tests: whoever sits in between reads and changes everything.
        "sslselfsign" => ssl_self_signed: bool = false,
        /// File with certificates in PEM that are trusted besides the system's. Relative to this file.
        "ca" => ca: Option<String> = None,
        /// Password for the server (`PASS`). Or `password_file`.
        "password" => password: Option<Secret> = None,
        /// Whether users log in to their account with SASL as soon as they stored a password (`!storepass`).
        "sasl" => sasl: bool = true,
        /// The bridge's own connection, which listens for everybody.
        "botConfig" => bot: BotConfig = BotConfig::default(),
        /// Conversations between two people.
        "privateMessages" => private_messages: PrivateMessagesConfig = PrivateMessagesConfig::default(),
        /// Channels that become rooms when somebody asks for them.
        "dynamicChannels" => dynamic_channels: DynamicChannelsConfig = DynamicChannelsConfig::default(),
        /// Channels to listen to from the start: `"#channel": {}`, or `"#channel": { key: secret }`. What is said in them
        /// before they have a room is kept as scrollback for the first to join.
        "mappings" => mappings: BTreeMap<String, MappingConfig> = BTreeMap::new(),
        /// How IRC users look on Matrix.
        "matrixClients" => matrix_clients: MatrixClientsConfig = MatrixClientsConfig::default(),
        /// How Matrix users look on IRC.
        "ircClients" => irc_clients: IrcClientsConfig = IrcClientsConfig::default(),
        /// Who is shown to be in a room, and in a channel.
        "membershipLists" => membership_lists: MembershipListsConfig = MembershipListsConfig::default(),
        /// Holding leaves back while a network splits and heals.
        "quitDebounce" => quit_debounce: QuitDebounceConfig = QuitDebounceConfig::default(),
        /// What is kept of a channel before it has a room.
        "scrollback" => scrollback: ScrollbackConfig = ScrollbackConfig::default(),
        /// The power level that a channel mode is worth in the room.
        "modePowerMap" => mode_power_map: BTreeMap<String, i64> =
            [("q", 100), ("a", 100), ("o", 50), ("h", 25), ("v", 1)]
                .into_iter()
                .map(|(mode, level)| (mode.to_owned(), level))
                .collect(),
        /// Matrix users that get no connection: `[{ regex: "@spam.*:example\\.org" }]`. Nothing they say is bridged.
        "excludedUsers" => excluded_users: Vec<ExcludedUser> = Vec::new(),
    }
}

section! {
    /// The bridge's own connection to a network.
    pub struct BotConfig {
        /// Its nick.
        "nick" => nick: String = "MatrixBridge".to_owned(),
        /// Its user name (ident).
        "username" => username: String = "matrixbot".to_owned(),
        /// Its real name.
        "realname" => realname: String = "Bridge to Matrix".to_owned(),
        /// Account password, used with SASL. Or `password_file`.
        "password" => password: Option<Secret> = None,
        /// Account name for SASL. Default: the nick.
        "account" => account: Option<String> = None,
        /// User modes that it sets for itself.
        "userModes" => user_modes: String = String::new(),
        /// Whether it stays in channels whose room has no Matrix user left.
        "joinChannelsIfNoUsers" => join_channels_if_no_users: bool = true,
    }
}

section! {
    /// Matrix users that get no connection.
    pub struct ExcludedUser {
        /// Pattern of user IDs; the whole ID must match.
        "regex" => regex: String = String::new(),
    }
}

impl ServerConfig {
    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.ssl { 6697 } else { 6667 })
    }

    /// The hosts to try, in order. `domain` is the key of the section.
    pub fn hosts<'a>(&'a self, domain: &'a str) -> impl Iterator<Item = &'a str> {
        let first = self.address.as_deref().unwrap_or(domain);
        std::iter::once(first).chain(self.additional_addresses.iter().map(String::as_str))
    }

    /// The name for people. `domain` is the key of the section.
    pub fn display_name<'a>(&'a self, domain: &'a str) -> &'a str {
        self.name.as_deref().unwrap_or(domain)
    }
}
