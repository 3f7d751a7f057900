//! How a section of the configuration is declared, read and documented.
//!
//! The [`section!`] macro takes a struct whose doc comments are the manual. From it come the struct, its
//! defaults, a reader that collects every mistake instead of stopping at the first, and the commented
//! example file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::manual::Manual;
use super::suggest::closest;

/// A mistake in the configuration: where it is and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The keys that lead to the value, joined by dots: `servers.irc.example.net.port`.
    pub path: String,
    /// What is wrong, and the remedy.
    pub text: String,
}

impl Problem {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.text) } else { write!(f, "{}: {}", self.path, self.text) }
    }
}

/// What all nodes of one document share.
#[derive(Debug)]
pub(crate) struct Document {
    problems: RefCell<Vec<Problem>>,
    /// Relative names of secret files start here.
    directory: PathBuf,
}

impl Document {
    pub(crate) fn new(directory: &Path) -> Self {
        Self { problems: RefCell::default(), directory: directory.to_owned() }
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// A value of the document with the path that leads to it.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    pub(crate) value: &'a Value,
    pub(crate) path: String,
    pub(crate) document: &'a Document,
}

impl<'a> Node<'a> {
    pub(crate) fn root(value: &'a Value, document: &'a Document) -> Self {
        Self { value, path: String::new(), document }
    }

    pub(crate) fn problem(&self, text: impl Into<String>) {
        self.document.problems.borrow_mut().push(Problem::new(self.path.clone(), text));
    }

    /// The value under `key`; `null` counts as absent.
    pub(crate) fn child(&self, key: &str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(Self { value, path: self.path_of(key), document: self.document })
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(crate) fn resolve(&self, file: &str) -> PathBuf {
        self.document.directory.join(file)
    }

    fn wrong_type(&self, wanted: &str) {
        let found = match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "text",
            Value::Array(_) => "a list",
            Value::Object(_) => "a section",
        };
        self.problem(format!("should be {wanted}, but is {found}"));
    }

    /// Reports keys of this section that are not among `known`.
    pub(crate) fn refuse_unknown(&self, known: &[String]) {
        let Value::Object(map) = self.value else {
            self.wrong_type("a section with keys of its own");
            return;
        };
        for key in map.keys().filter(|key| !known.contains(key)) {
            let remedy = match closest(key, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("remove it; known keys are {}", known.join(", ")),
            };
            let problem = Problem::new(self.path_of(key), format!("is not a known key; {remedy}"));
            self.document.problems.borrow_mut().push(problem);
        }
    }
}

/// Something that can stand as a value in the configuration.
pub(crate) trait Setting: Sized {
    /// Reads the value; mistakes go to the node's document and yield `None`.
    fn read(node: &Node<'_>) -> Option<Self>;

    /// Reads the value under `key` of a section. `None` when absent or wrong.
    fn read_key(section: &Node<'_>, key: &str) -> Option<Self> {
        Self::read(&section.child(key)?)
    }

    /// The keys under which a field named `key` may be given.
    fn keys(key: &str) -> Vec<String> {
        vec![key.to_owned()]
    }

    /// The value as a document.
    fn document(&self) -> Value;

    /// Whether the value is a section with keys of its own, written in the example one by one.
    fn manual(&self, _manual: &mut Manual) -> bool {
        false
    }
}

impl Setting for bool {
    fn read(node: &Node<'_>) -> Option<Self> {
        let found = node.value.as_bool();
        if found.is_none() {
            node.wrong_type("true or false");
        }
        found
    }

    fn document(&self) -> Value {
        (*self).into()
    }
}

macro_rules! whole_number {
    ($($ty:ty),*) => {$(
        impl Setting for $ty {
            fn read(node: &Node<'_>) -> Option<Self> {
                let Some(number) = node.value.as_i64() else {
                    node.wrong_type("a whole number");
                    return None;
                };
                let fitting = <$ty>::try_from(number).ok();
                if fitting.is_none() {
                    node.problem(format!("{number} is out of range; use {} to {}", <$ty>::MIN, <$ty>::MAX));
                }
                fitting
            }

            fn document(&self) -> Value {
                (*self).into()
            }
        }
    )*};
}
whole_number!(u16, u32, i64);

impl Setting for String {
    fn read(node: &Node<'_>) -> Option<Self> {
        match node.value {
            Value::String(text) => Some(text.clone()),
            // A nick of digits or a bare `on` is meant as text.
            Value::Number(number) => Some(number.to_string()),
            _ => {
                node.wrong_type("text");
                None
            }
        }
    }

    fn document(&self) -> Value {
        self.as_str().into()
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(node: &Node<'_>) -> Option<Self> {
        T::read(node).map(Some)
    }

    fn read_key(section: &Node<'_>, key: &str) -> Option<Self> {
        T::read_key(section, key).map(Some)
    }

    fn keys(key: &str) -> Vec<String> {
        T::keys(key)
    }

    fn document(&self) -> Value {
        self.as_ref().map_or(Value::Null, Setting::document)
    }

    fn manual(&self, manual: &mut Manual) -> bool {
        self.as_ref().is_some_and(|value| value.manual(manual))
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(node: &Node<'_>) -> Option<Self> {
        let Value::Array(items) = node.value else {
            node.wrong_type("a list");
            return None;
        };
        let item = |(index, value)| {
            T::read(&Node { value, path: format!("{}[{index}]", node.path), document: node.document })
        };
        Some(items.iter().enumerate().filter_map(item).collect())
    }

    fn document(&self) -> Value {
        self.iter().map(Setting::document).collect()
    }
}

impl<T: Setting> Setting for BTreeMap<String, T> {
    fn read(node: &Node<'_>) -> Option<Self> {
        let Value::Object(map) = node.value else {
            node.wrong_type("a section with keys of its own");
            return None;
        };
        let entry = |(key, value): (&String, &Value)| {
            // `irc.example.net:` with nothing below it asks for the defaults.
            let empty = Value::Object(serde_json::Map::new());
            let value = if value.is_null() { &empty } else { value };
            let node = Node { value, path: node.path_of(key), document: node.document };
            Some((key.clone(), T::read(&node)?))
        };
        Some(map.iter().filter_map(entry).collect())
    }

    fn document(&self) -> Value {
        self.iter()
            .map(|(key, value)| (key.clone(), value.document()))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn manual(&self, manual: &mut Manual) -> bool {
        for (key, value) in self {
            manual.entry(key, value);
        }
        !self.is_empty()
    }
}

/// Declares a section: doc comments, `"keyInTheFile" => field: Type = default,`.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])* $key:literal => $field:ident: $ty:ty = $default:expr, )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $ty, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::config::setting::Setting for $name {
            fn read(node: &$crate::config::setting::Node<'_>) -> Option<Self> {
                use $crate::config::setting::Setting;
                node.refuse_unknown(&[$( <$ty as Setting>::keys($key), )*].concat());
                let mut section = Self::default();
                $( if let Some(value) = <$ty as Setting>::read_key(node, $key) { section.$field = value; } )*
                Some(section)
            }

            fn document(&self) -> serde_json::Value {
                let mut map = serde_json::Map::new();
                $( map.insert($key.to_owned(), $crate::config::setting::Setting::document(&self.$field)); )*
                map.into()
            }

            fn manual(&self, manual: &mut $crate::config::manual::Manual) -> bool {
                let untouched = Self::default();
                $( manual.field($key, &[$($doc),*], &self.$field, &untouched.$field); )*
                true
            }
        }
    };
}
pub(crate) use section;
