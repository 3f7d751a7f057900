//! `servers.<name>.privateMessages` and `scrollback`.

use super::setting::section;

section! {
    /// Conversations between two people.
    pub struct PrivateMessagesConfig {
        /// Whether they are bridged.
        "enabled" => enabled: bool = true,
        /// Whether users of other homeservers may have them.
        "federate" => federate: bool = true,
        /// Nicks with whom nobody can have one.
        "exclude" => exclude: Vec<String> = Vec::new(),
    }
}

section! {
    /// What is kept of a channel before it has a room. It is shown, with its time, to the first who joins.
    pub struct ScrollbackConfig {
        /// How many messages are kept for each channel. 0 keeps nothing.
        "messages" => messages: u32 = 50,
        /// Hours after which a kept message is forgotten. 0 is never.
        "hours" => hours: u32 = 72,
    }
}
