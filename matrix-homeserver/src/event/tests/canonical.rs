//! What canonical JSON promises, of any content ([canonical JSON]).
//!
//! [canonical JSON]: https://spec.matrix.org/v1.19/appendices/#canonical-json

use proptest::prelude::*;
use ruma::room_version_rules::RoomVersionRules;

use super::*;

/// The largest integer that every language holds exactly.
const MAX: i64 = (1 << 53) - 1;

fn integer() -> impl Strategy<Value = i64> {
    prop_oneof![-MAX..=MAX, Just(MAX), Just(-MAX), -10_i64..10]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{0,2}", "\\PC{0,6}", "[\u{0}-\u{1f}\"\\\\/\u{7f}\u{2028}\u{ffff}\u{10ffff}]{0,4}"]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        integer().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(text(), inner, 0..5)
                .prop_map(|object| Value::Object(object.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = serde_json::Map<String, Value>> {
    proptest::collection::btree_map(text(), json(), 0..6).prop_map(|object| object.into_iter().collect())
}

/// The canonical form, written down from the specification.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by_key(|(key, _)| key.chars().collect::<Vec<_>>());
            let members = members.iter().map(|(key, value)| format!("{}:{}", quoted(key), canonical(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c < ' ' => quoted.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The same JSON with other spaces, and every member in another order.
fn disguised(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let members = object.iter().rev();
            let members = members.map(|(key, value)| format!(" {} :\t{}", json!(key), disguised(value)));
            format!("{{{}\n}}", members.collect::<Vec<_>>().join(" ,"))
        }
        Value::Array(items) => format!("[ {} ]", items.iter().map(disguised).collect::<Vec<_>>().join(" , ")),
        other => other.to_string(),
    }
}

fn read(json: String) -> Result<String, EventError> {
    let content = RawValue::from_string(json).unwrap();
    canonical_content(&content).map(|content| serde_json::to_string(&content).unwrap())
}

fn rules() -> RoomVersionRules {
    RoomVersionId::V12.rules().unwrap()
}

proptest! {
    #[test]
    fn content_has_one_canonical_form_however_it_is_written(object in object()) {
        let value = Value::Object(object);
        let form = read(disguised(&value)).unwrap();
        prop_assert_eq!(&form, &canonical(&value));
        prop_assert_eq!(&read(form.clone()).unwrap(), &form);
        prop_assert_eq!(serde_json::from_str::<Value>(&form).unwrap(), value);
    }

    #[test]
    fn numbers_that_some_language_would_change_are_refused(
        object in object(),
        number in prop_oneof![
            (MAX + 1..=i64::MAX).prop_map(|n| n.to_string()),
            (i64::MIN..-MAX).prop_map(|n| n.to_string()),
            any::<f64>().prop_filter("a fraction or very large", |n| n.is_finite()).prop_map(|n| format!("{n:?}")),
            Just("1e3".to_owned()), Just("-0.0".to_owned()), Just("18446744073709551616".to_owned()),
        ],
        depth in 0_usize..4,
    ) {
        let nested = "[".repeat(depth) + &number + &"]".repeat(depth);
        let rest = serde_json::to_string(&object).unwrap();
        let separator = if object.is_empty() { "" } else { "," };
        let json = format!("{{\"\u{10fffe}\":{nested}{separator}{}", &rest[1..]);
        prop_assert!(read(json).is_err(), "{}", number);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,60}") {
        if let Ok(content) = RawValue::from_string(text) {
            let _ = canonical_content(&content);
        }
    }

    #[test]
    fn a_signed_event_verifies_and_no_other_does(object in object(), other in text()) {
        let key = key();
        let content = Value::Object(object);
        let (_, json) = draft("org.example", &content).sign(&rules(), &key).unwrap();
        let public = Base64::new(key.pair().public_key().to_vec());
        let keys = BTreeMap::from([("hs.test".to_owned(), BTreeMap::from([("ed25519:a_1".to_owned(), public)]))]);
        let mut object: CanonicalJsonObject = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(verify_event(&keys, &object, &rules()).unwrap(), Verified::All);
        // What a redaction would take away may be changed in secret, and is known by its hash.
        object.insert("content".to_owned(), CanonicalJsonObject::from([("\u{10fffe}".to_owned(), other.as_str().into())]).into());
        prop_assert_eq!(verify_event(&keys, &object, &rules()).unwrap(), Verified::Signatures);
        object.insert("type".to_owned(), format!("{other}!").into());
        prop_assert!(verify_event(&keys, &object, &rules()).is_err());
    }
}
