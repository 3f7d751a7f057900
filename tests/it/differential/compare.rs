//! What two answers have in common: the set of keys, the types, and the values that no server chooses by itself.

use serde_json::{Map, Value, json};

use super::player::{Answer, Variable};

/// Something in which the answers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// `status`, or a path into the body.
    pub(crate) place: String,
    pub(crate) ours: String,
    pub(crate) theirs: String,
}

/// Members whose numbers and texts each server chooses for itself.
const CHOSEN: &str = "access_token age age_ts base_url bump_stamp creation_ts duration_ms end error etag expires_in expires_in_ms \
    expires_ts expiry_ts filter_id last_active_ago last_seen last_seen_ip last_seen_ts last_seen_user_agent login_token \
    m.upload.size next_batch next_batch_token next_token nonce origin_server_ts pos prev_batch prev_batch_token rank \
    received_ts refresh_token replaces_state session start ts unused_expires_at valid_until_ts";

fn is_chosen(key: &str) -> bool {
    CHOSEN.split(' ').any(|name| name == key)
}

/// Members that are maps from what a server chooses, or hold hashes and keys.
const OPAQUE: &[&str] = &["hashes", "signatures", "unstable_features", "verify_keys", "old_verify_keys"];

/// Lists whose order means something.
const ORDERED: &[&str] = &["messages", "timeline", "events_before", "events_after", "stages"];

