//! Namespaces as they stand in a registration.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// The patterns of the users, aliases and rooms that an application service cares for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Patterns of user IDs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<Namespace>,
    /// Patterns of room aliases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Namespace>,
    /// Patterns of room IDs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<Namespace>,
}

impl Namespaces {
    /// The patterns of one kind.
    pub fn of(&self, kind: NamespaceKind) -> &[Namespace] {
        match kind {
            NamespaceKind::Users => &self.users,
            NamespaceKind::Aliases => &self.aliases,
            NamespaceKind::Rooms => &self.rooms,
        }
    }
}

/// One pattern of a namespace.
///
/// Read from an object or, as in the early draft of the application-service API, from a plain string, which
/// is exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Namespace {
    /// Whether nobody else may make users, aliases or rooms that match.
    pub exclusive: bool,
    /// A POSIX extended regular expression, matched from the start of the identifier.
    pub regex: String,
}

impl Namespace {
    /// A pattern that nobody else may use.
    pub fn exclusive(regex: impl Into<String>) -> Self {
        Self { exclusive: true, regex: regex.into() }
    }

    /// A pattern that others may use too.
    pub fn shared(regex: impl Into<String>) -> Self {
        Self { exclusive: false, regex: regex.into() }
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Object { exclusive: bool, regex: String },
            Plain(String),
        }
        Ok(match Form::deserialize(deserializer)? {
            Form::Object { exclusive, regex } => Self { exclusive, regex },
            Form::Plain(regex) => Self::exclusive(regex),
        })
    }
}

/// What a namespace is a namespace of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NamespaceKind {
    /// User IDs.
    Users,
    /// Room aliases.
    Aliases,
    /// Room IDs.
    Rooms,
}

impl NamespaceKind {
    /// Every kind, in the order of the file.
    pub const ALL: [Self; 3] = [Self::Users, Self::Aliases, Self::Rooms];

    /// The key in the registration.
    pub fn key(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Aliases => "aliases",
            Self::Rooms => "rooms",
        }
    }

    /// The first character of the identifiers.
    pub fn sigil(self) -> char {
        match self {
            Self::Users => '@',
            Self::Aliases => '#',
            Self::Rooms => '!',
        }
    }
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}
