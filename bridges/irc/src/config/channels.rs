//! `servers.<name>.dynamicChannels` and `mappings`: which channels become which rooms.

use super::secret::Secret;
use super::setting::section;

section! {
    /// Channels that become rooms when somebody joins their alias.
    pub struct DynamicChannelsConfig {
        /// Whether to make rooms on demand.
        "enabled" => enabled: bool = true,
        /// The alias of a channel's room. `$SERVER` is the section's key, `$CHANNEL` the channel with its `#`.
        "aliasTemplate" => alias_template: String = "#irc_$SERVER_$CHANNEL".to_owned(),
        /// Whether the rooms stand in the homeserver's public list.
        "published" => published: bool = true,
        /// Who may join: `public` or `invite`.
        "joinRule" => join_rule: String = "public".to_owned(),
        /// Whether users of other homeservers may join.
        "federate" => federate: bool = true,
        /// Version of new rooms. Default: the homeserver's.
        "roomVersion" => room_version: Option<String> = None,
        /// Channels that never become rooms.
        "exclude" => exclude: Vec<String> = Vec::new(),
    }
}

section! {
    /// A channel that is listened to whether or not it has a room.
    pub struct MappingConfig {
        /// The channel's key, if it is locked with one (`+k`). Or `key_file`.
        "key" => key: Option<Secret> = None,
    }
}
