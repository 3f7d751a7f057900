//! The body of the draft's `POST /register`, by which an application service registered itself.

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::{Namespaces, Registration, Secret};

/// What an application service sent to register itself, before registrations were files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftRegistration {
    /// Where the homeserver reaches it.
    pub url: String,
    /// Its credentials, known to the homeserver beforehand.
    pub as_token: Secret,
    /// Objects, or plain strings in the older draft.
    #[serde(default)]
    pub namespaces: Namespaces,
}

impl DraftRegistration {
    /// Completes it by what a homeserver needs today.
    pub fn into_registration(
        self,
        id: impl Into<String>,
        sender_localpart: impl Into<String>,
        hs_token: Secret,
    ) -> Registration {
        Registration {
            id: id.into(),
            url: Some(self.url),
            as_token: self.as_token,
            hs_token,
            sender_localpart: sender_localpart.into(),
            namespaces: self.namespaces,
            rate_limited: Some(false),
            protocols: Vec::new(),
            receive_ephemeral: false,
            device_management: false,
            extra: Map::new(),
        }
    }
}
