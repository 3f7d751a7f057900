//! The client-server API of 2014: rooms.

use matrix_homeserver::testing::{TestUser, encode};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Server};

pub(crate) const V1: &str = "/_matrix/client/api/v1";

/// A user of 2014: requests below the prefix, with everything that came back.
pub(crate) struct User<'s> {
    pub(crate) server: &'s Server,
    pub(crate) user: TestUser,
}

impl<'s> User<'s> {
    pub(crate) async fn new(server: &'s Server, localpart: &str) -> Self {
        Self { server, user: server.hs.user(localpart).await.unwrap() }
    }

    pub(crate) fn id(&self) -> String {
        self.user.user_id().to_string()
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string().into_bytes());
        self.server.raw(method, &format!("{V1}{path}"), Some(self.user.access_token()), body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn create(&self, options: Value) -> String {
        self.post("/createRoom", options).await.ok()["room_id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn say(&self, room: &str, text: &str) -> String {
        let path = format!("{}/send/m.room.message", at(room));
        let sent = self.post(&path, json!({"msgtype": "m.text", "body": text})).await.ok();
        sent["event_id"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn at(room: &str) -> String {
    format!("/rooms/{}", encode(room))
}

/// Fails unless the event has the copies that clients of 2014 read.
#[track_caller]
pub(crate) fn is_of_2014(event: &Value) {
    assert_eq!(event["user_id"], event["sender"], "{event}");
    assert!(event["user_id"].is_string() && event["room_id"].is_string(), "{event}");
    assert!(event["age"].is_i64() && event["age"] == event["unsigned"]["age"], "{event}");
    for copy in ["prev_content", "replaces_state", "redacted_because"] {
        assert_eq!(event[copy], event["unsigned"][copy], "{copy} in {event}");
    }
}

#[tokio::test]
async fn rooms_are_public_unless_told_otherwise() {
    let server = Server::start().await;
    let alice = User::new(&server, "alice").await;
    let public = alice.create(json!({"room_alias_name": "pub", "name": "The Pub"})).await;
    let private = alice.create(json!({"visibility": "private"})).await;
    let listed = alice.get("/publicRooms").await.ok();
    let listed: Vec<_> = listed["chunk"].as_array().unwrap().iter().map(|room| &room["room_id"]).collect();
    assert_eq!(listed, [public.as_str()]);
    let bob = User::new(&server, "bob").await;
    let joined = bob.post(&format!("/join/{}", encode("#pub:hs.test")), json!({})).await.ok();
    assert_eq!(joined, json!({"room_id": public}));
    bob.post(&format!("{}/join", at(&private)), json!({})).await.refused(403, "M_FORBIDDEN");
    let today = server.post("/_matrix/client/v3/createRoom", alice.user.access_token(), json!({})).await.ok();
    let path =
        format!("/_matrix/client/v3/directory/list/room/{}", encode(today["room_id"].as_str().unwrap()));
    assert_eq!(server.get(&path, "").await.ok()["visibility"], "private");
}

#[tokio::test]
async fn a_put_with_a_transaction_id_is_done_once() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let body = json!({"room_alias_name": "once", "name": "n"});
    let room = alice.put("/createRoom/7", body.clone()).await.ok();
    assert_eq!(alice.put("/createRoom/7", body.clone()).await.ok(), room);
    alice.put("/createRoom/8", body).await.refused(400, "M_ROOM_IN_USE");
    bob.put("/createRoom/7", json!({})).await.ok();
    let room = room["room_id"].as_str().unwrap();
    for _ in 0..2 {
        alice.put(&format!("{}/invite/i1", at(room)), json!({"user_id": bob.id()})).await.ok();
    }
    bob.put(&format!("/join/{}/j1", encode("#once:hs.test")), json!({})).await.ok();
    // Without the transaction ID this would be refused: bob is in the room by now.
    alice.put(&format!("{}/invite/i1", at(room)), json!({"user_id": bob.id()})).await.ok();
    bob.put(&format!("{}/leave/l1", at(room)), json!({})).await.ok();
    bob.put(&format!("{}/join/j2", at(room)), json!({})).await.ok();
    let body = json!({"msgtype": "m.text", "body": "hi"});
    let path = format!("{}/send/m.room.message/t1", at(room));
    let sent = alice.put(&path, body.clone()).await.ok();
    assert_eq!(alice.put(&path, body).await.ok(), sent);
}

#[tokio::test]
async fn post_has_no_transaction_id_and_put_is_not_without() {
    let server = Server::start().await;
    let alice = User::new(&server, "alice").await;
    let room = at(&alice.create(json!({})).await);
    let body = json!({"msgtype": "m.text", "body": "hi"});
    for path in [
        "/createRoom/1".to_owned(),
        format!("/join/{}/1", encode("#a:hs.test")),
        format!("{room}/send/m.room.message/1"),
        format!("{room}/invite/1"),
        format!("{room}/state/m.room.name"),
        format!("{room}/state/m.room.name/"),
        format!("{room}/state/m.room.name/key"),
    ] {
        alice.post(&path, body.clone()).await.refused(405, "M_UNRECOGNIZED");
    }
    for path in ["/createRoom".to_owned(), format!("{room}/send/m.room.message"), format!("{room}/leave")] {
        alice.put(&path, body.clone()).await.refused(405, "M_UNRECOGNIZED");
    }
    alice.put(&format!("{room}/state/m.x/foo/11"), body).await.refused(404, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn state_is_set_and_read_with_and_without_a_key() {
    let server = Server::start().await;
    let alice = User::new(&server, "alice").await;
    let room = at(&alice.create(json!({"topic": "t"})).await);
    alice.put(&format!("{room}/state/m.room.name"), json!({"name": "one"})).await.ok();
    alice.put(&format!("{room}/state/m.room.name/"), json!({"name": "two"})).await.ok();
    alice.put(&format!("{room}/state/m.example/foo"), json!({"key": "with foo"})).await.ok();
    assert_eq!(alice.get(&format!("{room}/state/m.room.name")).await.ok(), json!({"name": "two"}));
    assert_eq!(alice.get(&format!("{room}/state/m.example/foo")).await.ok(), json!({"key": "with foo"}));
    alice.get(&format!("{room}/state/m.example")).await.refused(404, "M_NOT_FOUND");
    let state = alice.get(&format!("{room}/state")).await.ok();
    let state = state.as_array().unwrap();
    state.iter().for_each(is_of_2014);
    let name = state.iter().find(|event| event["type"] == "m.room.name").unwrap();
    assert_eq!(name["prev_content"], json!({"name": "one"}));
}

#[tokio::test]
async fn members_come_between_tokens() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let room = alice.create(json!({})).await;
    let before = alice.get(&format!("{}/members", at(&room))).await.ok();
    bob.post(&format!("{}/join", at(&room)), json!({})).await.ok();
    let members = alice.get(&format!("{}/members", at(&room))).await.ok();
    let chunk = members["chunk"].as_array().unwrap();
    chunk.iter().for_each(is_of_2014);
    assert_eq!(chunk.len(), 2);
    assert!(members["start"].is_string() && members["end"].is_string());
    let path = format!("{}/members?from=START&to={}", at(&room), before["end"].as_str().unwrap());
    assert_eq!(alice.get(&path).await.ok()["chunk"].as_array().unwrap().len(), 1);
    alice.get(&format!("{}/members?from=x", at(&room))).await.refused(400, "M_BAD_PAGINATION");
}

#[tokio::test]
async fn messages_are_paged_to_both_ends() {
    let server = Server::start().await;
    let alice = User::new(&server, "alice").await;
    let room = alice.create(json!({})).await;
    for text in ["one", "two", "three"] {
        alice.say(&room, text).await;
    }
    let messages = format!("{}/messages", at(&room));
    let first = alice.get(&format!("{messages}?limit=1")).await.ok();
    assert_eq!(first["chunk"][0]["type"], "m.room.create");
    let mut texts = Vec::new();
    let mut from = "END".to_owned();
    loop {
        let page = alice.get(&format!("{messages}?dir=b&limit=2&from={from}")).await.ok();
        let chunk = page["chunk"].as_array().unwrap();
        if chunk.is_empty() {
            break;
        }
        chunk.iter().for_each(is_of_2014);
        texts.extend(chunk.iter().filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)));
        page["end"].as_str().unwrap().clone_into(&mut from);
    }
    assert_eq!(texts, ["three", "two", "one"]);
    for bad in ["from=bad", "to=s", "from=s-1", "from=s99999999999999999999", "limit=x", "limit=-1"] {
        alice.get(&format!("{messages}?dir=b&{bad}")).await.refused(400, "M_BAD_PAGINATION");
    }
    alice.get(&format!("{messages}?dir=x")).await.refused(400, "M_INVALID_PARAM");
}

#[tokio::test]
async fn redacted_events_say_why_at_their_top() {
    let server = Server::start().await;
    let alice = User::new(&server, "alice").await;
    let room = alice.create(json!({})).await;
    let event = alice.say(&room, "oops").await;
    alice.post(&format!("{}/redact/{}", at(&room), encode(&event)), json!({"reason": "no"})).await.ok();
    let redacted = alice.get(&format!("{}/event/{}", at(&room), encode(&event))).await.ok();
    is_of_2014(&redacted);
    assert_eq!(redacted["redacted_because"]["content"]["reason"], "no");
    is_of_2014(&redacted["redacted_because"]);
    let today = format!("/_matrix/client/v3{}/event/{}", at(&room), encode(&event));
    let today = server.get(&today, alice.user.access_token()).await.ok();
    assert_eq!(
        (&today["user_id"], &today["age"], &today["redacted_because"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn members_are_kicked_banned_and_let_in_again() {
    let server = Server::start().await;
    let (alice, bob) = (User::new(&server, "alice").await, User::new(&server, "bob").await);
    let room = at(&alice.create(json!({})).await);
    let join = format!("{room}/join");
    bob.post(&join, json!({})).await.ok();
    alice.post(&format!("{room}/kick"), json!({"user_id": bob.id(), "reason": "r"})).await.ok();
    bob.post(&join, json!({})).await.ok();
    alice.put(&format!("{room}/ban/1"), json!({"user_id": bob.id()})).await.ok();
    bob.post(&join, json!({})).await.refused(403, "M_BAD_STATE");
    alice.post(&format!("{room}/unban"), json!({"user_id": bob.id()})).await.ok();
    let member = format!("{room}/state/m.room.member/{}", encode(&bob.id()));
    bob.put(&member, json!({"membership": "join"})).await.ok();
    assert_eq!(alice.get(&member).await.ok()["membership"], "join");
    bob.put(&member, json!({"membership": "leave"})).await.ok();
    bob.post(&format!("{room}/forget"), json!({})).await.ok();
}

#[tokio::test]
async fn aliases_and_profiles_are_those_of_today() {
    // Today's specification leaves `location` and its like to itself.
    let server = Server::with(|builder| builder.drafts(true)).await;
    let alice = User::new(&server, "alice").await;
    let room = alice.create(json!({})).await;
    let alias = format!("/directory/room/{}", encode("#a:hs.test"));
    alice.get(&alias).await.refused(404, "M_NOT_FOUND");
    alice.put(&alias, json!({"room_id": room})).await.ok();
    let found = alice.get(&alias).await.ok();
    assert_eq!(found, json!({"room_id": room, "servers": ["hs.test"]}));
    alice.call(Method::DELETE, &alias, None).await.ok();
    alice.get(&alias).await.refused(404, "M_NOT_FOUND");
    let profile = format!("/profile/{}", encode(&alice.id()));
    alice.put(&format!("{profile}/displayname"), json!({"displayname": "Al"})).await.ok();
    alice.put(&format!("{profile}/location"), json!({"location": "London"})).await.ok();
    assert_eq!(alice.get(&profile).await.ok(), json!({"displayname": "Al", "location": "London"}));
    assert_eq!(alice.get(&format!("{profile}/avatar_url")).await.ok(), json!({}));
}

#[tokio::test]
async fn what_2014_does_not_know_is_not_there() {
    let server = Server::start().await;
    let alice = User::new(&server, "alice").await;
    for path in ["/sync", "/account/whoami", "/devices", "/capabilities"] {
        alice.get(path).await.refused(404, "M_UNRECOGNIZED");
    }
    assert_eq!(alice.get("/voip/turnServer").await.ok(), json!({}));
    assert_eq!(alice.get("/pushers").await.ok(), json!({"pushers": []}));
    alice.put("/logout", json!({})).await.refused(405, "M_UNRECOGNIZED");
    alice.post("/logout", json!({})).await.ok();
    alice.get("/initialSync").await.refused(401, "M_UNKNOWN_TOKEN");
}
