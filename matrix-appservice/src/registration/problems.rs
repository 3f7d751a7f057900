//! What is wrong with a registration, where, and what to do.

use std::{fmt, io, path::PathBuf};

/// Why a registration file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// The file could not be read.
    #[error("cannot read the registration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file was read and is not a usable registration.
    #[error("the registration {} is not usable:\n{problems}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong in it.
        problems: RegistrationProblems,
    },
}

/// Everything that is wrong with a registration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationProblems(pub(super) Vec<Problem>);

impl RegistrationProblems {
    pub(super) fn not_yaml(error: &str) -> Self {
        Self(vec![Problem::new("", format!("is not YAML: {error}"), "mend the syntax")])
    }

    /// The problems, in the order of the file's documentation.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for RegistrationProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "- {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RegistrationProblems {}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where in the file: `namespaces.users[1].regex`. Empty for the file as a whole.
    pub path: String,
    /// What is wrong there. Never quotes a token.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { path: path.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the file" } else { &self.path };
        write!(f, "{path} {}; {}", self.what, self.remedy)
    }
}
