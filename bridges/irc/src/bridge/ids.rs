//! How names on IRC become the framework's identifiers, and back.
//!
//! `irc.libera.chat/#rust`: the network's key in the configuration, a slash, the folded name. The key is a host
//! name, so it holds no slash.

use matrix_appservice::bridge::{LoginId, PortalId, PortalKey, RemoteUserId};
use ruma::{OwnedUserId, UserId};

/// A name on a network, folded by its `CASEMAPPING`.
fn join(server: &str, folded: &str) -> String {
    format!("{server}/{folded}")
}

/// The network and the folded name.
fn split(id: &str) -> Option<(&str, &str)> {
    id.split_once('/').filter(|(server, name)| !server.is_empty() && !name.is_empty())
}

/// The portal of a channel.
pub(crate) fn channel(server: &str, folded: &str) -> PortalKey {
    PortalKey::shared(join(server, folded))
}

/// The portal of what a puppet and a nick say to each other.
pub(crate) fn private(server: &str, folded: &str, login: &LoginId) -> PortalKey {
    PortalKey::private(join(server, folded), login.clone())
}

/// A user of the network.
pub(crate) fn user(server: &str, folded: &str) -> RemoteUserId {
    RemoteUserId::new(join(server, folded))
}

/// The bridge's own connection to a network.
pub(crate) fn listener(server: &str) -> LoginId {
    LoginId::new(join(server, "listener"))
}

/// The connection of a Matrix user.
pub(crate) fn puppet(server: &str, user: &UserId) -> LoginId {
    LoginId::new(join(server, user.as_str()))
}

/// The network and the channel or nick of a portal.
pub(crate) fn of_portal(portal: &PortalId) -> Option<(&str, &str)> {
    split(portal.as_str())
}

/// The network and the nick of a user.
pub(crate) fn of_user(user: &RemoteUserId) -> Option<(&str, &str)> {
    split(user.as_str())
}

/// The network of a login, and its Matrix user unless it is the listener.
pub(crate) fn of_login(login: &LoginId) -> Option<(&str, Option<OwnedUserId>)> {
    let (server, name) = split(login.as_str())?;
    Some((server, UserId::parse(name).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identifier_leads_back_to_its_names() {
        let alice = UserId::parse("@alice:example.org").expect("an ID");
        assert_eq!(of_portal(&channel("irc.a", "#b/c").id), Some(("irc.a", "#b/c")));
        assert_eq!(of_user(&user("irc.a", "bob")), Some(("irc.a", "bob")));
        assert_eq!(of_login(&puppet("irc.a", &alice)), Some(("irc.a", Some(alice))));
        assert_eq!(of_login(&listener("irc.a")), Some(("irc.a", None)));
        for nonsense in ["", "/", "a/", "/b", "ab"] {
            assert_eq!(of_portal(&PortalId::new(nonsense)), None, "{nonsense}");
        }
    }
}
