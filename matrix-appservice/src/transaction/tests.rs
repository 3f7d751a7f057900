use super::{Transaction, TransactionDigest, TransactionError};

fn read(body: &str) -> Transaction {
    Transaction::from_slice(body.as_bytes()).unwrap_or_else(|error| panic!("{body}: {error:?}"))
}

#[test]
fn stable_names_are_read() {
    let transaction = read(
        r#"{"events": [{"a": 1}, {"b": [2]}], "ephemeral": [{"type": "m.typing"}], "to_device": [{}],
            "device_lists": {"changed": ["@a:hs"], "left": []},
            "device_one_time_keys_count": {"@a:hs": {"D": {"signed_curve25519": 7}}},
            "device_unused_fallback_key_types": {"@a:hs": {"D": ["signed_curve25519"]}}, "unknown": {}}"#,
    );
    assert_eq!(transaction.events[1].get(), r#"{"b": [2]}"#);
    assert_eq!(transaction.ephemeral.len(), 1);
    assert_eq!(transaction.to_device.len(), 1);
    assert_eq!(transaction.device_lists.changed, ["@a:hs"]);
    assert_eq!(transaction.device_one_time_keys_count["@a:hs"]["D"]["signed_curve25519"], 7);
    assert_eq!(transaction.device_unused_fallback_key_types["@a:hs"]["D"], ["signed_curve25519"]);
}

#[test]
fn unstable_names_are_read() {
    let transaction = read(
        r#"{"events": [], "de.sorunome.msc2409.ephemeral": [{}], "de.sorunome.msc2409.to_device": [{}, {}],
            "org.matrix.msc3202.device_lists": {"left": ["@b:hs"]},
            "org.matrix.msc3202.device_one_time_key_counts": {"@a:hs": {"D": {"x": 1}}},
            "org.matrix.msc3202.device_unused_fallback_key_types": {"@a:hs": {"D": []}}}"#,
    );
    assert_eq!(transaction.ephemeral.len(), 1);
    assert_eq!(transaction.to_device.len(), 2);
    assert_eq!(transaction.device_lists.left, ["@b:hs"]);
    assert_eq!(transaction.device_one_time_keys_count.len(), 1);
    assert_eq!(transaction.device_unused_fallback_key_types.len(), 1);
}

#[test]
fn the_stable_name_wins_where_a_server_sends_both() {
    let body = r#"{"ephemeral": [{"stable": 1}], "de.sorunome.msc2409.ephemeral": [{"unstable": 1}, {}]}"#;
    let transaction = read(body);
    assert_eq!(transaction.ephemeral.len(), 1);
    assert_eq!(transaction.ephemeral[0].get(), r#"{"stable": 1}"#);
}

#[test]
fn parts_that_are_missing_or_null_are_empty() {
    for body in ["{}", r#"{"events": null, "ephemeral": null, "device_lists": null}"#] {
        let transaction = read(body);
        assert!(transaction.events.is_empty() && transaction.ephemeral.is_empty());
    }
}

#[test]
fn no_json_and_json_of_another_shape_are_told_apart() {
    for body in ["", "{", "nonsense", "{\"events\": [}", "\u{0}", "{} {}"] {
        assert!(
            matches!(Transaction::from_slice(body.as_bytes()), Err(TransactionError::Json(_))),
            "{body:?}"
        );
    }
    assert!(matches!(Transaction::from_slice(b"\xff\xfe"), Err(TransactionError::Json(_))));
    for body in ["[]", " [[], []]", "null", "5", r#"{"events": {}}"#, r#""text""#] {
        let result = Transaction::from_slice(body.as_bytes());
        assert!(matches!(result, Err(TransactionError::Shape(_))), "{body:?}: {result:?}");
    }
}

#[test]
fn a_digest_tells_bodies_apart() {
    assert_eq!(TransactionDigest::of(b"{}"), TransactionDigest::of(b"{}"));
    assert_ne!(TransactionDigest::of(b"{}"), TransactionDigest::of(b"{ }"));
}

proptest::proptest! {
    #[test]
    fn no_body_panics(body in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = Transaction::from_slice(&body);
    }
}
