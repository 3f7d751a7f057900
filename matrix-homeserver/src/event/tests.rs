use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, MilliSecondsSinceUnixEpoch, RoomVersionId, UInt, event_id, owned_room_id,
    owned_user_id,
    serde::Base64,
    server_name,
    signatures::{Verified, verify_event},
};
use serde_json::{Value, json, value::to_raw_value};

use super::*;
use crate::room::Rooms;

mod canonical;

fn key() -> ServerKey {
    ServerKey::from_der(server_name!("hs.test").to_owned(), &ServerKey::generate(), "a_1").unwrap()
}

fn draft(event_type: &str, content: &Value) -> Draft {
    Draft {
        room_id: Some(owned_room_id!("!r:hs.test")),
        sender: owned_user_id!("@alice:hs.test"),
        event_type: event_type.into(),
        state_key: None,
        content: canonical_content(&to_raw_value(content).unwrap()).unwrap(),
        origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::from(1_u32)),
        redacts: None,
        prev_events: vec![Reference {
            event_id: event_id!("$prev:hs.test").to_owned(),
            hash: Some("cHJldg".into()),
        }],
        auth_events: vec![Reference {
            event_id: event_id!("$auth:hs.test").to_owned(),
            hash: Some("YXV0aA".into()),
        }],
        depth: 7,
    }
}

fn json_of(content: &serde_json::value::RawValue) -> Value {
    serde_json::from_str(content.get()).unwrap()
}

#[test]
fn in_every_version_a_signed_event_is_verified_and_reads_as_what_was_drafted() {
    let key = key();
    let public = Base64::new(key.pair().public_key().to_vec());
    let keys = BTreeMap::from([("hs.test".to_owned(), BTreeMap::from([("ed25519:a_1".to_owned(), public)]))]);
    for version in Rooms::supported_versions() {
        let rules = version.rules().unwrap();
        let mut draft = draft("m.room.redaction", &json!({ "b": 1, "a": "ü" }));
        draft.redacts = Some(event_id!("$bad").to_owned());
        let (pdu, json) = draft.sign(&rules, &key).unwrap();
        let object: CanonicalJsonObject = serde_json::from_str(&json).unwrap();
        assert_eq!(verify_event(&keys, &object, &rules).unwrap(), Verified::All, "{version}");
        assert_eq!(serde_json::to_string(&object).unwrap(), json, "the stored form is canonical");
        let read = Pdu::from_json(pdu.event_id.clone(), &json, &rules).unwrap();
        assert_eq!(format!("{read:?}"), format!("{pdu:?}"), "{version}");
        assert_eq!(pdu.redacts.as_deref(), Some(event_id!("$bad")));
        let in_content = json_of(&pdu.content).get("redacts").is_some();
        assert_eq!(in_content, rules.redaction.content_field_redacts, "{version}");
    }
}

#[test]
fn in_the_first_versions_an_event_has_a_chosen_id_and_names_others_with_their_hashes() {
    for version in [RoomVersionId::V1, RoomVersionId::V2] {
        let rules = version.rules().unwrap();
        let (pdu, json) = draft("m.room.message", &json!({})).sign(&rules, &key()).unwrap();
        let wire: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(wire["event_id"], pdu.event_id.as_str());
        assert_eq!(pdu.event_id.server_name(), Some(server_name!("hs.test")));
        assert_eq!(wire["prev_events"], json!([["$prev:hs.test", { "sha256": "cHJldg" }]]));
        assert_eq!(wire["auth_events"], json!([["$auth:hs.test", { "sha256": "YXV0aA" }]]));
        let object: CanonicalJsonObject = serde_json::from_str(&json).unwrap();
        assert_eq!(pdu.reference_hash.as_deref(), Some(&*reference_hash(&object, &rules).unwrap()));
        let (other, _) = draft("m.room.message", &json!({})).sign(&rules, &key()).unwrap();
        assert_ne!(pdu.event_id, other.event_id);
    }
}

#[test]
fn events_in_the_form_of_the_first_versions_are_read() {
    let json = json!({
        "room_id": "!r:hs.test", "sender": "@a:hs.test", "type": "m.room.message", "content": {},
        "origin_server_ts": 1, "depth": 1, "auth_events": [],
        "prev_events": [["$p:hs.test", { "sha256": "x" }]],
    });
    let rules = RoomVersionId::V1.rules().unwrap();
    let pdu = Pdu::from_json(event_id!("$e:hs.test").to_owned(), &json.to_string(), &rules).unwrap();
    assert_eq!(pdu.prev_events, [event_id!("$p:hs.test")]);
}

#[test]
fn a_redaction_takes_what_the_version_lets_it_take() {
    let table = [
        ("m.room.message", json!({ "body": "x" }), 11, json!({})),
        (
            "m.room.member",
            json!({ "membership": "join", "displayname": "x" }),
            11,
            json!({ "membership": "join" }),
        ),
        ("m.room.create", json!({ "creator": "@a:b", "x": 1 }), 10, json!({ "creator": "@a:b" })),
        (
            "m.room.create",
            json!({ "room_version": "11", "x": 1 }),
            11,
            json!({ "room_version": "11", "x": 1 }),
        ),
        (
            "m.room.join_rules",
            json!({ "join_rule": "restricted", "allow": [] }),
            7,
            json!({ "join_rule": "restricted" }),
        ),
        (
            "m.room.join_rules",
            json!({ "join_rule": "restricted", "allow": [] }),
            8,
            json!({ "join_rule": "restricted", "allow": [] }),
        ),
        ("m.room.aliases", json!({ "aliases": [] }), 5, json!({ "aliases": [] })),
        ("m.room.aliases", json!({ "aliases": [] }), 6, json!({})),
    ];
    for (event_type, content, version, expected) in table {
        let rules = RoomVersionId::try_from(version.to_string()).unwrap().rules().unwrap();
        let (pdu, _) = draft(event_type, &content).sign(&rules, &key()).unwrap();
        assert_eq!(json_of(&redact(&pdu, &rules.redaction).content), expected, "{event_type} {version}");
    }
}

#[test]
fn a_client_gets_the_fields_that_belong_where_it_looks() {
    let rules = RoomVersionId::V11.rules().unwrap();
    let (pdu, _) = draft("m.room.message", &json!({ "body": "x" })).sign(&rules, &key()).unwrap();
    let unsigned = Unsigned { age: Some(5), ..Unsigned::default() };
    let event = |format| {
        let mut event = json_of(&client_event(&pdu, &unsigned, format));
        assert_eq!(event.as_object_mut().unwrap().remove("event_id").unwrap(), pdu.event_id.as_str());
        event
    };
    let core = json!({
        "type": "m.room.message", "sender": "@alice:hs.test", "content": { "body": "x" },
        "origin_server_ts": 1, "unsigned": { "age": 5 },
    });
    assert_eq!(event(ClientFormat::Sync), core);
    let mut full = core.clone();
    full["room_id"] = json!("!r:hs.test");
    assert_eq!(event(ClientFormat::Full), full);
    full["user_id"] = json!("@alice:hs.test");
    full["age"] = json!(5);
    assert_eq!(event(ClientFormat::Legacy), full);
}

#[test]
fn no_json_panics() {
    let rules = RoomVersionId::V11.rules().unwrap();
    for json in ["", "{}", "[]", "{\"type\":1}", "\u{0}", "{\"prev_events\":[[1]]}"] {
        assert!(Pdu::from_json(event_id!("$e").to_owned(), json, &rules).is_err());
    }
}
