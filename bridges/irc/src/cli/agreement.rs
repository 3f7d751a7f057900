//! Whether the registration and the configuration say the same.

use matrix_appservice::registration::{NamespaceSet, Ownership, Registration};

use crate::config::{Config, Problem};
use crate::mapping::{AliasTemplate, UserTemplate};

/// Everything in which they differ.
pub(super) fn problems(config: &Config, registration: &Registration) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |path: String, text: String| problems.push(Problem { path, text });
    let namespaces = match NamespaceSet::new(&registration.namespaces) {
        Ok(namespaces) => namespaces,
        Err(error) => {
            add("namespaces".to_owned(), error.to_string());
            return problems;
        }
    };
    let remedy =
        "make the registration anew with `generate-registration --force`, and restart the homeserver";
    let domain = &config.homeserver.domain;
    for (server, section) in &config.servers {
        let user = UserTemplate::new(&section.matrix_clients.user_template, server).localpart("bob");
        let user = format!("@{user}:{domain}");
        if namespaces.user(&user) == Ownership::None {
            let text = format!("the registration does not claim {user}; {remedy}");
            add(format!("servers.{server}.matrixClients.userTemplate"), text);
        }
        let alias =
            AliasTemplate::new(&section.dynamic_channels.alias_template, server).localpart("#channel");
        let alias = format!("#{alias}:{domain}");
        if namespaces.alias(&alias) == Ownership::None {
            let text = format!("the registration does not claim {alias}; {remedy}");
            add(format!("servers.{server}.dynamicChannels.aliasTemplate"), text);
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::generate::registration_for;
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text, Path::new("")).expect("valid")
    }

    #[test]
    fn a_registration_fits_the_configuration_it_was_made_for_and_no_other() {
        let one = config("homeserver: { domain: example.org }\nservers: { irc.a.net: }\n");
        let registration = registration_for(&one);
        assert_eq!(problems(&one, &registration), []);
        let more = config("homeserver: { domain: example.org }\nservers: { irc.a.net: , irc.b.net: }\n");
        let found = problems(&more, &registration);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].path.contains("irc.b.net") && found[0].text.contains("--force"), "{found:?}");
        let moved = config("homeserver: { domain: elsewhere.org }\nservers: { irc.a.net: }\n");
        assert_eq!(problems(&moved, &registration).len(), 2);
    }
}
