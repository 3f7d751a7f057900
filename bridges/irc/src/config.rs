//! The configuration: one YAML file, a section per file of this folder.
//!
//! Five lines are enough for a first message:
//!
//! ```yaml
//! homeserver:
//!   url: http://localhost:8008
//!   domain: example.org
//! servers:
//!   irc.libera.chat:
//! ```
//!
//! The keys of `servers` are those of matrix-appservice-irc where it has them. Every mistake is reported at once,
//! with the path to it and a remedy.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub mod channels;
pub mod clients;
pub mod homeserver;
mod manual;
pub mod membership;
pub mod messages;
pub mod secret;
pub mod server;
pub(crate) mod setting;
mod suggest;
mod validate;

#[cfg(test)]
mod tests;

pub use self::homeserver::{AppserviceConfig, HomeserverConfig, LoggingConfig};
pub use self::secret::Secret;
pub use self::server::ServerConfig;
pub use self::setting::Problem;

use self::manual::Manual;
use self::setting::{Document, Node, Setting, section};

section! {
    /// The whole file.
    pub struct Config {
        /// Where the bridge sends what happens on IRC.
        "homeserver" => homeserver: HomeserverConfig = HomeserverConfig::default(),
        /// Where the homeserver sends what happens on Matrix.
        "appservice" => appservice: AppserviceConfig = AppserviceConfig::default(),
        /// The IRC networks, each under the name of the host to connect to.
        "servers" => servers: BTreeMap<String, ServerConfig> = BTreeMap::new(),
        /// Who may do what: `"*"`, a homeserver's name or a user ID, with `none`, `user` or `admin`. The most exact
        /// entry counts.
        "permissions" => permissions: BTreeMap<String, String> =
            [("*".to_owned(), "user".to_owned())].into_iter().collect(),
        /// What the bridge writes to standard error.
        "logging" => logging: LoggingConfig = LoggingConfig::default(),
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not YAML.
    #[error("not valid YAML: {0}")]
    Syntax(String),
    /// The file says things that cannot be done.
    #[error("{}", Listed(.0))]
    Problems(Vec<Problem>),
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// All mistakes at once, see [`ConfigError::Problems`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads and checks the text of a file. Relative names in it start at `directory`.
    ///
    /// # Errors
    ///
    /// All mistakes at once, see [`ConfigError::Problems`].
    pub fn parse(text: &str, directory: &Path) -> Result<Self, ConfigError> {
        let value: Value =
            serde_saphyr::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string()))?;
        let value = if value.is_null() { Value::Object(serde_json::Map::new()) } else { value };
        let document = Document::new(directory);
        let config = Self::read(&Node::root(&value, &document));
        let mut problems = document.into_problems();
        let mut config = config.unwrap_or_default();
        for problem in config.validate() {
            if !problems.iter().any(|known| known.path == problem.path) {
                problems.push(problem);
            }
        }
        config.resolve(directory);
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::Problems(problems)) }
    }

    /// Every mistake that can be seen without asking anybody.
    pub fn validate(&self) -> Vec<Problem> {
        validate::problems(self)
    }

    /// The commented example: every key with its meaning and default.
    pub fn example() -> String {
        let mut example = Self::default();
        "example.org".clone_into(&mut example.homeserver.domain);
        "http://127.0.0.1:8008".clone_into(&mut example.homeserver.url);
        example.servers.insert("irc.example.net".to_owned(), ServerConfig::default());
        let mut manual = Manual::default();
        manual.comment(&[
            " Configuration of matrix-irc-bridge. What starts with `#` and a key is the default; remove the `#` to change it.",
            " A secret may stand in a file of its own: `password_file: name` instead of `password: …`.",
        ]);
        example.manual(&mut manual);
        manual.into_text()
    }

    /// What `user` may do here: the most exact entry of `permissions` counts.
    pub fn permission(&self, user: &ruma::UserId) -> Permission {
        let exact = [user.as_str(), user.server_name().as_str(), "*"];
        let entry = exact.iter().find_map(|key| self.permissions.get(*key));
        entry.and_then(|text| Permission::parse(text)).unwrap_or(Permission::None)
    }

    fn resolve(&mut self, directory: &Path) {
        let under = |name: &str| directory.join(name).to_string_lossy().into_owned();
        self.appservice.registration = under(&self.appservice.registration);
        self.appservice.database = under(&self.appservice.database);
        for server in self.servers.values_mut() {
            server.ca = server.ca.as_deref().map(under);
        }
    }
}

/// What a Matrix user may do with the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nothing: no connection, and nothing they say is bridged.
    None,
    /// Speak and use the commands for their own connection.
    User,
    /// Also the commands for the whole bridge.
    Admin,
}

impl Permission {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "user" => Some(Self::User),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

/// Problems, one to a line.
struct Listed<'a>(&'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} {}", if count == 1 { "problem" } else { "problems" })?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
