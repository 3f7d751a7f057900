//! Who owns a user, an alias or a room.

use regex::Regex;

use super::{
    namespaces::{Namespace, NamespaceKind, Namespaces},
    pattern::compile,
};

/// What an application service has to do with an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ownership {
    /// No pattern matches.
    None,
    /// A pattern matches; others may use the identifier too.
    Shared,
    /// An exclusive pattern matches.
    Exclusive,
}

/// A pattern that is not a regular expression, or too large a one.
#[derive(Debug, Clone, thiserror::Error)]
#[error("namespaces.{kind}[{index}].regex is not a usable pattern")]
pub struct NamespaceError {
    /// Of which list.
    pub kind: NamespaceKind,
    /// Which of the list, from 0.
    pub index: usize,
    /// What the pattern compiler says.
    pub source: regex::Error,
}

/// The namespaces of one registration, every pattern compiled once.
///
/// A pattern is matched from the start of the identifier, but need not reach its end, as homeservers do it:
/// `@irc_` owns `@irc_bob:example.org`.
#[derive(Debug, Clone)]
pub struct NamespaceSet {
    users: Patterns,
    aliases: Patterns,
    rooms: Patterns,
}

impl NamespaceSet {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// The first pattern that is not usable.
    pub fn new(namespaces: &Namespaces) -> Result<Self, NamespaceError> {
        let compile = |kind| Patterns::new(kind, namespaces.of(kind));
        Ok(Self {
            users: compile(NamespaceKind::Users)?,
            aliases: compile(NamespaceKind::Aliases)?,
            rooms: compile(NamespaceKind::Rooms)?,
        })
    }

    /// Who owns the user ID.
    pub fn user(&self, user_id: &str) -> Ownership {
        self.users.ownership(user_id)
    }

    /// Who owns the room alias.
    pub fn alias(&self, alias: &str) -> Ownership {
        self.aliases.ownership(alias)
    }

    /// Who owns the room ID.
    pub fn room(&self, room_id: &str) -> Ownership {
        self.rooms.ownership(room_id)
    }
}

/// Compiled patterns, the exclusive ones apart so that the stronger answer is looked for first.
#[derive(Debug, Clone)]
struct Patterns {
    exclusive: Vec<Regex>,
    shared: Vec<Regex>,
}

impl Patterns {
    fn new(kind: NamespaceKind, namespaces: &[Namespace]) -> Result<Self, NamespaceError> {
        let mut patterns = Self { exclusive: Vec::new(), shared: Vec::new() };
        for (index, namespace) in namespaces.iter().enumerate() {
            let regex = compile(&namespace.regex).map_err(|source| NamespaceError { kind, index, source })?;
            if namespace.exclusive { &mut patterns.exclusive } else { &mut patterns.shared }.push(regex);
        }
        Ok(patterns)
    }

    fn ownership(&self, id: &str) -> Ownership {
        let any = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(id));
        if any(&self.exclusive) {
            Ownership::Exclusive
        } else if any(&self.shared) {
            Ownership::Shared
        } else {
            Ownership::None
        }
    }
}
