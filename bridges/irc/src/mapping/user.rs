//! Nicks as localparts of ghosts.

use super::escape;

/// How the localpart of a ghost is made from a nick: `matrixClients.userTemplate`.
///
/// Reversible, and always a localpart that the specification allows today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTemplate {
    before: String,
    after: String,
}

impl UserTemplate {
    /// From the configuration: `@irc_$SERVER_$NICK`. `server` stands for `$SERVER`.
    ///
    /// A template without `$NICK` gets it at its end.
    pub fn new(template: &str, server: &str) -> Self {
        let template = template.strip_prefix('@').unwrap_or(template);
        // Templates such as `@irc_$NICK:example.org` are in use elsewhere.
        let template = template.split(':').next().unwrap_or_default();
        let (before, after) = template.split_once("$NICK").unwrap_or((template, ""));
        let fixed = |part: &str| escape::localpart(&part.replace("$SERVER", server));
        Self { before: fixed(before), after: fixed(after) }
    }

    /// The localpart of a nick's ghost. Fold the nick first: two spellings are one person.
    pub fn localpart(&self, folded: &str) -> String {
        format!("{}{}{}", self.before, escape::localpart(folded), self.after)
    }

    /// The folded nick that a localpart was made from.
    pub fn nick(&self, localpart: &str) -> Option<String> {
        let nick = localpart.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        escape::from_localpart(nick).filter(|nick| !nick.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::UserTemplate;
    use crate::irc::casemapping::CaseMapping;

    #[test]
    fn a_ghost_is_named_by_the_template() {
        for (template, nick, localpart) in [
            ("@irc_$SERVER_$NICK", "bob", "irc_irc.example.net_bob"),
            ("@$NICK/irc", "b{o}b", "b=7bo=7db/irc"),
            ("@irc_$NICK:example.org", "bob", "irc_bob"),
            ("@IRC_$NICK", "bob", "irc_bob"),
            ("@irc_", "bob", "irc_bob"),
        ] {
            let template = UserTemplate::new(template, "irc.example.net");
            assert_eq!(template.localpart(nick), localpart);
            assert_eq!(template.nick(localpart).as_deref(), Some(nick));
        }
    }

    #[test]
    fn a_localpart_that_is_no_ghost_has_no_nick() {
        let template = UserTemplate::new("@irc_$NICK_x", "s");
        for localpart in ["irc__x", "irc_bob", "bob_x", "irc_Bob_x", "irc_=61_x", "irc_x", ""] {
            assert_eq!(template.nick(localpart), None, "{localpart}");
        }
    }

    proptest! {
        #[test]
        fn every_folded_nick_comes_back(nick in "[^ \r\n\0]{1,40}") {
            let folded = CaseMapping::Rfc1459.fold(&nick);
            let template = UserTemplate::new("@irc_$SERVER_$NICK", "libera");
            prop_assert_eq!(template.nick(&template.localpart(&folded)), Some(folded));
        }
    }
}
