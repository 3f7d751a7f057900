//! What is left of an event when it is redacted.

use ruma::{
    CanonicalJsonObject,
    canonical_json::{redact_content_in_place, redact_in_place},
    room_version_rules::RedactionRules,
};
use serde_json::value::{RawValue, to_raw_value};

use super::Pdu;

/// The event without what the room version lets a redaction take away ([redactions]).
///
/// [redactions]: https://spec.matrix.org/v1.19/client-server-api/#redactions
pub(crate) fn redact(pdu: &Pdu, rules: &RedactionRules) -> Pdu {
    let mut redacted = pdu.clone();
    redacted.content = match serde_json::from_str::<CanonicalJsonObject>(pdu.content.get()) {
        Ok(mut content) => {
            redact_content_in_place(&mut content, rules, pdu.event_type.to_string());
            to_raw_value(&content).unwrap_or_else(|_| empty_object())
        }
        Err(_) => empty_object(),
    };
    redacted.redacts = redacted.redacts.filter(|_| rules.keep_room_redaction_redacts);
    redacted
}

/// The complete JSON of an event without the same, hashes and signatures left in place. `None` if it is not that of an event.
pub(crate) fn redact_json(json: &str, rules: &RedactionRules) -> Option<String> {
    let mut object: CanonicalJsonObject = serde_json::from_str(json).ok()?;
    redact_in_place(&mut object, rules, None).ok()?;
    serde_json::to_string(&object).ok()
}

fn empty_object() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("an empty object is JSON")
}
