//! The registration: the file by which a homeserver and an application service know each other.
//!
//! A [`Registration`] is read with [`Registration::load`], or made with [`Registration::builder`] and
//! written with [`Registration::to_yaml`]. Reading reports *every* problem at once, each with its place in the
//! file and what to do about it. Keys that today's specification does not name are kept and written back.
//!
//! [Specification](https://spec.matrix.org/v1.19/application-service-api/#registration).

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod builder;
mod draft;
mod namespace_set;
mod namespaces;
mod pattern;
mod problems;
mod read;
mod secret;
#[cfg(test)]
mod tests;

pub use self::{
    builder::RegistrationBuilder,
    draft::DraftRegistration,
    namespace_set::{NamespaceError, NamespaceSet, Ownership},
    namespaces::{Namespace, NamespaceKind, Namespaces},
    problems::{Problem, RegistrationError, RegistrationProblems},
    secret::Secret,
};

/// What a homeserver has to know of an application service, and the other way round.
///
/// Every field of today's specification, the unstable keys in wide use, and whatever else the file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Registration {
    /// Names the application service; unique on the homeserver, and not to be changed once in use.
    pub id: String,
    /// Where the homeserver reaches the application service; `None` if it wants no traffic.
    pub url: Option<String>,
    /// What the application service shows to the homeserver. Unique on the homeserver.
    pub as_token: Secret,
    /// What the homeserver shows to the application service.
    pub hs_token: Secret,
    /// The localpart of the application service's own user, its *bot*.
    pub sender_localpart: String,
    /// The users, aliases and rooms that it cares for.
    pub namespaces: Namespaces,
    /// Whether requests for its users are rate limited, the bot's excepted. The homeserver decides if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limited: Option<bool>,
    /// The third-party protocols that it answers look-ups for: `irc`, for example.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<String>,
    /// Whether it wants typing, receipts and presence (v1.13).
    #[serde(default, skip_serializing_if = "is_false")]
    pub receive_ephemeral: bool,
    /// Whether it makes devices for its users without logging them in (MSC4190: `io.element.msc4190`).
    #[serde(default, rename = "io.element.msc4190", skip_serializing_if = "is_false")]
    pub device_management: bool,
    /// Every other key, as it was in the file.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Registration {
    /// Starts a registration with fresh random tokens.
    pub fn builder(id: impl Into<String>) -> RegistrationBuilder {
        RegistrationBuilder::new(id.into())
    }

    /// Reads a registration from the text of its file.
    ///
    /// # Errors
    /// [`RegistrationProblems`] with everything that is wrong, not only the first.
    pub fn from_yaml(text: &str) -> Result<Self, RegistrationProblems> {
        let document = serde_saphyr::from_str::<Value>(text)
            .map_err(|error| RegistrationProblems::not_yaml(&error.to_string()))?;
        read::read(document)
    }

    /// Reads a registration file.
    ///
    /// # Errors
    /// When the file cannot be read, or with everything that is wrong in it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, RegistrationError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path)
            .map_err(|source| RegistrationError::Read { path: path.to_owned(), source })?;
        Self::from_yaml(&text)
            .map_err(|problems| RegistrationError::Invalid { path: path.to_owned(), problems })
    }

    /// The text of the file, tokens included: this is what an operator gives to the homeserver.
    #[expect(clippy::expect_used, reason = "see the text")]
    pub fn to_yaml(&self) -> String {
        serde_saphyr::to_string(self)
            .expect("strings, booleans, lists and maps are all representable in YAML")
    }

    /// Writes the file so that only its owner can read it, because it holds both tokens.
    ///
    /// # Errors
    /// When the file exists already (tokens in use are never overwritten) or cannot be written.
    pub fn save_new(&self, path: impl AsRef<Path>) -> io::Result<()> {
        use io::Write as _;
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?.write_all(self.to_yaml().as_bytes())
    }
}
