//! What can be wrong with values that are of the right kind.

use regex::Regex;
use ruma::ServerName;
use url::Url;

use super::server::ServerConfig;
use super::setting::Problem;
use super::{Config, Permission};

/// Every mistake, in the order of the file.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let mut found = Found::default();
    matrix(config, &mut found);
    for (user, permission) in &config.permissions {
        if Permission::parse(permission).is_none() {
            found.add(
                format!("permissions.{user}"),
                format!("`{permission}` is unknown; use none, user or admin"),
            );
        }
    }
    if config.servers.is_empty() {
        found.add("servers", "names no network; add the host name of one, such as `irc.libera.chat:`");
    }
    for (domain, server) in &config.servers {
        network(&format!("servers.{domain}"), server, &mut found);
    }
    namespaces(config, &mut found);
    found.problems
}

#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
}

impl Found {
    fn add(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.problems.push(Problem::new(path, text));
    }

    fn unless(&mut self, fine: bool, path: String, text: impl Into<String>) {
        if !fine {
            self.add(path, text);
        }
    }
}

fn matrix(config: &Config, found: &mut Found) {
    let homeserver = &config.homeserver;
    let fine = Url::parse(&homeserver.url)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    found.unless(
        fine,
        "homeserver.url".to_owned(),
        format!("`{}` is not a URL of a homeserver; use one such as http://localhost:8008", homeserver.url),
    );
    if homeserver.domain.is_empty() {
        found.add("homeserver.domain", "is missing; it is what stands behind the colon of your users' IDs");
    } else if ServerName::parse(&homeserver.domain).is_err() {
        let text = format!("`{}` is not a server name; use one such as example.org", homeserver.domain);
        found.add("homeserver.domain", text);
    }
    let appservice = &config.appservice;
    let port = appservice.listen.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    found.unless(
        port.is_some(),
        "appservice.listen".to_owned(),
        format!("`{}` is not an address with a port; use one such as 127.0.0.1:9999", appservice.listen),
    );
    if let Some(url) = &appservice.url {
        let fine = Url::parse(url).is_ok_and(|url| url.has_host());
        found.unless(fine, "appservice.url".to_owned(), format!("`{url}` is not a URL"));
    }
    let localpart = &appservice.sender_localpart;
    found.unless(
        is_localpart(localpart),
        "appservice.senderLocalpart".to_owned(),
        format!("`{localpart}` is not a localpart; use lower-case letters, digits and any of ._=-/+"),
    );
}

fn network(path: &str, server: &ServerConfig, found: &mut Found) {
    if server.port == Some(0) {
        let usual = if server.ssl { "6697 for TLS" } else { "6667" };
        found.add(format!("{path}.port"), format!("0 is not a port; use {usual}"));
    }
    let bot = &server.bot;
    found.unless(
        is_nick(&bot.nick),
        format!("{path}.botConfig.nick"),
        format!("`{}` is not a nick; begin with a letter, without spaces and punctuation marks", bot.nick),
    );
    templates(path, server, found);
    let channels = &server.dynamic_channels;
    found.unless(
        matches!(channels.join_rule.as_str(), "public" | "invite"),
        format!("{path}.dynamicChannels.joinRule"),
        format!("`{}` is unknown; use public or invite", channels.join_rule),
    );
    found.unless(
        matches!(server.irc_clients.realname_format.as_str(), "mxid" | "reverse-mxid"),
        format!("{path}.ircClients.realnameFormat"),
        format!("`{}` is unknown; use mxid or reverse-mxid", server.irc_clients.realname_format),
    );
    for channel in server.mappings.keys() {
        found.unless(
            is_channel(channel),
            format!("{path}.mappings.{channel}"),
            "is not a channel; write it in quotes with its sign, such as \"#channel\"",
        );
    }
    for mode in server.mode_power_map.keys() {
        found.unless(
            mode.len() == 1 && mode.chars().all(|c| c.is_ascii_alphabetic()),
            format!("{path}.modePowerMap.{mode}"),
            "is not a mode; use one letter, such as o",
        );
    }
    for (index, user) in server.excluded_users.iter().enumerate() {
        if let Err(error) = Regex::new(&user.regex) {
            found.add(format!("{path}.excludedUsers[{index}].regex"), format!("is not a pattern: {error}"));
        }
    }
}

fn templates(path: &str, server: &ServerConfig, found: &mut Found) {
    let users = &server.matrix_clients.user_template;
    let at = format!("{path}.matrixClients.userTemplate");
    found.unless(users.contains("$NICK"), at.clone(), "must contain $NICK, else all IRC users are one");
    found.unless(users.starts_with('@'), at.clone(), "must begin with @");
    found.unless(!users.contains(':'), at, "must not contain a colon; the homeserver's name is added");

    let aliases = &server.dynamic_channels.alias_template;
    let at = format!("{path}.dynamicChannels.aliasTemplate");
    found.unless(
        aliases.contains("$CHANNEL"),
        at.clone(),
        "must contain $CHANNEL, else all channels are one",
    );
    found.unless(aliases.starts_with('#'), at.clone(), "must begin with #");
    found.unless(!aliases.contains(':'), at, "must not contain a colon; the homeserver's name is added");

    let nicks = &server.irc_clients.nick_template;
    let fine = ["$DISPLAY", "$LOCALPART", "$USERID"].iter().any(|variable| nicks.contains(variable));
    found.unless(
        fine,
        format!("{path}.ircClients.nickTemplate"),
        "must contain $DISPLAY, $LOCALPART or $USERID, else all Matrix users want one nick",
    );
}

/// Two networks must not claim the same users or aliases.
fn namespaces(config: &Config, found: &mut Found) {
    let prefixes = |pick: fn(&ServerConfig) -> &str, variable: &str| {
        config
            .servers
            .iter()
            .map(|(domain, server)| {
                let prefix = pick(server).split(variable).next().unwrap_or_default();
                (domain.clone(), prefix.replace("$SERVER", domain))
            })
            .collect::<Vec<_>>()
    };
    let users = prefixes(|server| &server.matrix_clients.user_template, "$NICK");
    overlap(&users, "matrixClients.userTemplate", found);
    let aliases = prefixes(|server| &server.dynamic_channels.alias_template, "$CHANNEL");
    overlap(&aliases, "dynamicChannels.aliasTemplate", found);
}

fn overlap(prefixes: &[(String, String)], key: &str, found: &mut Found) {
    for (index, (domain, prefix)) in prefixes.iter().enumerate() {
        for (other, other_prefix) in &prefixes[..index] {
            let text = format!("cannot be told from that of {other}; put $SERVER into both");
            found.unless(prefix != other_prefix, format!("servers.{domain}.{key}"), text);
        }
    }
}

fn is_localpart(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._=-/+".contains(c))
}

/// Letters, digits and the signs of RFC 2812, section 2.3.1; not a digit or `-` first.
fn is_nick(text: &str) -> bool {
    let special = |c: char| "[]\\`_^{|}".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphabetic() || special(c))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || special(c) || c == '-')
}

/// A sign that some network uses for channels, then no space, comma or bell (RFC 2812, section 1.3).
fn is_channel(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(['#', '&', '+', '!'])
        && !text.contains(|c: char| c.is_ascii_control() || c == ' ' || c == ',')
}
