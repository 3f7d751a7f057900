//! The fuzz targets on a stable compiler: arbitrary bytes, and texts that are nearly right.

use std::{fs, path::Path};

use proptest::prelude::*;

/// JSON, or nearly.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|it| it.to_string()),
        any::<i64>().prop_map(|it| it.to_string()),
        any::<f64>().prop_map(|it| it.to_string()),
        Just("1e400".to_owned()),
        Just("9007199254740993".to_owned()),
        "\\PC{0,8}".prop_map(|it| serde_json::Value::from(it).to_string()),
        Just(r#""\ud800""#.to_owned()),
        Just(r#""\u0000""#.to_owned()),
        prop::sample::select(WORDS).prop_map(|it| format!("\"{it}\"")),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let name = prop_oneof![prop::sample::select(WORDS).prop_map(ToOwned::to_owned), "[a-z._]{0,6}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|it| format!("[{}]", it.join(","))),
            prop::collection::vec((name, inner), 0..6).prop_map(|members| {
                let members: Vec<_> =
                    members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Words that mean something to one of the readers.
const WORDS: &[&str] = &[
    "room",
    "timeline",
    "state",
    "types",
    "not_types",
    "senders",
    "limit",
    "m.room.message",
    "*",
    "m.*",
    "@alice:hs.test",
    "!room:hs.test",
    "contains_url",
    "url",
    "content",
    "body",
    "type",
    "sender",
    "event_id",
    "prev_events",
    "auth_events",
    "depth",
    "origin_server_ts",
    "redacts",
    "override",
    "underride",
    "rule_id",
    "default",
    "enabled",
    "actions",
    "notify",
    "conditions",
    "kind",
    "event_match",
    "key",
    "pattern",
    "content.body",
    "room_member_count",
    "is",
    ">=2",
    "event_property_is",
    "value",
    "set_tweak",
    "highlight",
];

/// A filter in which some things are not what they should be.
fn filter() -> impl Strategy<Value = String> {
    (json(), json(), json()).prop_map(|(types, limit, senders)| {
        format!(r#"{{"room":{{"timeline":{{"types":{types},"limit":{limit}}},"state":{{"not_senders":{senders}}}}}}}"#)
    })
}

/// Rules with one condition of every kind.
fn rules() -> impl Strategy<Value = String> {
    ("[a-z*?\\[\\]\\\\.]{0,12}", json(), "[<>=]{0,2}[0-9]{0,22}").prop_map(|(pattern, value, count)| {
        let pattern = serde_json::Value::from(pattern);
        format!(
            r#"{{"override":[{{"rule_id":"a","default":false,"enabled":true,"actions":["notify"],"conditions":[
                {{"kind":"event_match","key":"content.body","pattern":{pattern}}}]}},
                {{"rule_id":"b","default":false,"enabled":true,"actions":[],"conditions":[
                {{"kind":"event_property_is","key":"content.body","value":{value}}}]}},
                {{"rule_id":"c","default":false,"enabled":true,"actions":[{{"set_tweak":"x","value":{value}}}],"conditions":[
                {{"kind":"room_member_count","is":"{count}"}}]}}],
                "content":[{{"rule_id":"d","default":false,"enabled":true,"pattern":{pattern},"actions":["notify"]}}]}}"#
        )
    })
}

/// An event in which some things are not what they should be.
fn event() -> impl Strategy<Value = String> {
    (json(), json(), prop::sample::select(WORDS)).prop_map(|(content, other, word)| {
        format!(
            r#"{{"room_id":"!room:hs.test","sender":"@alice:hs.test","type":"m.room.redaction","content":{content},
                "origin_server_ts":1,"depth":1,"prev_events":[],"auth_events":[],"{word}":{other}}}"#
        )
    })
}

fn joined(first: &str, second: &str) -> Vec<u8> {
    format!("{first}\0{second}").into_bytes()
}

proptest! {
    #[test]
    fn no_bytes_harm_any_reader(data in prop::collection::vec(any::<u8>(), 0..300)) {
        for (_, target) in TARGETS {
            target(&data);
        }
    }

    #[test]
    fn no_json_harms_any_reader(first in json(), second in json()) {
        for (_, target) in TARGETS {
            target(first.as_bytes());
            target(&joined(&first, &second));
        }
    }

    #[test]
    fn strange_filters_are_refused_or_applied(filter in filter(), content in json()) {
        super::filter(&joined(&filter, &content));
    }

    #[test]
    fn strange_push_rules_are_refused_or_applied(rules in rules(), event in event()) {
        super::push_rules(&joined(&rules, &event));
    }

    #[test]
    fn strange_events_are_refused_or_read(event in event()) {
        super::event(event.as_bytes());
    }

    #[test]
    fn strange_patterns_are_refused_or_applied(pattern in "[@a-z.*+?(){}|\\[\\]^$\\\\0-9,]{0,30}", id in "@\\PC{0,20}:hs.test") {
        super::namespace(&joined(&pattern, &id));
    }

    #[test]
    fn strange_tokens_are_refused_or_read(header in "(Bearer|bearer|Basic)? ?\\PC{0,20}", query in "(access_token=)?\\PC{0,20}", number in any::<u64>()) {
        super::token(&joined(&header, &query));
        super::token(format!("s{number}").as_bytes());
        super::token(number.to_string().as_bytes());
    }
}

type Target = fn(&[u8]);

const TARGETS: &[(&str, Target)] = &[
    ("json_body", super::json_body),
    ("canonical_json", super::canonical_json),
    ("event", super::event),
    ("filter", super::filter),
    ("push_rules", super::push_rules),
    ("namespace", super::namespace),
    ("token", super::token),
];

#[test]
fn no_input_from_which_fuzzing_begins_harms_any_reader() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (name, _) in TARGETS {
        let seeds: Vec<_> =
            fs::read_dir(folder.join(name)).unwrap().map(|seed| seed.unwrap().path()).collect();
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in seeds {
            let data = fs::read(&seed).unwrap();
            for (_, target) in TARGETS {
                target(&data);
            }
        }
    }
}

#[test]
fn every_reader_has_a_fuzz_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let target = fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(target.contains(&format!("matrix_homeserver::fuzz::{name}(data)")), "{name}: {target}");
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")),
            "{name} is not in the manifest"
        );
    }
}
