//! What reads input, with what must hold of it whatever the input is: the bodies of the fuzz targets in `fuzz/`, and of
//! property tests that need no special compiler.
//!
//! Every function takes any bytes, and panics only where the server has a fault.

use http::{HeaderMap, HeaderValue, header};
use matrix_appservice::{Namespace, NamespaceSet, Namespaces};
use ruma::{
    EventId, RoomId,
    push::{PushConditionRoomCtx, Ruleset},
    user_id,
};
use serde_json::{Map, Value, json, value::RawValue};

use crate::{
    api::{self, extract},
    event::{Pdu, canonical_content, redact},
    room::{self, FilterDefinition, Rooms},
    user::{TokenHash, actions_for, rules_content},
};

/// A JSON body: what is accepted is an object, and reads the same when it is written again.
pub fn json_body(data: &[u8]) {
    let Ok(body) = extract::parse::<Map<String, Value>>(data) else { return };
    let written = serde_json::to_vec(&body).expect("a body that was read can be written");
    let again: Map<String, Value> = extract::parse(&written).expect("what was written can be read");
    // Fractions are read to the nearest but one at worst.
    if !body.values().any(has_fraction) {
        assert_eq!(body, again, "a body changes when it is written and read");
    }
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(list) => list.iter().any(has_fraction),
        Value::Object(map) => map.values().any(has_fraction),
        _ => false,
    }
}

/// The content of an event: what is accepted has one canonical form.
pub fn canonical_json(data: &[u8]) {
    let Some(raw) = raw(data) else { return };
    let Ok(content) = canonical_content(&raw) else { return };
    let written = serde_json::to_string(&content).expect("canonical JSON can be written");
    let again = RawValue::from_string(written.clone()).expect("it is JSON");
    let again = canonical_content(&again).expect("a canonical form is canonical");
    assert_eq!(content, again, "the canonical form is another content");
    assert_eq!(
        written,
        serde_json::to_string(&again).expect("it can be written"),
        "there are two canonical forms"
    );
}

/// An event from another server, in every room version.
pub fn event(data: &[u8]) {
    let Ok(json) = std::str::from_utf8(data) else { return };
    let event_id = EventId::parse("$event:hs.test").expect("it is an event ID");
    for version in Rooms::supported_versions() {
        let Some(rules) = version.rules() else { continue };
        let Ok(pdu) = Pdu::from_json(event_id.clone(), json, &rules) else { continue };
        let _ = pdu.content_text("body");
        let _ = redact(&pdu, &rules.redaction);
    }
}

/// A filter, and an event to let through or not: two JSON texts with a NUL between them.
pub fn filter(data: &[u8]) {
    let (filter, event) = halves(data);
    let Ok(filter) = serde_json::from_slice::<FilterDefinition>(filter) else { return };
    let Some(pdu) = sample_event(event) else { return };
    for part in [&filter.room.timeline, &filter.room.state, &filter.room.ephemeral, &filter.room.account_data]
    {
        let through = room::lets_through(part, &pdu);
        let mut shut = part.clone();
        shut.not_senders.push(pdu.sender.clone());
        assert!(
            !room::lets_through(&shut, &pdu),
            "an unwanted sender is let through, was it before: {through}"
        );
    }
}

/// Push rules, and an event to judge: two JSON texts with a NUL between them.
pub fn push_rules(data: &[u8]) {
    let (rules, event) = halves(data);
    let Ok(rules) = serde_json::from_slice::<Ruleset>(rules) else { return };
    // Events have been canonical JSON since they were accepted; what judges them relies on it.
    let Some(event) = raw(event).filter(|event| canonical_content(event).is_ok()) else { return };
    let context = PushConditionRoomCtx::new(
        RoomId::parse("!room:hs.test").expect("it is a room ID"),
        2_u32.into(),
        user_id!("@alice:hs.test").to_owned(),
        "Alice".to_owned(),
    );
    let actions = actions_for(&rules, &event, &context).to_vec();
    let stored = rules_content(&rules);
    let again: Value = serde_json::from_str(stored.get()).expect("rules are stored as JSON");
    let again: Ruleset = serde_json::from_value(again["global"].clone()).expect("stored rules can be read");
    let again = actions_for(&again, &event, &context);
    assert_eq!(json!(actions), json!(again), "stored rules judge otherwise");
}

/// A pattern of a namespace, and an ID to own or not: two texts with a NUL between them.
pub fn namespace(data: &[u8]) {
    let (pattern, id) = halves(data);
    let (Ok(pattern), Ok(id)) = (std::str::from_utf8(pattern), std::str::from_utf8(id)) else { return };
    let namespaces = Namespaces { users: vec![Namespace::exclusive(pattern)], ..Namespaces::default() };
    let Ok(set) = NamespaceSet::new(&namespaces) else { return };
    assert_eq!(set.user(id), set.user(id), "the same user is owned and not owned");
    let _ = (set.alias(id), set.room(id));
}

/// Tokens: of access, in the header and in the query; of paging and syncing.
pub fn token(data: &[u8]) {
    let (header, query) = halves(data);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(header) {
        headers.insert(header::AUTHORIZATION, value);
    }
    let query = std::str::from_utf8(query).ok();
    if let Ok(token) = extract::access_token(&headers, query) {
        assert!(!token.is_empty(), "an empty token is taken for one");
        let hash = TokenHash::of(&token);
        assert_eq!(
            TokenHash::from_hex(&hash.to_hex()),
            Some(hash),
            "a hash changes when it is written and read"
        );
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = TokenHash::from_hex(text);
    if let Ok(position) = api::position(text) {
        let written = api::token(position);
        let again = api::position(&written).ok();
        assert_eq!(again, Some(position), "a position changes when it is written and read");
    }
}

/// The bytes before and after the first NUL.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let middle = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    (&data[..middle], data.get(middle + 1..).unwrap_or_default())
}

fn raw(data: &[u8]) -> Option<Box<RawValue>> {
    serde_json::from_slice(data).ok()
}

/// An event with this content.
fn sample_event(content: &[u8]) -> Option<Pdu> {
    let content = raw(content)?;
    let event = format!(
        r#"{{"room_id": "!room:hs.test", "sender": "@alice:hs.test", "type": "m.room.message", "content": {content},
            "origin_server_ts": 1, "depth": 1, "prev_events": [], "auth_events": []}}"#
    );
    let rules = ruma::RoomVersionId::V11.rules()?;
    Pdu::from_json(EventId::parse("$event").ok()?, &event, &rules).ok()
}

#[cfg(test)]
mod tests;
