//! Passwords in the configuration: given as `x`, or in a file as `x_file`.

pub use matrix_appservice::registration::Secret;
use serde_json::Value;

use super::setting::{Node, Setting};

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
