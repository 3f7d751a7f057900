//! `servers.<name>.membershipLists` and `quitDebounce`: who is shown to be where, and when they are shown to leave.

use super::setting::section;

section! {
    /// Who is shown to be in a room, and in a channel.
    pub struct MembershipListsConfig {
        /// Whether IRC users who are in a channel appear in its room before they speak.
        "ircToMatrix" => irc_to_matrix: MembershipDirection = MembershipDirection::default(),
        /// Whether Matrix users who are in a room appear in its channel before they speak.
        "matrixToIrc" => matrix_to_irc: MembershipDirection = MembershipDirection::default(),
    }
}

section! {
    /// One direction of the membership lists.
    pub struct MembershipDirection {
        /// Those who are there when the bridge starts or the room is made.
        "initial" => initial: bool = true,
        /// Those who come and go.
        "incremental" => incremental: bool = true,
    }
}

section! {
    /// Holding leaves back while a network splits and heals.
    pub struct QuitDebounceConfig {
        /// Whether to hold leaves back at all.
        "enabled" => enabled: bool = true,
        /// More quits than this in one second, or quits with the names of two servers as reason, are a split.
        "quitsPerSecond" => quits_per_second: u32 = 5,
        /// Milliseconds for which the leaves of a split are held. Who is back by then has not left.
        "delayMs" => delay_ms: u32 = 600_000,
    }
}
