//! Passwords in the configuration: given as `x`, or in a file as `x_file`.

use std::fmt;

use serde_json::Value;
use zeroize::Zeroizing;

use super::setting::{Node, Setting};

/// A password. `Debug` shows nothing of it, and the memory is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a password into care.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The password itself, to send it where it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Setting for Secret {
    fn read(node: &Node<'_>) -> Option<Self> {
        String::read(node).map(Self::new)
    }

    fn read_key(section: &Node<'_>, key: &str) -> Option<Self> {
        let here = section.child(key);
        let Some(elsewhere) = section.child(&file_key(key)) else { return Self::read(&here?) };
        if here.is_some() {
            elsewhere.problem(format!("`{key}` is given as well; keep one of the two"));
            return None;
        }
        let file = elsewhere.resolve(&String::read(&elsewhere)?);
        match std::fs::read_to_string(&file) {
            Ok(text) => Some(Self::new(text.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                elsewhere.problem(format!("cannot read {}: {error}", file.display()));
                None
            }
        }
    }

    fn keys(key: &str) -> Vec<String> {
        vec![key.to_owned(), file_key(key)]
    }

    fn document(&self) -> Value {
        // An example file never holds a secret.
        "…".into()
    }
}

fn file_key(key: &str) -> String {
    format!("{key}_file")
}
