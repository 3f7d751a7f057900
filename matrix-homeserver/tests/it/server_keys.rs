//! The keys of this server, and what it vouches for of others.

use ruma::{
    CanonicalJsonObject,
    serde::Base64,
    signatures::{PublicKeyMap, verify_json},
};
use serde_json::{Value, json};

use crate::support::Server;

/// The keys that an answer names, by which its signatures are checked.
fn public_keys(answer: &Value) -> PublicKeyMap {
    let keys = answer["verify_keys"].as_object().unwrap().iter();
    let keys = keys.map(|(id, key)| (id.clone(), Base64::parse(key["key"].as_str().unwrap()).unwrap()));
    PublicKeyMap::from([(answer["server_name"].as_str().unwrap().to_owned(), keys.collect())])
}

fn verify(keys: &PublicKeyMap, answer: &Value) {
    let object: CanonicalJsonObject = serde_json::from_value(answer.clone()).unwrap();
    verify_json(keys, &object).unwrap();
}

#[tokio::test]
async fn a_server_tells_its_keys_signed_by_themselves() {
    let server = Server::start().await;
    let keys = server.get("/_matrix/key/v2/server", "").await.ok();
    assert_eq!(keys["server_name"], "hs.test");
    assert!(keys["old_verify_keys"].is_object() && keys["valid_until_ts"].is_u64());
    verify(&public_keys(&keys), &keys);
    let (id, _) = keys["verify_keys"].as_object().unwrap().iter().next().unwrap();
    let by_id = server.get(&format!("/_matrix/key/v2/server/{id}"), "").await.ok();
    assert_eq!(by_id["verify_keys"], keys["verify_keys"]);
    let asked = server.get("/_matrix/key/v2/query/hs.test", "").await.ok();
    assert_eq!(asked["server_keys"][0]["verify_keys"], keys["verify_keys"]);
}

#[tokio::test]
async fn a_notary_vouches_for_its_peers_also_when_they_are_gone() {
    let other = matrix_homeserver::Homeserver::builder("other.test").start().await.unwrap();
    let server = Server::with(|builder| builder.peer("other.test", other.url())).await;
    let own = server.get("/_matrix/key/v2/server", "").await.ok();
    let asked = server.get("/_matrix/key/v2/query/other.test?minimum_valid_until_ts=1", "").await.ok();
    let keys = &asked["server_keys"][0];
    assert_eq!(keys["server_name"], "other.test");
    let mut both = public_keys(keys);
    both.extend(public_keys(&own));
    assert_eq!(keys["signatures"].as_object().unwrap().len(), 2);
    verify(&both, keys);
    other.shutdown().await;
    let far = u64::MAX >> 12;
    let body =
        json!({"server_keys": {"other.test": {"ed25519:x": {"minimum_valid_until_ts": far}}, "hs.test": {}}});
    let asked = server.post("/_matrix/key/v2/query", "", body).await.ok();
    let names: Vec<&str> = asked["server_keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|keys| keys["server_name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["hs.test", "other.test"]);
}

#[tokio::test]
async fn of_strangers_nothing_is_known() {
    let server = Server::start().await;
    let nothing = json!({"server_keys": []});
    assert_eq!(server.get("/_matrix/key/v2/query/stranger.test", "").await.ok(), nothing);
    let body = json!({"server_keys": {"stranger.test": {}}});
    assert_eq!(server.post("/_matrix/key/v2/query", "", body).await.ok(), nothing);
    server.post("/_matrix/key/v2/query", "", json!({})).await.refused(400, "M_BAD_JSON");
    server.get("/_matrix/key/v2/query/not%20a%20name", "").await.refused(400, "M_INVALID_PARAM");
}
