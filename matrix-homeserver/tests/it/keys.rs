//! Keys for end-to-end encryption, their backup, and messages from device to device.

use matrix_homeserver::testing::{PASSWORD, TestUser};
use reqwest::Method;
use ruma::{CanonicalJsonObject, serde::Base64, signatures::Ed25519KeyPair};
use serde_json::{Value, json};

use crate::support::Server;

const V3: &str = "/_matrix/client/v3";

fn device_keys(user: &TestUser, key: &str) -> Value {
    let device = user.device_id().unwrap();
    json!({
        "user_id": user.user_id(), "device_id": device,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
        "keys": {format!("ed25519:{device}"): key, format!("curve25519:{device}"): "abc"},
        "signatures": {},
    })
}

async fn upload(user: &TestUser, body: Value) -> Value {
    user.post(&format!("{V3}/keys/upload"), body).await.unwrap()
}

/// A logged-in user whose device the test knows.
async fn log_in(server: &Server, localpart: &str) -> TestUser {
    server.hs.user(localpart).await.unwrap();
    TestUser::login(server.hs.url(), localpart, PASSWORD).await.unwrap()
}

async fn next(user: &TestUser, since: &mut String) -> Value {
    let sync = user.get(&format!("{V3}/sync?timeout=10000&since={since}")).await.unwrap();
    sync["next_batch"].as_str().unwrap().clone_into(since);
    sync
}

