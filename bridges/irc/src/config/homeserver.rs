//! `homeserver:` and `appservice:`, the Matrix side.

use super::setting::section;

section! {
    /// `homeserver:` where the bridge sends what happens on IRC.
    pub struct HomeserverConfig {
        /// Base URL of the homeserver's client-server API, as the bridge reaches it. Needs a restart.
        "url" => url: String = "http://localhost:8008".to_owned(),
        /// The homeserver's name: what stands behind the colon of its users. Needs a restart.
        "domain" => domain: String = String::new(),
    }
}

section! {
    /// `appservice:` where the homeserver sends what happens on Matrix.
    pub struct AppserviceConfig {
        /// Address and port on which the bridge listens for the homeserver. Keep it off the open internet.
        /// Needs a restart.
        "listen" => listen: String = "127.0.0.1:9999".to_owned(),
        /// The URL under which the homeserver reaches `listen`. Only `generate-registration` reads it.
        /// Default: `http://` and `listen`.
        "url" => url: Option<String> = None,
        /// The registration file that `generate-registration` writes and the homeserver reads as well. Relative
        /// to this file.
        "registration" => registration: String = "registration.yaml".to_owned(),
        /// Directory in which the bridge keeps what it must not forget. Relative to this file.
        "database" => database: String = "irc-bridge-data".to_owned(),
        /// Localpart of the bridge's own Matrix user. Only `generate-registration` reads it.
        "senderLocalpart" => sender_localpart: String = "ircbot".to_owned(),
    }
}

section! {
    /// `logging:` what is written to standard error.
    pub struct LoggingConfig {
        /// `error`, `warn`, `info`, `debug` or `trace`, or directives such as `info,matrix_irc_bridge=debug`.
        /// The environment variable `RUST_LOG` goes first.
        "level" => level: String = "info".to_owned(),
        /// One JSON object per line instead of text.
        "json" => json: bool = false,
    }
}
