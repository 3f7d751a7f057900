//! Signatures over keys ([signing JSON](https://spec.matrix.org/v1.19/appendices/#signing-json)).

use ruma::{
    CanonicalJsonObject, SigningKeyAlgorithm, UserId,
    serde::Base64,
    signatures::{to_canonical_json_string_for_signing, verify_canonical_json_bytes},
};
use serde_json::{Map, Value};

use super::KeyObject;

/// The signatures of one user in an object: by the name of the key that made them.
pub(super) fn signatures_of<'k>(object: &'k KeyObject, user_id: &UserId) -> Option<&'k Map<String, Value>> {
    object.get("signatures")?.get(user_id.as_str())?.as_object()
}

/// Whether a user has signed an object with a key. The key is as it is in an object of keys: its name is
/// `ed25519:id`, its value unpadded base64.
pub(super) fn is_signed(object: &KeyObject, user_id: &UserId, key_name: &str, key: &str) -> bool {
    let signature = signatures_of(object, user_id).and_then(|signatures| signatures.get(key_name));
    let Some(signature) = signature.and_then(Value::as_str) else { return false };
    let (Ok(signature), Ok(key)) = (<Base64>::parse(signature), <Base64>::parse(key)) else { return false };
    let canonical = serde_json::to_value(object).ok();
    let canonical = canonical.and_then(|object| serde_json::from_value::<CanonicalJsonObject>(object).ok());
    let Some(canonical) = canonical.and_then(|object| to_canonical_json_string_for_signing(&object).ok())
    else {
        return false;
    };
    verify_canonical_json_bytes(
        &SigningKeyAlgorithm::Ed25519,
        key.as_bytes(),
        signature.as_bytes(),
        canonical.as_bytes(),
    )
    .is_ok()
}

/// Adds the signatures of one user to those that an object has.
pub(super) fn merge(object: &mut KeyObject, user_id: &UserId, more: &Map<String, Value>) {
    let signatures = object.entry("signatures").or_insert_with(|| Value::Object(Map::new()));
    if !signatures.is_object() {
        *signatures = Value::Object(Map::new());
    }
    let Some(signatures) = signatures.as_object_mut() else { return };
    let own = signatures.entry(user_id.as_str()).or_insert_with(|| Value::Object(Map::new()));
    if let Some(own) = own.as_object_mut() {
        own.extend(more.iter().map(|(name, signature)| (name.clone(), signature.clone())));
    }
}

/// Whether two objects are the same but for their signatures and what the server adds.
pub(super) fn same_content(one: &KeyObject, other: &KeyObject) -> bool {
    let core = |object: &KeyObject| {
        let mut object = object.clone();
        object.remove("signatures");
        object.remove("unsigned");
        object
    };
    core(one) == core(other)
}
