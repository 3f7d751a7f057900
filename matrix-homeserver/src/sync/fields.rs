//! Parts of events that are already JSON.

use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};

/// A field of an event that is a text; empty where it is not.
pub(super) fn text(event: &RawValue, field: &str) -> String {
    let event: Map<String, Value> = serde_json::from_str(event.get()).unwrap_or_default();
    event.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The event with nothing but some fields, named by paths whose parts are separated by dots ([event_fields]).
/// A dot in a name is written `\.`.
///
/// [event_fields]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3useruseridfilter
pub(super) fn only(event: &RawValue, fields: &[String]) -> Option<Box<RawValue>> {
    let event: Map<String, Value> = serde_json::from_str(event.get()).ok()?;
    let mut kept = Map::new();
    for field in fields {
        copy(&event, &mut kept, &path(field));
    }
    to_raw_value(&kept).ok()
}

fn path(field: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = field.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                let escaped = letters.next().unwrap_or('\\');
                if let Some(part) = parts.last_mut() {
                    part.push(escaped);
                }
            }
            '.' => parts.push(String::new()),
            letter => {
                if let Some(part) = parts.last_mut() {
                    part.push(letter);
                }
            }
        }
    }
    parts
}

fn copy(from: &Map<String, Value>, to: &mut Map<String, Value>, path: &[String]) {
    let Some((name, rest)) = path.split_first() else { return };
    match from.get(name) {
        Some(value) if rest.is_empty() => {
            to.insert(name.clone(), value.clone());
        }
        Some(Value::Object(inner)) => {
            let entry = to.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(kept) = entry {
                copy(inner, kept, rest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_named_fields_are_kept() {
        let event = to_raw_value(&json!({
            "type": "m.room.message", "sender": "@a:b", "content": { "body": "x", "m.relates_to": { "a": 1, "b": 2 } },
        }))
        .unwrap();
        let kept = |fields: &[&str]| {
            let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
            serde_json::from_str::<Value>(only(&event, &fields).unwrap().get()).unwrap()
        };
        assert_eq!(
            kept(&["type", "content.body"]),
            json!({ "type": "m.room.message", "content": { "body": "x" } })
        );
        assert_eq!(kept(&["content.m\\.relates_to.a"]), json!({ "content": { "m.relates_to": { "a": 1 } } }));
        assert_eq!(kept(&["nothing", "content.nothing", "sender.x"]), json!({ "content": {} }));
    }
}
