//! `generate-registration` and `generate-config`.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use matrix_appservice::registration::{Namespace, Registration};

use crate::config::Config;

/// Prints the commented example.
pub(super) fn config() -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(Config::example().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the registration that fits the configuration, with new tokens.
pub(super) fn registration(file: &Path, force: bool) -> anyhow::Result<ExitCode> {
    let config = Config::load(file).with_context(|| format!("in {}", file.display()))?;
    let path = Path::new(&config.appservice.registration);
    if path.exists() && !force {
        bail!(
            "{} exists; its tokens would be replaced. Use --force if that is what you want.",
            path.display()
        );
    }
    let yaml = registration_for(&config).to_yaml();
    write_private(path, &yaml).with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = std::io::stdout();
    writeln!(out, "Wrote {}.", path.display())?;
    writeln!(out, "Now tell the homeserver: for Synapse, add it to `app_service_config_files` and restart.")?;
    Ok(ExitCode::SUCCESS)
}

/// A registration with new tokens that claims what the configuration uses.
pub(crate) fn registration_for(config: &Config) -> Registration {
    let appservice = &config.appservice;
    let url = appservice.url.clone().unwrap_or_else(|| format!("http://{}", appservice.listen));
    let domain = regex::escape(&config.homeserver.domain);
    let mut builder = Registration::builder("irc")
        .url(url)
        .sender_localpart(&appservice.sender_localpart)
        .protocol("irc")
        .rate_limited(false)
        .receive_ephemeral()
        .device_management();
    for (server, section) in &config.servers {
        let claim = |template: &str, variable: &str| {
            let template = template.replace("$SERVER", server);
            let (before, after) = template.split_once(variable).unwrap_or((&template, ""));
            format!("{}.*{}:{domain}", regex::escape(before), regex::escape(after))
        };
        builder = builder
            .users(Namespace::exclusive(claim(&section.matrix_clients.user_template, "$NICK")))
            .aliases(Namespace::exclusive(claim(&section.dynamic_channels.alias_template, "$CHANNEL")));
    }
    builder.build()
}

/// Writes a file that only its owner may read: it holds tokens.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use matrix_appservice::registration::{NamespaceSet, Ownership};

    use super::*;

    #[test]
    fn the_registration_claims_the_ghosts_and_aliases_of_every_network() {
        let text = "homeserver: { domain: example.org }\nservers: { irc.a.net: , irc.b.net: }\n";
        let config = Config::parse(text, Path::new("")).expect("valid");
        let registration = registration_for(&config);
        let set = NamespaceSet::new(&registration.namespaces).expect("patterns that compile");
        assert_eq!(set.user("@irc_irc.a.net_bob:example.org"), Ownership::Exclusive);
        assert_eq!(set.alias("#irc_irc.b.net_#rust:example.org"), Ownership::Exclusive);
        assert_eq!(set.user("@irc_ircXa.net_bob:example.org"), Ownership::None);
        assert_eq!(set.user("@bob:example.org"), Ownership::None);
        let read = Registration::from_yaml(&registration.to_yaml()).expect("it reads what it wrote");
        assert_eq!(read, registration);
    }
}
