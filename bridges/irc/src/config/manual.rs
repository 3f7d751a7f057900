//! Writes the commented example file from the documentation of the sections.

use std::fmt::Write as _;

use serde_json::Value;

use super::setting::Setting;

/// The example file while it is written.
///
/// A key that has its default value is written as a comment, so that the file holds only what was decided.
#[derive(Debug, Default)]
pub(crate) struct Manual {
    text: String,
    depth: usize,
}

impl Manual {
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// Writes lines of comment at the current depth.
    pub(crate) fn comment(&mut self, lines: &[&str]) {
        for line in lines {
            let indent = "  ".repeat(self.depth);
            let line = format!("{indent}#{line}");
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }

    /// Writes one documented key of a section.
    pub(crate) fn field<T: Setting + PartialEq>(
        &mut self,
        key: &str,
        doc: &[&str],
        value: &T,
        untouched: &T,
    ) {
        if !self.text.is_empty() && !self.text.ends_with(":\n") && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
        self.comment(doc);
        if !self.nested(key, value) {
            self.line(key, &value.document(), value == untouched);
        }
    }

    /// Writes a named entry of a map of sections.
    pub(crate) fn entry<T: Setting>(&mut self, key: &str, value: &T) {
        if !self.nested(key, value) {
            self.line(key, &value.document(), false);
        }
    }

    /// Writes `value` below `key` if it is a section.
    fn nested<T: Setting>(&mut self, key: &str, value: &T) -> bool {
        let mark = self.text.len();
        let _ = writeln!(self.text, "{}{}:", "  ".repeat(self.depth), quoted(key));
        self.depth += 1;
        let written = value.manual(self);
        self.depth -= 1;
        if !written {
            self.text.truncate(mark);
        }
        written
    }

    fn line(&mut self, key: &str, value: &Value, as_comment: bool) {
        let indent = "  ".repeat(self.depth);
        let mark = if as_comment { "#" } else { "" };
        let line = format!("{indent}{mark}{}: {}", quoted(key), flow(value));
        let _ = writeln!(self.text, "{}", line.trim_end());
    }
}

/// A value on one line. JSON is YAML, but plain words read better without quotes.
fn flow(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<_> =
                map.iter().map(|(key, value)| format!("{}: {}", quoted(key), flow(value))).collect();
            if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// The text as it is where YAML reads it as text, else in quotes.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:".contains(c))
        && !text.ends_with(':')
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { Value::from(text).to_string() }
}
