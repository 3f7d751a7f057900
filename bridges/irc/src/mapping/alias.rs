//! Channels as aliases of rooms.

use sha2::{Digest, Sha256};

/// How the localpart of a room's alias is made from a channel: `dynamicChannels.aliasTemplate`.
///
/// The channel stands in it as it is, because people type aliases; only `:`, which ends a localpart, and `=` are
/// written as `=3a` and `=3d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasTemplate {
    before: String,
    after: String,
}

impl AliasTemplate {
    /// From the configuration: `#irc_$SERVER_$CHANNEL`. `server` stands for `$SERVER`.
    ///
    /// A template without `$CHANNEL` gets it at its end.
    pub fn new(template: &str, server: &str) -> Self {
        let template = template.strip_prefix('#').unwrap_or(template);
        let template = template.split(':').next().unwrap_or_default();
        let (before, after) = template.split_once("$CHANNEL").unwrap_or((template, ""));
        let fixed = |part: &str| part.replace("$SERVER", &server.replace(':', "=3a"));
        Self { before: fixed(before), after: fixed(after) }
    }

    /// The localpart of a channel's alias. Fold the channel first, so that it has one alias of its own.
    pub fn localpart(&self, folded: &str) -> String {
        let channel = folded.replace('=', "=3d").replace(':', "=3a");
        format!("{}{channel}{}", self.before, self.after)
    }

    /// The channel of an alias, as it is spelled there; it need not be folded.
    pub fn channel(&self, localpart: &str) -> Option<String> {
        let channel = localpart.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        // The alias of a private chat is nobody's channel.
        let plain = !channel.is_empty() && !channel.starts_with("=private=");
        plain.then(|| channel.replace("=3a", ":").replace("=3A", ":").replace("=3d", "=").replace("=3D", "="))
    }

    /// The localpart of the alias of a chat between a nick and a Matrix user. It names neither, since aliases are
    /// public.
    pub fn private_localpart(&self, folded: &str, receiver: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(folded);
        digest.update([0]);
        digest.update(receiver);
        let digest = digest.finalize();
        let hex: String = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}=private={hex}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::AliasTemplate;

    #[test]
    fn a_channel_has_the_alias_of_the_template() {
        for (template, channel, localpart) in [
            ("#irc_$SERVER_$CHANNEL", "#rust", "irc_libera_#rust"),
            ("#$CHANNEL/irc", "&local", "&local/irc"),
            ("#irc_$CHANNEL:example.org", "##c++", "irc_##c++"),
            ("#irc_$CHANNEL", "#a:b=c=3a", "irc_#a=3ab=3dc=3d3a"),
            ("#irc_", "#a", "irc_#a"),
        ] {
            let template = AliasTemplate::new(template, "libera");
            assert_eq!(template.localpart(channel), localpart);
            assert_eq!(template.channel(localpart).as_deref(), Some(channel));
        }
    }

    #[test]
    fn an_alias_that_is_no_channels_has_none() {
        let template = AliasTemplate::new("#irc_$CHANNEL", "s");
        for localpart in ["irc_", "rust", "#irc_#rust", &template.private_localpart("bob", "@a:b")] {
            assert_eq!(template.channel(localpart), None, "{localpart}");
        }
        assert_eq!(template.channel("irc_#A=b").as_deref(), Some("#A=b"));
    }

    #[test]
    fn the_alias_of_a_private_chat_names_nobody_and_is_its_own() {
        let template = AliasTemplate::new("#irc_$CHANNEL", "s");
        let one = template.private_localpart("bob", "@alice:example.org");
        assert!(!one.contains("bob") && !one.contains("alice"));
        assert_ne!(one, template.private_localpart("bob", "@carol:example.org"));
        assert_ne!(template.private_localpart("a", "bc"), template.private_localpart("ab", "c"));
    }

    proptest! {
        #[test]
        fn every_channel_comes_back(channel in "[#&+!][^ ,\r\n\0\x07]{0,40}") {
            let template = AliasTemplate::new("#irc_$SERVER_$CHANNEL", "libera");
            let localpart = template.localpart(&channel);
            prop_assert!(!localpart.contains(':'));
            prop_assert_eq!(template.channel(&localpart), Some(channel));
        }
    }
}
