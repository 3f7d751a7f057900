//! Inviting addresses, against an identity server that does what a test tells it to.

use futures_util::future::BoxFuture;
use http::StatusCode;
use matrix_homeserver::testing::TestUser;
use ruma::{
    CanonicalJsonObject,
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, sign_json},
};
use serde_json::{Value, json};

use crate::{
    fake_appservice::{FakeAppservice, Request},
    support::{Answer, Server},
};

const V3: &str = "/_matrix/client/v3";

/// Knows that `known@hs.test` is carol's, and keeps invitations for everybody else.
struct IdentityServer {
    fake: FakeAppservice,
    key: Ed25519KeyPair,
}

fn new_key(version: &str) -> Ed25519KeyPair {
    Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), version.to_owned()).unwrap()
}

fn public(key: &Ed25519KeyPair) -> String {
    Base64::<Standard, _>::new(key.public_key()).encode()
}

impl IdentityServer {
    async fn start() -> Self {
        let key = new_key("0");
        let public = public(&key);
        let answer = move |request: Request| -> BoxFuture<'static, (StatusCode, Value)> {
            let answer = match request.path.strip_prefix("/_matrix/identity/v2/") {
                Some("hash_details") => json!({"algorithms": ["none"], "lookup_pepper": "salt"}),
                Some("lookup") if request.body["addresses"][0] == "known@hs.test email" => {
                    json!({"mappings": {"known@hs.test email": "@carol:hs.test"}})
                }
                Some("lookup") => json!({"mappings": {}}),
                Some("store-invite") => json!({
                    "token": "the token", "display_name": "f...@b...",
                    "public_keys": [{"public_key": public, "key_validity_url": "https://is.test/valid"}],
                }),
                _ => json!({}),
            };
            Box::pin(async move { (StatusCode::OK, answer) })
        };
        Self { fake: FakeAppservice::scripted(answer).await, key }
    }

    /// What the identity server gives to whoever shows to have the address.
    fn signed(&self, mxid: &str) -> Value {
        signed_by(&self.key, mxid)
    }
}

fn signed_by(key: &Ed25519KeyPair, mxid: &str) -> Value {
    let object = json!({"mxid": mxid, "token": "the token"});
    let mut object: CanonicalJsonObject = serde_json::from_value(object).unwrap();
    sign_json("is.test", key, &mut object).unwrap();
    serde_json::to_value(object).unwrap()
}

struct Scene {
    server: Server,
    identity: IdentityServer,
    alice: TestUser,
    room: String,
}

async fn scene() -> Scene {
    let identity = IdentityServer::start().await;
    let server = Server::with(|builder| builder.identity_server("is.test", &identity.fake.url)).await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({"preset": "private_chat", "name": "The Room"})).await.unwrap();
    Scene { server, identity, alice, room: room.to_string() }
}

fn by_address(address: &str) -> Value {
    json!({"id_server": "is.test", "id_access_token": "is_token", "medium": "email", "address": address})
}

impl Scene {
    async fn invite(&self, address: &str) -> Answer {
        let path = format!("{V3}/rooms/{}/invite", self.room);
        self.server.post(&path, self.alice.access_token(), by_address(address)).await
    }

    async fn onbind(&self, mxid: &str, signed: Value) {
        let invite = json!({"medium": "email", "address": "fred@b.test", "mxid": mxid, "room_id": self.room,
            "sender": "@alice:hs.test", "signed": signed});
        let body = json!({"medium": "email", "address": "fred@b.test", "mxid": mxid, "invites": [invite]});
        self.server.put("/_matrix/federation/v1/3pid/onbind", "", body).await.ok();
    }

    async fn membership(&self, user: &str) -> Option<Value> {
        self.alice.state(&self.room, "m.room.member", user).await.unwrap()
    }
}

