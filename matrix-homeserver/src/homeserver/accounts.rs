//! What an operator chooses about accounts.

use std::{fmt, time::Duration};

use matrix_appservice::Secret;

/// A document that has to be agreed to before somebody may register ([terms of service]).
///
/// [terms of service]: https://spec.matrix.org/v1.19/client-server-api/#terms-of-service-at-registration
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Names the document, like `privacy_policy`.
    pub id: String,
    /// Changes when the document does.
    pub version: String,
    /// What people are shown.
    pub name: String,
    /// Where they can read it.
    pub url: String,
}

/// Somebody to turn to about the server
/// ([support](https://spec.matrix.org/v1.19/client-server-api/#getwell-knownmatrixsupport)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SupportContact {
    /// What about, like `m.role.admin` or `m.role.security`.
    pub role: String,
    /// How to reach them on Matrix.
    pub matrix_id: Option<String>,
    /// How to reach them otherwise.
    pub email_address: Option<String>,
}

/// Whom to turn to about the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Support {
    pub(crate) contacts: Vec<SupportContact>,
    pub(crate) page: Option<String>,
}

/// A relay for calls, with the secret that it shares with the server
/// ([VoIP](https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3voipturnserver)).
#[derive(Clone)]
pub struct TurnServer {
    /// Where it is, like `turn:turn.example.org?transport=udp`.
    pub uris: Vec<String>,
    secret: Secret,
    /// How long what clients are given lets them in.
    pub lifetime: Duration,
}

impl TurnServer {
    /// A relay that lets clients in for a day at a time.
    pub fn new<'u>(uris: impl IntoIterator<Item = &'u str>, secret: &str) -> Self {
        Self {
            uris: uris.into_iter().map(ToOwned::to_owned).collect(),
            secret: Secret::new(secret),
            lifetime: Duration::from_hours(24),
        }
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl fmt::Debug for TurnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnServer").field("uris", &self.uris).finish_non_exhaustive()
    }
}