async fn token(user: &TestUser) -> String {
    let sync = user.get(&format!("{V3}/sync")).await.unwrap();
    sync["next_batch"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_one_time_key_is_given_to_one_and_the_fallback_key_to_all_who_come_later() {
    let server = Server::start().await;
    let (alice, bob) = (log_in(&server, "alice").await, log_in(&server, "bob").await);
    let one = |name: &str| json!({"key": name, "signatures": {}});
    let counts = upload(
        &alice,
        json!({
            "device_keys": device_keys(&alice, "k"),
            "one_time_keys": {"signed_curve25519:AAAA": one("first"), "signed_curve25519:BBBB": one("second")},
            "fallback_keys": {"signed_curve25519:FALL": one("fallback")},
        }),
    )
    .await;
    assert_eq!(counts, json!({"one_time_key_counts": {"signed_curve25519": 2}}));
    let sync = alice.get(&format!("{V3}/sync")).await.unwrap();
    assert_eq!(sync["device_one_time_keys_count"], json!({"signed_curve25519": 2}));
    assert_eq!(sync["device_unused_fallback_key_types"], json!(["signed_curve25519"]));

    let device = alice.device_id().unwrap();
    let claim = json!({"one_time_keys": {alice.user_id().as_str(): {device: "signed_curve25519"}}});
    let mut claimed = Vec::new();
    for _ in 0..4 {
        let answer = bob.post(&format!("{V3}/keys/claim"), claim.clone()).await.unwrap();
        let key = answer["one_time_keys"][alice.user_id().as_str()][device].as_object().unwrap();
        claimed.push(key.keys().next().unwrap().clone());
    }
    let expected = ["AAAA", "BBBB", "FALL", "FALL"].map(|id| format!("signed_curve25519:{id}"));
    assert_eq!(claimed, expected);
    let sync = alice.get(&format!("{V3}/sync")).await.unwrap();
    assert_eq!(sync["device_one_time_keys_count"], json!({"signed_curve25519": 0}));
    assert_eq!(sync["device_unused_fallback_key_types"], json!([]));
}

#[tokio::test]
async fn those_who_share_a_room_hear_of_new_keys_and_can_ask_for_them() {
    let server = Server::start().await;
    let (alice, bob) = (log_in(&server, "alice").await, log_in(&server, "bob").await);
    let carol = log_in(&server, "carol").await;
    let encryption = json!({"type": "m.room.encryption", "state_key": "",
        "content": {"algorithm": "m.megolm.v1.aes-sha2"}});
    let room =
        alice.create_room(json!({"preset": "public_chat", "initial_state": [encryption]})).await.unwrap();
    let mut since = token(&alice).await;
    let start = since.clone();
    bob.join(&room).await.unwrap();
    let sync = next(&alice, &mut since).await;
    assert_eq!(sync["device_lists"]["changed"], json!([bob.user_id()]), "bob has come: {sync}");

    upload(&carol, json!({"device_keys": device_keys(&carol, "carol")})).await;
    upload(&bob, json!({"device_keys": device_keys(&bob, "bob")})).await;
    let sync = next(&alice, &mut since).await;
    assert_eq!(sync["device_lists"]["changed"], json!([bob.user_id()]), "{sync}");
    let changes = alice.get(&format!("{V3}/keys/changes?from={start}&to={since}")).await.unwrap();
    assert_eq!(changes, json!({"changed": [bob.user_id()], "left": []}));

    let query = json!({"device_keys": {bob.user_id().as_str(): [], "@x:elsewhere.test": []}});
    let found = alice.post(&format!("{V3}/keys/query"), query).await.unwrap();
    let keys = &found["device_keys"][bob.user_id().as_str()][bob.device_id().unwrap()];
    assert_eq!(keys["keys"], device_keys(&bob, "bob")["keys"]);
    assert!(found["failures"]["elsewhere.test"].is_object());

    let name = format!("{V3}/profile/{}/displayname", bob.user_id());
    bob.put(&name, json!({"displayname": "B"})).await.unwrap();
    let sync = next(&alice, &mut since).await;
    assert_eq!(sync["device_lists"]["changed"], Value::Null, "a new name is no new key: {sync}");

    bob.leave(&room).await.unwrap();
    let sync = next(&alice, &mut since).await;
    assert_eq!(sync["device_lists"]["left"], json!([bob.user_id()]));
    bob.post(&format!("{V3}/logout"), json!({})).await.unwrap();
    let query = json!({"device_keys": {bob.user_id().as_str(): []}});
    let found = alice.post(&format!("{V3}/keys/query"), query).await.unwrap();
    assert_eq!(found["device_keys"][bob.user_id().as_str()], json!({}));
}

/// A key pair that signs as Matrix has it.
struct Signer {
    pair: Ed25519KeyPair,
    public: String,
}

impl Signer {
    fn new(name: &str) -> Self {
        let der = Ed25519KeyPair::generate();
        let pair = Ed25519KeyPair::from_der(&der, name.to_owned()).unwrap();
        let public = Base64::<ruma::serde::base64::Standard>::new(pair.public_key().to_vec()).to_string();
        // Keys of users are named by themselves.
        let name = if name.is_empty() { public.clone() } else { name.to_owned() };
        Self { pair: Ed25519KeyPair::from_der(&der, name).unwrap(), public }
    }

    fn sign(&self, user: &TestUser, object: Value) -> Value {
        let mut object: CanonicalJsonObject = serde_json::from_value(object).unwrap();
        ruma::signatures::sign_json(user.user_id().as_str(), &self.pair, &mut object).unwrap();
        serde_json::to_value(object).unwrap()
    }

    fn key(&self, user: &TestUser, usage: &str) -> Value {
        json!({"user_id": user.user_id(), "usage": [usage], "keys": {format!("ed25519:{}", self.public): self.public}})
    }
}

#[tokio::test]
async fn a_message_for_every_device_is_as_large_as_they_are_many() {
    let server = Server::start().await;
    let alice = log_in(&server, "alice").await;
    for _ in 0..40 {
        log_in(&server, "alice").await;
    }
    let send = |size: usize| {
        let path = format!("{V3}/sendToDevice/m.test/{size}");
        let body = json!({"messages": {"@alice:hs.test": {"*": {"filler": "x".repeat(size)}}}});
        let (server, token) = (&server, alice.access_token().to_owned());
        async move { server.put(&path, &token, body).await }
    };
    send(900_000).await.refused(413, "M_TOO_LARGE");
    send(100_000).await.ok();
}

#[tokio::test]
async fn of_many_who_bring_first_keys_at_once_one_does_without_the_password() {
    let server = Server::start().await;
    let path = format!("{V3}/keys/device_signing/upload");
    for name in ["a", "b", "c", "d"] {
        let user = log_in(&server, name).await;
        let uploads = (0..8).map(|_| {
            let keys = json!({"master_key": Signer::new("").key(&user, "master")});
            server.post(&path, user.access_token(), keys)
        });
        let answers = futures_util::future::join_all(uploads).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{answers:?}");
    }
}

#[tokio::test]
async fn users_vouch_for_their_devices_and_for_each_other_by_good_signatures_only() {
    let server = Server::start().await;
    let (alice, bob) = (log_in(&server, "alice").await, log_in(&server, "bob").await);
    let device = Signer::new(alice.device_id().unwrap());
    upload(&alice, json!({"device_keys": device_keys(&alice, &device.public)})).await;
    let path = format!("{V3}/keys/device_signing/upload");
    let (master, own, others) = (Signer::new(""), Signer::new(""), Signer::new(""));
    let unsigned = json!({"master_key": master.key(&alice, "master"),
        "self_signing_key": own.key(&alice, "self_signing")});
    server.post(&path, alice.access_token(), unsigned).await.refused(400, "M_INVALID_SIGNATURE");
    let keys = json!({
        "master_key": master.key(&alice, "master"),
        "self_signing_key": master.sign(&alice, own.key(&alice, "self_signing")),
        "user_signing_key": master.sign(&alice, others.key(&alice, "user_signing")),
    });
    server.post(&path, alice.access_token(), keys.clone()).await.ok();
    server.post(&path, alice.access_token(), keys).await.ok();
    let other = json!({"master_key": Signer::new("").key(&alice, "master")});
    assert_eq!(server.post(&path, alice.access_token(), other).await.status, 401, "keys are not replaced so");
    let bob_master = Signer::new("");
    let bobs = json!({"master_key": bob_master.key(&bob, "master")});
    server.post(&path, bob.access_token(), bobs).await.ok();

    let sign = format!("{V3}/keys/signatures/upload");
    let id = alice.device_id().unwrap();
    let forged = device.sign(&alice, device_keys(&alice, &device.public));
    let body = json!({alice.user_id().as_str(): {id: forged, "NOWHERE": {"signatures": {}}}});
    let answer = alice.post(&sign, body).await.unwrap();
    assert_eq!(answer["failures"][alice.user_id().as_str()][id]["errcode"], "M_INVALID_SIGNATURE");
    assert_eq!(answer["failures"][alice.user_id().as_str()]["NOWHERE"]["errcode"], "M_INVALID_SIGNATURE");
    let body = json!({
        alice.user_id().as_str(): {
            id: own.sign(&alice, device_keys(&alice, &device.public)),
            &master.public: device.sign(&alice, master.key(&alice, "master")),
        },
        bob.user_id().as_str(): {&bob_master.public: others.sign(&alice, bob_master.key(&bob, "master"))},
    });
    assert_eq!(alice.post(&sign, body).await.unwrap(), json!({"failures": {}}));

    let query = json!({"device_keys": {alice.user_id().as_str(): [], bob.user_id().as_str(): []}});
    let mine = alice.post(&format!("{V3}/keys/query"), query.clone()).await.unwrap();
    let signatures =
        |found: &Value, of: &str, user: &TestUser| found[of][user.user_id().as_str()]["signatures"].clone();
    let by_alice = alice.user_id().as_str();
    assert!(signatures(&mine, "master_keys", &bob)[by_alice].is_object(), "{mine}");
    assert!(signatures(&mine, "master_keys", &alice)[by_alice].is_object());
    assert!(
        mine["device_keys"][by_alice][id]["signatures"][by_alice][format!("ed25519:{}", own.public)]
            .is_string()
    );
    assert!(mine["user_signing_keys"][by_alice].is_object());
    let seen = bob.post(&format!("{V3}/keys/query"), query).await.unwrap();
    assert!(signatures(&seen, "master_keys", &bob)[by_alice].is_null(), "whom alice trusts is her business");
    assert!(seen["user_signing_keys"][by_alice].is_null());
}

#[tokio::test]
async fn a_message_to_a_device_comes_once_and_is_gone_when_it_was_received() {
    let server = Server::start().await;
    let (alice, bob) = (log_in(&server, "alice").await, log_in(&server, "bob").await);
    let phone = log_in(&server, "bob").await;
    let mut since = token(&bob).await;
    let path = format!("{V3}/sendToDevice/m.test/txn1");
    let to_one = json!({"messages": {bob.user_id().as_str(): {bob.device_id().unwrap(): {"n": 1}},
        "@nobody:hs.test": {"*": {}}, "@x:elsewhere.test": {"*": {}}}});
    for _ in 0..2 {
        alice.put(&path, to_one.clone()).await.unwrap();
    }
    let before = since.clone();
    let sync = next(&bob, &mut since).await;
    let expected = json!([{"type": "m.test", "sender": alice.user_id(), "content": {"n": 1}}]);
    assert_eq!(sync["to_device"]["events"], expected);
    let mut again = before;
    assert_eq!(
        next(&bob, &mut again).await["to_device"]["events"],
        expected,
        "it may have been lost on the way"
    );
    let all = json!({"messages": {bob.user_id().as_str(): {"*": {"n": 2}}}});
    alice.put(&format!("{V3}/sendToDevice/m.test/txn2"), all).await.unwrap();
    let sync = next(&bob, &mut since).await;
    assert_eq!(sync["to_device"]["events"].as_array().unwrap().len(), 1);
    let sync = phone.get(&format!("{V3}/sync")).await.unwrap();
    assert_eq!(sync["to_device"]["events"][0]["content"]["n"], 2);
    assert_eq!(
        sync["to_device"]["events"].as_array().unwrap().len(),
        1,
        "the first was for the other device"
    );
    let sync = bob.get(&format!("{V3}/sync?since={since}")).await.unwrap();
    assert!(sync["to_device"].is_null());
}

#[tokio::test]
async fn a_backup_keeps_the_better_key_and_refuses_an_old_version() {
    let server = Server::start().await;
    let alice = log_in(&server, "alice").await;
    let version = format!("{V3}/room_keys/version");
    let none = server.get(&version, alice.access_token()).await;
    none.refused(404, "M_NOT_FOUND");
    let body = json!({"algorithm": "m.megolm_backup.v1", "auth_data": {"public_key": "a"}});
    let made = alice.post(&version, body.clone()).await.unwrap();
    assert_eq!(made, json!({"version": "1"}));
    let key = |index: u64, verified: bool| {
        json!({"first_message_index": index, "forwarded_count": 0, "is_verified": verified,
            "session_data": {"index": index}})
    };
    let session = format!("{V3}/room_keys/keys/!a:hs.test/s1?version=1");
    let first = alice.put(&session, key(5, false)).await.unwrap();
    assert_eq!(first, json!({"count": 1, "etag": "1"}));
    assert_eq!(alice.put(&session, key(9, false)).await.unwrap(), first, "a worse key changes nothing");
    assert_eq!(alice.put(&session, key(9, true)).await.unwrap(), json!({"count": 1, "etag": "2"}));
    assert_eq!(alice.get(&session).await.unwrap()["session_data"]["index"], 9);
    let many = json!({"rooms": {"!a:hs.test": {"sessions": {"s2": key(0, true)}},
        "!b:hs.test": {"sessions": {"s3": key(0, true)}}}});
    alice.put(&format!("{V3}/room_keys/keys?version=1"), many).await.unwrap();
    let all = alice.get(&format!("{V3}/room_keys/keys?version=1")).await.unwrap();
    assert_eq!(all["rooms"]["!a:hs.test"]["sessions"].as_object().unwrap().len(), 2);
    let removed = alice.delete(&format!("{V3}/room_keys/keys/!a:hs.test?version=1")).await.unwrap();
    assert_eq!(removed["count"], 1);

    assert_eq!(alice.post(&version, body).await.unwrap(), json!({"version": "2"}));
    let answer = server.put(&session, alice.access_token(), key(0, true)).await;
    assert_eq!(answer.body["current_version"], "2");
    answer.refused(403, "M_WRONG_ROOM_KEYS_VERSION");
    assert_eq!(alice.get(&version).await.unwrap()["version"], "2");
    alice.delete(&format!("{version}/2")).await.unwrap();
    assert_eq!(alice.get(&version).await.unwrap()["version"], "1");
}

#[tokio::test]
async fn malformed_keys_are_refused_by_name() {
    let server = Server::start().await;
    let alice = log_in(&server, "alice").await;
    let good = device_keys(&alice, "k");
    let with = |member: &str, value: Value| {
        let mut keys = good.clone();
        keys[member] = value;
        json!({ "device_keys": keys })
    };
    let upload = format!("{V3}/keys/upload");
    let table = [
        (&upload, with("user_id", json!("@bob:hs.test")), 400, "M_INVALID_PARAM"),
        (&upload, with("device_id", json!("OTHER")), 400, "M_INVALID_PARAM"),
        (&upload, with("algorithms", json!(7)), 400, "M_INVALID_PARAM"),
        (&upload, with("keys", json!({"ed25519:OTHER": "k"})), 400, "M_INVALID_PARAM"),
        (&upload, with("signatures", json!([])), 400, "M_INVALID_PARAM"),
        (&upload, json!({"device_keys": 7}), 400, "M_BAD_JSON"),
        (&upload, json!({"one_time_keys": {"nocolon": "k"}}), 400, "M_INVALID_PARAM"),
        (&upload, json!({"one_time_keys": {"a:b": 7}}), 400, "M_INVALID_PARAM"),
        (&upload, json!({"fallback_keys": {"a:b": {}}}), 400, "M_INVALID_PARAM"),
        (&format!("{V3}/keys/query"), json!({"device_keys": {"nobody": []}}), 400, "M_BAD_JSON"),
        (&format!("{V3}/keys/claim"), json!({}), 400, "M_BAD_JSON"),
        (&format!("{V3}/keys/device_signing/upload"), json!({}), 400, "M_MISSING_PARAM"),
        (
            &format!("{V3}/keys/device_signing/upload"),
            json!({"master_key": {"user_id": "@bob:hs.test"}}),
            400,
            "M_INVALID_PARAM",
        ),
        (&format!("{V3}/keys/signatures/upload"), json!({"@a:hs.test": 7}), 400, "M_BAD_JSON"),
        (&format!("{V3}/room_keys/version"), json!({}), 400, "M_BAD_JSON"),
    ];
    for (path, body, status, errcode) in table {
        let answer = server.post(path, alice.access_token(), body.clone()).await;
        assert_eq!((answer.status, answer.errcode()), (status, errcode), "{path} {body}: {}", answer.body);
    }

    server
        .put(
            &format!("{V3}/sendToDevice/m.x/1"),
            alice.access_token(),
            json!({"messages": {alice.user_id().as_str(): {"*": 7}}}),
        )
        .await
        .refused(400, "M_BAD_JSON");
    server
        .put(&format!("{V3}/room_keys/keys?version=x"), alice.access_token(), json!({"rooms": {}}))
        .await
        .refused(404, "M_NOT_FOUND");
    server
        .get(&format!("{V3}/keys/changes?from=x"), alice.access_token())
        .await
        .refused(400, "M_INVALID_PARAM");
    let answer = server
        .raw(Method::POST, &format!("{upload}/OTHER"), Some(alice.access_token()), Some(b"{}".to_vec()))
        .await;
    answer.refused(400, "M_INVALID_PARAM");
    // The same one-time key again is fine, another with its name is not.
    let one = |key: &str| json!({"one_time_keys": {"curve25519:A": key}});
    server.post(&upload, alice.access_token(), one("x")).await.ok();
    server.post(&upload, alice.access_token(), one("x")).await.ok();
    server.post(&upload, alice.access_token(), one("y")).await.refused(400, "M_INVALID_PARAM");
}