#[tokio::test]
async fn a_known_address_is_invited_as_the_user_it_belongs_to() {
    let scene = scene().await;
    scene.server.hs.user("carol").await.unwrap();
    scene.invite("Known@hs.test").await.ok();
    let lookup = scene.identity.fake.next(|request| request.path.ends_with("/lookup")).await;
    assert_eq!(lookup.bearer.as_deref(), Some("is_token"));
    assert_eq!((&lookup.body["algorithm"], &lookup.body["pepper"]), (&json!("none"), &json!("salt")));
    assert_eq!(scene.membership("@carol:hs.test").await.unwrap()["membership"], "invite");
}

#[tokio::test]
async fn an_unknown_address_is_invited_by_a_token_that_lets_its_owner_in() {
    let scene = scene().await;
    let bob = scene.server.hs.user("bob").await.unwrap();
    let mallory = scene.server.hs.user("mallory").await.unwrap();
    scene.invite("fred@b.test").await.ok();
    let stored = scene.identity.fake.next(|request| request.path.ends_with("/store-invite")).await;
    assert_eq!(
        (&stored.body["address"], &stored.body["sender"]),
        (&json!("fred@b.test"), &json!("@alice:hs.test"))
    );
    assert_eq!(
        (&stored.body["room_name"], &stored.body["room_id"]),
        (&json!("The Room"), &json!(scene.room))
    );
    let pending =
        scene.alice.state(&scene.room, "m.room.third_party_invite", "the token").await.unwrap().unwrap();
    assert_eq!(
        (&pending["display_name"], &pending["public_key"]),
        (&json!("f...@b..."), &json!(public(&scene.identity.key)))
    );

    bob.join(&scene.room).await.unwrap_err();
    // Somebody else's proof, and one that the identity server did not sign.
    scene.onbind("@mallory:hs.test", scene.identity.signed("@bob:hs.test")).await;
    scene.onbind("@mallory:hs.test", signed_by(&new_key("0"), "@mallory:hs.test")).await;
    assert_eq!(scene.membership("@mallory:hs.test").await, None);
    mallory.join(&scene.room).await.unwrap_err();

    scene.onbind("@bob:hs.test", scene.identity.signed("@bob:hs.test")).await;
    let invited = scene.membership("@bob:hs.test").await.unwrap();
    assert_eq!(
        (&invited["membership"], &invited["third_party_invite"]["display_name"]),
        (&json!("invite"), &json!("f...@b..."))
    );
    bob.join(&scene.room).await.unwrap();
}

#[tokio::test]
async fn a_withdrawn_invitation_lets_nobody_in() {
    let scene = scene().await;
    scene.server.hs.user("bob").await.unwrap();
    scene.invite("fred@b.test").await.ok();
    scene.alice.set_state(&scene.room, "m.room.third_party_invite", "the token", json!({})).await.unwrap();
    scene.onbind("@bob:hs.test", scene.identity.signed("@bob:hs.test")).await;
    assert_eq!(scene.membership("@bob:hs.test").await, None);
}

#[tokio::test]
async fn invitations_of_addresses_are_refused_by_name() {
    let scene = scene().await;
    let token = scene.alice.access_token();
    let path = format!("{V3}/rooms/{}/invite", scene.room);
    let mut elsewhere = by_address("x@y.test");
    elsewhere["id_server"] = "evil.test".into();
    scene.server.post(&path, token, elsewhere.clone()).await.refused(400, "M_SERVER_NOT_TRUSTED");
    let mut half = by_address("x@y.test");
    half.as_object_mut().unwrap().remove("id_access_token");
    scene.server.post(&path, token, half.clone()).await.refused(400, "M_MISSING_PARAM");
    let create = format!("{V3}/createRoom");
    scene.server.post(&create, token, json!({"invite_3pid": [half]})).await.refused(400, "M_MISSING_PARAM");
    let bob = scene.server.hs.user("bob").await.unwrap();
    scene.server.post(&path, bob.access_token(), by_address("x@y.test")).await.refused(403, "M_FORBIDDEN");
    let made = scene.server.post(&create, token, json!({"invite_3pid": [by_address("x@y.test")]})).await.ok();
    let room = made["room_id"].as_str().unwrap();
    assert!(scene.alice.state(room, "m.room.third_party_invite", "the token").await.unwrap().is_some());
}

