//! `servers.<name>.matrixClients` and `ircClients`: how each side looks on the other.

use super::setting::section;

section! {
    /// How IRC users look on Matrix.
    pub struct MatrixClientsConfig {
        /// User ID of an IRC user's ghost. `$SERVER` is the section's key, `$NICK` the nick, which is lower-cased by
        /// the network's rules and escaped where Matrix does not allow a character.
        "userTemplate" => user_template: String = "@irc_$SERVER_$NICK".to_owned(),
        /// Display name of a ghost. `$NICK` is the nick as it is, `$SERVER` the section's key.
        "displayName" => display_name: String = "$NICK (IRC)".to_owned(),
    }
}

section! {
    /// How Matrix users look on IRC.
    pub struct IrcClientsConfig {
        /// Nick of a Matrix user: `$DISPLAY` is the display name, `$LOCALPART` the part of the user ID between `@`
        /// and the colon, `$USERID` the whole. What IRC does not allow in nicks is left out or replaced.
        "nickTemplate" => nick_template: String = "$DISPLAY[m]".to_owned(),
        /// Whether users may choose another nick (`!nick`).
        "allowNickChanges" => allow_nick_changes: bool = true,
        /// How many Matrix users may be connected at once. 0 is no limit.
        "maxClients" => max_clients: u32 = 1000,
        /// Seconds after which a user who said nothing is disconnected, to be connected again when they speak.
        /// 0 is never.
        "idleTimeout" => idle_timeout: u32 = 0,
        /// Seconds that a connection outlives the last channel its user left.
        "lingerTimeout" => linger_timeout: u32 = 60,
        /// The longest wait between two attempts to connect, in milliseconds. It doubles from one second.
        "reconnectIntervalMs" => reconnect_interval_ms: u32 = 300_000,
        /// How many new connections a second the network allows, on average. 0 is no limit.
        "connectsPerSecond" => connects_per_second: u32 = 4,
        /// How many lines a message may have on IRC before it is cut off with a note. 0 is no limit.
        "lineLimit" => line_limit: u32 = 10,
        /// How many lines a user may send in one go before the bridge spreads them. 0 is no limit.
        "floodBurst" => flood_burst: u32 = 8,
        /// Milliseconds between two lines after that.
        "floodDelayMs" => flood_delay_ms: u32 = 700,
        /// User modes that each connection sets for itself.
        "userModes" => user_modes: String = String::new(),
        /// Real name of a Matrix user: `mxid` is the user ID, `reverse-mxid` the user ID with the host first.
        "realnameFormat" => realname_format: String = "mxid".to_owned(),
        /// Milliseconds of silence after which the bridge asks whether the server is still there.
        "pingRateMs" => ping_rate_ms: u32 = 60_000,
        /// Milliseconds without an answer after which a connection counts as lost.
        "pingTimeoutMs" => ping_timeout_ms: u32 = 120_000,
        /// The message with which a connection is closed.
        "quitMessage" => quit_message: String = "Bridge to Matrix".to_owned(),
    }
}