/// The body with placeholders in place of what differs from server to server.
pub(crate) fn normalised(value: &Value, variables: &[Variable]) -> Value {
    match value {
        Value::String(text) => placeholder(text, variables).into(),
        Value::Array(list) => {
            let mut list: Vec<_> = list.iter().map(|value| normalised(value, variables)).collect();
            if list.iter().all(Value::is_string) {
                list.sort_by_key(ToString::to_string);
            }
            Value::Array(list)
        }
        Value::Object(map) => {
            let members = map.iter().map(|(key, value)| {
                let value = match value {
                    Value::Number(_) if is_chosen(key) => json!("<number>"),
                    // Synapse writes it some time later.
                    Value::Null if key == "last_seen_ts" => json!("<number>"),
                    Value::String(_) if is_chosen(key) => json!("<text>"),
                    Value::Object(_) if OPAQUE.contains(&key.as_str()) => json!("<object>"),
                    value => normalised(value, variables),
                };
                (placeholder(key, variables), value)
            });
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}

fn placeholder(text: &str, variables: &[Variable]) -> String {
    let mut text = text.to_owned();
    let mut known: Vec<_> = variables.iter().filter(|(_, value)| value.len() > 4).collect();
    known.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    for (name, value) in known {
        if text.contains(value.as_str()) {
            text = text.replace(value.as_str(), &format!("<{name}>"));
        }
    }
    let opaque = |rest: &str| rest.len() >= 18 && !rest.contains([' ', '<']);
    match text.split_at_checked(1) {
        Some(("$", rest)) if opaque(rest) => "<an event>".to_owned(),
        Some(("!", rest)) if opaque(rest) => "<a room>".to_owned(),
        _ if text.starts_with("mxc://hs.test/") && text.len() > 30 => "<a file>".to_owned(),
        _ if is_device(&text) => "<a device>".to_owned(),
        _ => text,
    }
}

/// Whether it looks like a device ID that a server made up.
fn is_device(text: &str) -> bool {
    text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// Everything in which two answers differ.
pub(crate) fn differences(ours: &Answer, theirs: &Answer) -> Vec<Difference> {
    let head = |answer: &Answer| match answer.body["errcode"].as_str() {
        Some(errcode) => format!("{} {errcode}", answer.status),
        None => answer.status.to_string(),
    };
    if head(ours) != head(theirs) {
        return vec![Difference { place: "status".to_owned(), ours: head(ours), theirs: head(theirs) }];
    }
    let mut found = Vec::new();
    compare("", "", &ours.body, &theirs.body, &mut found);
    found.dedup();
    found
}

fn compare(place: &str, key: &str, ours: &Value, theirs: &Value, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => compare_maps(place, ours, theirs, found),
        (Value::Array(ours), Value::Array(theirs)) => compare_lists(place, key, ours, theirs, found),
        _ if ours == theirs => {}
        _ => found.push(Difference { place: place.to_owned(), ours: shown(ours), theirs: shown(theirs) }),
    }
}

fn compare_maps(
    place: &str,
    ours: &Map<String, Value>,
    theirs: &Map<String, Value>,
    found: &mut Vec<Difference>,
) {
    let mut keys: Vec<_> = ours.keys().chain(theirs.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let place = format!("{place}.{key}");
        match (ours.get(key), theirs.get(key)) {
            (Some(ours), Some(theirs)) => {
                // The list of events is called after what it is in.
                let inner = if matches!(key.as_str(), "events" | "chunk") { place.as_str() } else { key };
                compare(&place, inner, ours, theirs, found);
            }
            (ours, theirs) => {
                let shown = |value: Option<&Value>| value.map_or("absent".to_owned(), shown);
                found.push(Difference { place, ours: shown(ours), theirs: shown(theirs) });
            }
        }
    }
}

fn compare_lists(place: &str, key: &str, ours: &[Value], theirs: &[Value], found: &mut Vec<Difference>) {
    let ordered = ORDERED.iter().any(|name| key.contains(name));
    if ordered && ours.len() == theirs.len() {
        for (ours, theirs) in ours.iter().zip(theirs) {
            compare(&format!("{place}[{}]", label(ours)), "", ours, theirs, found);
        }
        return;
    }
    // What is the same in both is left out; the rest is paired by what it is called.
    let mut theirs: Vec<_> = theirs.iter().collect();
    let mut lonely = Vec::new();
    for value in ours {
        match theirs.iter().position(|other| *other == value) {
            Some(index) => drop(theirs.remove(index)),
            None => lonely.push(value),
        }
    }
    for value in lonely {
        let place = format!("{place}[{}]", label(value));
        let same_event =
            theirs.iter().position(|other| event(value).is_some() && event(other) == event(value));
        match same_event.or_else(|| theirs.iter().position(|other| label(other) == label(value))) {
            Some(index) => compare(&place, "", value, theirs.remove(index), found),
            None => found.push(Difference { place, ours: shown(value), theirs: "absent".to_owned() }),
        }
    }
    for value in theirs {
        let place = format!("{place}[{}]", label(value));
        found.push(Difference { place, ours: "absent".to_owned(), theirs: shown(value) });
    }
}

/// The event in a list, or in a result of a search, that the script has a name for.
fn event(value: &Value) -> Option<&str> {
    let event_id = value.get("result").unwrap_or(value)["event_id"].as_str()?;
    (event_id != "<an event>").then_some(event_id)
}

/// What something in a list is called.
fn label(value: &Value) -> String {
    let value = value.get("result").unwrap_or(value);
    let text = |name: &str| value[name].as_str();
    let names = ["type", "rule_id", "room_id", "device_id", "user_id", "alias", "name"];
    let name = names.iter().find_map(|name| text(name));
    match (name, text("state_key")) {
        (Some(name), Some(key)) if !key.is_empty() => format!("{name} {key}"),
        (Some(name), _) => name.to_owned(),
        (None, _) => String::new(),
    }
}

/// A value as a cell of the list shows it.
fn shown(value: &Value) -> String {
    let text = value.to_string().replace('|', "¦").replace('`', "'");
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[test]
fn what_servers_choose_is_the_same() {
    let variables = [("room".to_owned(), "!abcdefghijklmnopqrst:hs.test".to_owned())];
    let body = json!({
        "room_id": "!abcdefghijklmnopqrst:hs.test",
        "next_batch": "s12_3",
        "content": {"$abcdefghijklmnopqrstuvwxyz": {"age": 7, "body": "$5"}},
    });
    let expected = json!({
        "room_id": "<room>",
        "next_batch": "<text>",
        "content": {"<an event>": {"age": "<number>", "body": "$5"}},
    });
    assert_eq!(normalised(&body, &variables), expected);
}

#[test]
fn differences_are_named_by_their_place() {
    let answer = |status, body| Answer { status, body };
    let ours = answer(200, json!({"events": [{"type": "a"}, {"type": "b", "x": 1}], "same": 1}));
    let theirs =
        answer(200, json!({"events": [{"type": "b", "x": 2}, {"type": "a"}], "same": 1, "more": []}));
    let found = differences(&ours, &theirs);
    let found: Vec<_> = found.iter().map(|it| (&*it.place, &*it.ours, &*it.theirs)).collect();
    assert_eq!(found, [(".events[b].x", "1", "2"), (".more", "absent", "[]")]);
    let refused = answer(403, json!({"errcode": "M_FORBIDDEN", "error": "no"}));
    assert_eq!(differences(&ours, &refused)[0].theirs, "403 M_FORBIDDEN");
}