/// A server that can sign, and nothing more.
struct OtherServer {
    fake: FakeAppservice,
    key: Ed25519KeyPair,
}

impl OtherServer {
    async fn start() -> Self {
        let key = new_key("a");
        let keys = json!({
            "server_name": "other.test", "verify_keys": {"ed25519:a": {"key": public(&key)}},
            "valid_until_ts": 32_503_680_000_000_u64,
        });
        let mut keys: CanonicalJsonObject = serde_json::from_value(keys).unwrap();
        sign_json("other.test", &key, &mut keys).unwrap();
        let keys = serde_json::to_value(keys).unwrap();
        let answer = move |_: Request| -> BoxFuture<'static, (StatusCode, Value)> {
            let keys = keys.clone();
            Box::pin(async move { (StatusCode::OK, keys) })
        };
        Self { fake: FakeAppservice::scripted(answer).await, key }
    }

    async fn put(&self, server: &Server, path: &str, signer: &Ed25519KeyPair, body: &Value) -> u16 {
        let signed = json!({"method": "PUT", "uri": path, "origin": "other.test", "destination": "hs.test", "content": body});
        let mut signed: CanonicalJsonObject = serde_json::from_value(signed).unwrap();
        sign_json("other.test", signer, &mut signed).unwrap();
        let signed = serde_json::to_value(signed).unwrap();
        let signature = signed["signatures"]["other.test"]["ed25519:a"].as_str().unwrap();
        let header = format!(
            "X-Matrix origin=\"other.test\",destination=\"hs.test\",key=\"ed25519:a\",sig=\"{signature}\""
        );
        let url = format!("{}{path}", server.hs.url());
        let request = server.http.put(url).header("authorization", header).body(body.to_string());
        request.send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn another_server_exchanges_an_invitation_for_its_user_if_it_signs() {
    let identity = IdentityServer::start().await;
    let other = OtherServer::start().await;
    let server = Server::with(|builder| {
        builder.identity_server("is.test", &identity.fake.url).peer("other.test", &other.fake.url)
    })
    .await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap().to_string();
    alice.post(&format!("{V3}/rooms/{room}/invite"), by_address("fred@b.test")).await.unwrap();
    let path = format!("/_matrix/federation/v1/exchange_third_party_invite/{room}");
    let body = |mxid: &str, room: &str| {
        json!({"type": "m.room.member", "room_id": room, "sender": "@alice:hs.test", "state_key": mxid,
            "content": {"membership": "invite",
                "third_party_invite": {"display_name": "whatever", "signed": identity.signed(mxid)}}})
    };
    let good = body("@fred:other.test", &room);
    server.put(&path, "", good.clone()).await.refused(401, "M_MISSING_TOKEN");
    assert_eq!(other.put(&server, &path, &new_key("a"), &good).await, 401, "signed by somebody else");
    assert_eq!(other.put(&server, &path, &other.key, &body("@fred:third.test", &room)).await, 403);
    assert_eq!(other.put(&server, &path, &other.key, &body("@fred:other.test", "!other:hs.test")).await, 400);
    assert_eq!(other.put(&server, &path, &other.key, &good).await, 200);
    let member = alice.state(&room, "m.room.member", "@fred:other.test").await.unwrap().unwrap();
    assert_eq!(
        (&member["membership"], &member["third_party_invite"]["display_name"]),
        (&json!("invite"), &json!("f...@b..."))
    );
}

#[tokio::test]
async fn who_wants_no_invitations_gets_none() {
    let server = Server::start().await;
    let alice = server.hs.user("alice").await.unwrap();
    let bob = server.hs.user("bob").await.unwrap();
    let config = format!("{V3}/user/@bob:hs.test/account_data/m.invite_permission_config");
    bob.put(&config, json!({"default_action": "block"})).await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let refused = alice.invite(&room, "@bob:hs.test").await.unwrap_err();
    assert_eq!((refused.status(), refused.errcode()), (Some(403), Some("M_INVITE_BLOCKED")));
    bob.put(&config, json!({})).await.unwrap();
    alice.invite(&room, "@bob:hs.test").await.unwrap();
}
