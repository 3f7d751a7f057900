//! The draft of a client-server API v2, by what a client would do with it.

use std::{collections::BTreeSet, time::Duration};

use matrix_homeserver::testing::{TestUser, encode};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Server;

const V2: &str = "/_matrix/client/v2_alpha";

async fn server() -> Server {
    Server::with(|builder| builder.v2_draft(true)).await
}

/// A client that keeps its session.
struct Client<'s> {
    server: &'s Server,
    token: String,
    session: parking_lot::Mutex<Option<String>>,
}

/// An answer with the session that it tells.
struct Told {
    status: u16,
    body: Value,
    session: Option<String>,
}

impl Told {
    #[track_caller]
    fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    #[track_caller]
    fn refused(&self, status: u16, errcode: &str) {
        assert_eq!((self.status, &self.body["errcode"]), (status, &json!(errcode)), "{}", self.body);
    }
}

impl<'s> Client<'s> {
    fn of(server: &'s Server, user: &TestUser) -> Self {
        Self { server, token: user.access_token().to_owned(), session: parking_lot::Mutex::default() }
    }

    async fn tell(&self, method: Method, path: &str, body: Option<Value>) -> Told {
        let mut request = self.server.http.request(method, format!("{}{V2}{path}", self.server.hs.url()));
        request = request.bearer_auth(&self.token);
        if let Some(session) = &*self.session.lock() {
            request = request.header("Matrix-Session-Id", session);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let session = response.headers().get("matrix-session-id");
        let session = session.map(|session| session.to_str().unwrap().to_owned());
        let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null);
        if session.is_some() {
            self.session.lock().clone_from(&session);
        }
        Told { status, body, session }
    }

    async fn get(&self, path: &str) -> Told {
        self.tell(Method::GET, path, None).await
    }

    async fn put(&self, path: &str, body: Value) -> Told {
        self.tell(Method::PUT, path, Some(body)).await
    }

    async fn post(&self, path: &str, body: Value) -> Told {
        self.tell(Method::POST, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Told {
        self.tell(Method::DELETE, path, None).await
    }

    async fn send(&self, room: &str, content: Value) -> String {
        let path = format!("/rooms/{}/send/m.room.message", encode(room));
        self.post(&path, content).await.ok()["event_id"].as_str().unwrap().to_owned()
    }
}

fn text(body: &str) -> Value {
    json!({"msgtype": "m.text", "body": body})
}

fn bodies(events: &Value) -> Vec<&str> {
    events.as_array().unwrap().iter().filter_map(|event| event["content"]["body"].as_str()).collect()
}

#[tokio::test]
async fn the_first_answer_tells_a_session_which_lasts_while_it_is_named() {
    let server = server().await;
    let alice = server.hs.user("alice").await.unwrap();
    let client = Client::of(&server, &alice);
    let first = client.get("/account/whoami").await;
    assert_eq!(first.body["user_id"], "@alice:hs.test");
    let session = first.session.expect("a session");
    let again = client.get("/session").await;
    assert_eq!(again.body, json!({"session_id": session, "next_action_id": 0}));
    let by_query = Client::of(&server, &alice);
    assert_eq!(by_query.get(&format!("/session?session_id={session}")).await.ok()["session_id"], session);
    // Another client of the same device begins another, and this one is over.
    let other = Client::of(&server, &alice).get("/session").await.session.unwrap();
    assert_ne!(other, session);
    let stale = client.get("/session").await;
    stale.refused(409, "M_STALE_SESSION");
    assert_eq!(stale.body["session_id"].as_str(), stale.session.as_deref(), "it tells the new one");
    assert_eq!(client.get("/session").await.ok()["session_id"].as_str(), stale.session.as_deref());
    let nobody = Client { server: &server, token: "wrong".into(), session: parking_lot::Mutex::default() };
    let refused = nobody.get("/session").await;
    refused.refused(401, "M_UNKNOWN_TOKEN");
    assert!(refused.session.is_none());
}

#[tokio::test]
async fn actions_are_done_in_order_however_they_arrive_and_once_however_often() {
    let server = server().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({})).await.unwrap();
    let client = Client::of(&server, &alice);
    client.get("/session").await.ok();
    let act = |action: u64| {
        let path = format!("/rooms/{}/send/m.room.message?action_id={action}", encode(room.as_str()));
        let client = &client;
        async move { client.post(&path, text(&action.to_string())).await }
    };
    // The later actions are sent first.
    let (third, second, first) = tokio::join!(act(2), act(1), act(0));
    let sent = [first.ok(), second.ok(), third.ok()];
    assert_eq!(act(1).await.ok(), sent[1], "repeated, it is answered as before");
    let messages = json!(alice.messages(&room, 3).await.unwrap());
    assert_eq!(bodies(&messages), ["2", "1", "0"]);
    // What is refused is done, too.
    let forbidden = client.post("/join/%23nothing:hs.test?action_id=3", json!({})).await;
    forbidden.refused(404, "M_NOT_FOUND");
    assert_eq!(client.get("/session").await.ok()["next_action_id"], 4);
    client.post("/createRoom?action_id=x", json!({})).await.refused(400, "M_INVALID_PARAM");
    // In another session the count begins anew; an action of the old one fails.
    let stale = client.session.lock().clone();
    Client::of(&server, &alice).get("/session").await.ok();
    act(4).await.refused(409, "M_STALE_SESSION");
    assert_ne!(*client.session.lock(), stale);
    act(0).await.ok();
}

#[tokio::test]
async fn typing_and_presence_end_with_the_session() {
    let server = server().await;
    let (alice, bob) = (server.hs.user("alice").await.unwrap(), server.hs.user("bob").await.unwrap());
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    bob.join(&room).await.unwrap();
    let client = Client::of(&server, &alice);
    client.put("/presence", json!({"presence": "unavailable", "status_msg": "x"})).await.ok();
    let status = "/_matrix/client/v3/presence/@alice:hs.test/status";
    assert_eq!(bob.get(status).await.unwrap()["presence"], "unavailable");
    client.put(&format!("/rooms/{room}/typing"), json!({"typing": true})).await.ok();
    let typing = |users: Value| move |event: &Value| event["content"]["user_ids"] == users;
    bob.wait_for(typing(json!(["@alice:hs.test"]))).await.unwrap();
    assert!(client.delete("/session").await.session.is_none());
    bob.wait_for(typing(json!([]))).await.unwrap();
    assert_eq!(bob.get(status).await.unwrap()["presence"], "offline");
    client.put("/presence", json!({"presence": "nonsense"})).await.refused(409, "M_STALE_SESSION");
    client.put("/presence", json!({"presence": "nonsense"})).await.refused(400, "M_INVALID_PARAM");
    client.put(&format!("/rooms/{room}/typing"), json!({"typing": 1})).await.refused(400, "M_BAD_JSON");
}

#[tokio::test]
async fn a_session_without_requests_ends_by_itself() {
    let server =
        Server::with(|builder| builder.v2_draft(true).v2_session_timeout(Duration::from_millis(1))).await;
    let (alice, bob) = (server.hs.user("alice").await.unwrap(), server.hs.user("bob").await.unwrap());
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    bob.join(&room).await.unwrap();
    bob.sync(Duration::ZERO).await.unwrap();
    let client = Client::of(&server, &alice);
    client.put(&format!("/rooms/{room}/typing"), json!({"typing": true})).await.ok();
    bob.wait_for(|event| event["content"]["user_ids"] == json!([])).await.unwrap();
    client.get("/session").await.refused(409, "M_STALE_SESSION");
}

#[tokio::test]
async fn capabilities_are_known_by_their_hash_and_united_over_the_clients_of_a_user() {
    let server = server().await;
    let (alice, bob) = (server.hs.user("alice").await.unwrap(), server.hs.user("bob").await.unwrap());
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    bob.join(&room).await.unwrap();
    let phone = Client::of(&server, &alice);
    let of_server = phone.get("/capabilities").await.ok();
    let hash = of_server["sha256"].as_str().unwrap();
    let set = phone.get(&format!("/capabilities/{}", encode(hash))).await.ok();
    assert!(set["m.room_versions"].is_object() && set["m.cap.content_repository.v1"].is_object());
    // A hash that nobody knows is refused, until the set was uploaded.
    let upload = |client: &'static str| json!({(client): {}, "common.v1": {}});
    let unknown = json!({"sha256": "fD876SFrt3sugh23FWEjio3"});
    phone.put("/session/capabilities", unknown).await.refused(404, "M_UNKNOWN_CAPABILITIES");
    let known = phone.post("/capabilities", upload("phone.v1")).await.ok();
    phone.put("/session/capabilities", known.clone()).await.ok();
    let desktop_user = TestUser::login(server.hs.url(), "alice", matrix_homeserver::testing::PASSWORD);
    let desktop_user = desktop_user.await.unwrap();
    let desktop = Client::of(&server, &desktop_user);
    let other = desktop.post("/capabilities", upload("desktop.v1")).await.ok();
    desktop.put("/session/capabilities", other.clone()).await.ok();
    // Bob learns of the union by the presence.
    let bobs = Client::of(&server, &bob);
    let presence = bob.get("/_matrix/client/v3/presence/@alice:hs.test/status").await.unwrap();
    let union = &presence["capabilities"];
    assert_eq!(bobs.get("/users/@alice:hs.test/capabilities").await.ok(), *union);
    let path = format!("/users/@alice:hs.test/capabilities/{}", encode(union["sha256"].as_str().unwrap()));
    let names: BTreeSet<_> = bobs.get(&path).await.ok().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, BTreeSet::from(["common.v1".into(), "desktop.v1".into(), "phone.v1".into()]));
    // Without the phone, only the desktop's are left; without both, none.
    phone.delete("/session").await.ok();
    assert_eq!(bobs.get("/users/@alice:hs.test/capabilities").await.ok(), other);
    desktop.delete("/session").await.ok();
    bobs.get("/users/@alice:hs.test/capabilities").await.refused(404, "M_NOT_FOUND");
    let stranger = server.hs.user("stranger").await.unwrap();
    let hidden = Client::of(&server, &stranger).get("/users/@alice:hs.test/capabilities").await;
    hidden.refused(403, "M_FORBIDDEN");
    bobs.post("/capabilities", json!({"a": 1.5})).await.refused(400, "M_BAD_JSON");
}

/// The draft's example: a message, ten comments, an edit.
async fn example(server: &Server) -> (TestUser, String, String) {
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap().to_string();
    let client = Client::of(server, &alice);
    let parent = client.send(&room, text("I am teh winner!")).await;
    for number in 1..=10 {
        let comment = json!({"msgtype": "m.text", "body": format!("comment {number}"), "relates_to": parent});
        client.send(&room, comment).await;
    }
    client.send(&room, json!({"msgtype": "m.text", "body": "I am the winner!", "updates": parent})).await;
    (alice, room, parent)
}

#[tokio::test]
async fn who_reads_the_room_gets_one_event_with_its_updates_and_the_last_of_its_comments() {
    let server = server().await;
    let (_, room, parent) = example(&server).await;
    let bob = server.hs.user("bob").await.unwrap();
    bob.join(&room).await.unwrap();
    let client = Client::of(&server, &bob);
    let initial = client.get("/initialSync?limit=100").await.ok();
    let shown = &initial["rooms"][0]["messages"]["chunk"];
    assert_eq!(bodies(shown), ["I am teh winner!"]);
    let event = shown.as_array().unwrap().iter().find(|event| event["event_id"] == parent.as_str()).unwrap();
    assert_eq!(bodies(&event["updates"]), ["I am the winner!"]);
    assert_eq!(event["updates"][0]["updates"], parent.as_str());
    let related = &event["relates_to"];
    let last: Vec<_> = (6..=10).map(|number| format!("comment {number}")).collect();
    assert_eq!(bodies(&related["chunk"]), last);
    // The rest is paged, from new to old.
    let (mut token, mut pages) = (related["token"].as_str().unwrap().to_owned(), Vec::new());
    for _ in 0..3 {
        let path = format!("/events/{}/relates_to?token={token}&limit=2", encode(&parent));
        let page = client.get(&path).await.ok();
        pages.push(bodies(&page["chunk"]).join(","));
        page["token"].as_str().unwrap_or_default().clone_into(&mut token);
    }
    assert_eq!(pages, ["comment 4,comment 5", "comment 2,comment 3", "comment 1"]);
    assert_eq!(token, "", "the last page leads nowhere");
    // Everywhere the same, but for who does not want it.
    let one = client.get(&format!("/events/{}", encode(&parent))).await.ok();
    assert_eq!(bodies(&one["updates"]), bodies(&event["updates"]));
    let page = client.get(&format!("/rooms/{room}/messages?dir=b&limit=100")).await.ok();
    assert_eq!(bodies(&page["chunk"]), ["I am teh winner!"]);
    let filter = client.post("/filter", json!({"relates_to": false, "types": ["m.room.mess*"]})).await.ok();
    let filter = filter["token"].as_str().unwrap();
    let page = client.get(&format!("/rooms/{room}/messages?dir=f&limit=100&filter={filter}")).await.ok();
    let page = &page["chunk"];
    assert_eq!(page.as_array().unwrap().len(), 11, "the comments by themselves, the edit inside");
    assert!(page[0].get("relates_to").is_none());
    assert_eq!(bodies(&page[0]["updates"]), ["I am the winner!"]);
}

#[tokio::test]
async fn on_the_stream_every_event_comes_by_itself() {
    let server = server().await;
    let (alice, room, parent) = example(&server).await;
    let client = Client::of(&server, &alice);
    let from = client.get("/initialSync?limit=1").await.ok()["end"].as_str().unwrap().to_owned();
    client.send(&room, json!({"body": "again", "updates": parent})).await;
    let stream = client.get(&format!("/events?from={from}&timeout=10000")).await.ok();
    let events = stream["chunk"].as_array().unwrap();
    let update = events.iter().find(|event| event["content"]["body"] == "again").expect("the update");
    assert_eq!(update["updates"], parent.as_str());
    // Clients of today see an edit.
    assert_eq!(update["content"]["m.relates_to"], json!({"rel_type": "m.replace", "event_id": parent}));
    assert_eq!(update["content"]["m.new_content"]["body"], "again");
    let both = json!({"body": "x", "updates": parent, "relates_to": parent});
    let path = format!("/rooms/{room}/send/m.room.message");
    client.post(&path, both).await.refused(400, "M_BAD_JSON");
    client.post(&path, json!({"body": "x", "updates": "$unknown"})).await.refused(404, "M_NOT_FOUND");
    client.post(&path, json!({"body": "x", "updates": 3})).await.refused(400, "M_BAD_JSON");
}

#[tokio::test]
async fn a_window_shows_as_much_before_and_after_an_event_as_is_wanted() {
    let server = server().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({"name": "x"})).await.unwrap();
    let client = Client::of(&server, &alice);
    let mut sent = Vec::new();
    for number in 0..10 {
        sent.push(client.send(room.as_str(), text(&number.to_string())).await);
    }
    let window = client.get(&format!("/events/{}/context?before=3&after=1", encode(&sent[5]))).await.ok();
    assert_eq!(bodies(&window["chunk"]), ["2", "3", "4", "5", "6"]);
    assert!(window["state"].as_array().unwrap().iter().any(|event| event["content"]["name"] == "x"));
    let page = |dir: &'static str, token: &Value| {
        let path = format!("/rooms/{room}/messages?dir={dir}&from={}&limit=1", token.as_str().unwrap());
        let client = &client;
        async move { client.get(&path).await.ok() }
    };
    assert_eq!(bodies(&page("b", &window["start"]).await["chunk"]), ["1"]);
    assert_eq!(bodies(&page("f", &window["end"]).await["chunk"]), ["7"]);
    client.get("/events/%24unknown/context").await.refused(404, "M_NOT_FOUND");
    let stranger = server.hs.user("stranger").await.unwrap();
    let hidden = Client::of(&server, &stranger);
    let refused = hidden.get(&format!("/events/{}/context", encode(&sent[5]))).await;
    assert!(matches!(refused.status, 403 | 404), "{}", refused.body);
}

#[tokio::test]
async fn deleted_state_is_an_event_without_content_and_is_not_found() {
    let server = server().await;
    let alice = server.hs.user("alice").await.unwrap();
    let room = alice.create_room(json!({"topic": "tea"})).await.unwrap();
    let client = Client::of(&server, &alice);
    let path = format!("/rooms/{room}/state/m.room.topic");
    assert_eq!(client.get(&path).await.ok()["topic"], "tea");
    let from = client.get("/initialSync").await.ok()["end"].as_str().unwrap().to_owned();
    client.delete(&path).await.ok();
    client.get(&path).await.refused(404, "M_NOT_FOUND");
    client.delete(&path).await.refused(404, "M_NOT_FOUND");
    let stream = client.get(&format!("/events?from={from}&timeout=10000")).await.ok();
    let topic = |chunk: &Value| {
        let events = chunk.as_array().unwrap();
        events.iter().find(|event| event["type"] == "m.room.topic").cloned().expect("the topic")
    };
    let deleted = topic(&stream["chunk"]);
    assert!(deleted.get("content").is_none());
    assert_eq!(deleted["unsigned"]["prev_content"]["topic"], "tea");
    let from = stream["end"].as_str().unwrap();
    client.put(&path, json!({"topic": "coffee"})).await.ok();
    let set = topic(&client.get(&format!("/events?from={from}&timeout=10000")).await.ok()["chunk"]);
    assert_eq!(set["content"], json!({"topic": "coffee"}));
    assert!(set["unsigned"].get("prev_content").is_none(), "nothing was there before");
    client.delete(&format!("/rooms/{room}/state/m.room.name")).await.refused(404, "M_NOT_FOUND");
    let member = format!("/rooms/{room}/state/m.room.member/@alice:hs.test");
    client.delete(&member).await.ok();
    assert!(alice.get("/_matrix/client/v3/joined_rooms").await.unwrap()["joined_rooms"] == json!([]));
}

#[tokio::test]
async fn invitations_are_answered_by_the_id_of_their_event() {
    let server = server().await;
    let (alice, bob) = (server.hs.user("alice").await.unwrap(), server.hs.user("bob").await.unwrap());
    let client = Client::of(&server, &bob);
    let mut invitations = Vec::new();
    for alias in ["one", "other"] {
        let options = json!({"invite": ["@bob:hs.test"], "room_alias_name": alias, "name": alias});
        let room = alice.create_room(options).await.unwrap();
        let path = format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/@bob:hs.test?format=event");
        let event_id = alice.get(&path).await.unwrap()["event_id"].as_str().unwrap().to_owned();
        invitations.push((room, event_id));
    }
    let (room, invitation) = &invitations[0];
    let shown = client.post(&format!("/join/{}", encode(invitation)), json!({})).await.ok();
    assert_eq!((&shown["room_id"], &shown["membership"]), (&json!(room), &json!("join")));
    assert_eq!(shown["aliases"], json!(["#one:hs.test"]));
    assert!(shown["state"].as_array().unwrap().iter().any(|event| event["content"]["name"] == "one"));
    // It was answered, and is nobody else's.
    client.post(&format!("/join/{}", encode(invitation)), json!({})).await.refused(404, "M_NOT_FOUND");
    client.delete(&format!("/events/{}", encode(invitation))).await.refused(404, "M_NOT_FOUND");
    let (room, invitation) = &invitations[1];
    let other = Client::of(&server, &alice);
    other.delete(&format!("/events/{}", encode(invitation))).await.refused(404, "M_NOT_FOUND");
    client.delete(&format!("/events/{}", encode(invitation))).await.ok();
    let member = alice.state(room, "m.room.member", "@bob:hs.test").await.unwrap().unwrap();
    assert_eq!(member["membership"], "leave");
    client.post("/join/%23one:hs.test", json!({})).await.ok();
}

#[tokio::test]
async fn markers_say_how_far_somebody_has_got_by_event_or_by_time() {
    let server = server().await;
    let (alice, bob) = (server.hs.user("alice").await.unwrap(), server.hs.user("bob").await.unwrap());
    let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
    bob.join(&room).await.unwrap();
    let (first, last) =
        (alice.send_text(&room, "1").await.unwrap(), alice.send_text(&room, "2").await.unwrap());
    let event = alice.get(&format!("/_matrix/client/v3/rooms/{room}/event/{}", encode(last.as_str()))).await;
    let sent_at = event.unwrap()["origin_server_ts"].clone();
    let (client, watching) = (Client::of(&server, &bob), Client::of(&server, &alice));
    let from = watching.get("/initialSync").await.ok()["end"].as_str().unwrap().to_owned();
    let marker = |kind: &str| format!("/rooms/{room}/state/m.room.marker.{kind}");
    client.put(&marker("delivered"), json!({"event_id": first})).await.ok();
    // The client does not know the event any more, but when it was.
    client.put(&marker("read"), json!({"event_id": "$unknown", "ts": sent_at})).await.ok();
    let expected = json!({"event_id": last, "ts": sent_at});
    assert_eq!(watching.get(&format!("{}/@bob:hs.test", marker("read"))).await.ok(), expected);
    assert_eq!(client.get(&marker("delivered")).await.ok()["event_id"], first.as_str());
    let stream = watching.get(&format!("/events?from={from}&timeout=10000")).await.ok();
    let found = stream["chunk"].as_array().unwrap().iter().find(|it| it["type"] == "m.room.marker.read");
    let found = found.expect("the marker");
    assert_eq!((&found["state_key"], &found["content"]), (&json!("@bob:hs.test"), &expected));
    // Clients of today see a receipt.
    alice
        .wait_for(|event| event["content"][last.as_str()]["m.read"].get("@bob:hs.test").is_some())
        .await
        .unwrap();
    client.put(&marker("read"), json!({})).await.refused(400, "M_MISSING_PARAM");
    client.put(&marker("read"), json!({"ts": 1})).await.refused(404, "M_NOT_FOUND");
    client.put(&marker("read"), json!({"event_id": "$unknown"})).await.refused(404, "M_NOT_FOUND");
    let others = format!("{}/@alice:hs.test", marker("read"));
    client.put(&others, json!({"event_id": first})).await.refused(403, "M_FORBIDDEN");
    client.get(&others).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test]
async fn filters_choose_rooms_types_keys_and_the_form_of_servers() {
    let server = server().await;
    let alice = server.hs.user("alice").await.unwrap();
    let (one, other) =
        (alice.create_room(json!({})).await.unwrap(), alice.create_room(json!({})).await.unwrap());
    for room in [&one, &other] {
        alice.send_text(room, "x").await.unwrap();
    }
    let client = Client::of(&server, &alice);
    let filtered = |filter: Value| {
        let client = &client;
        async move {
            let token = client.post("/filter", filter).await.ok()["token"].as_str().unwrap().to_owned();
            client.get(&format!("/initialSync?filter={token}")).await.ok()
        }
    };
    let shown = filtered(json!({"rooms": [one], "types": ["m.room.message"]})).await;
    assert_eq!(shown["rooms"].as_array().unwrap().len(), 1);
    assert_eq!(shown["rooms"][0]["state"], json!([]));
    assert_eq!(shown["rooms"][0]["messages"]["chunk"].as_array().unwrap().len(), 1);
    let shown = filtered(json!({"keys": ["type"]})).await;
    assert!(
        shown["rooms"][0]["state"].as_array().unwrap().iter().all(|it| it.as_object().unwrap().len() == 1)
    );
    let shown = filtered(json!({"federation": true})).await;
    assert!(shown["rooms"][0]["state"][0]["hashes"]["sha256"].is_string());
    client.get("/initialSync?filter=nonsense").await.refused(400, "M_INVALID_PARAM");
    client.post("/filter", json!({"types": 3})).await.refused(400, "M_BAD_JSON");
}

#[tokio::test]
async fn what_the_draft_leaves_as_it_is_is_todays_api() {
    let server = server().await;
    let body = json!({"username": "carol", "password": "pw", "auth": {"type": "m.login.dummy"}});
    let login = server.post(&format!("{V2}/register"), "", body).await.ok();
    let token = login["access_token"].as_str().unwrap();
    let room = server.post(&format!("{V2}/createRoom"), token, json!({})).await.ok()["room_id"].clone();
    let invite = format!("{V2}/rooms/{}/invite", room.as_str().unwrap());
    server.hs.user("dave").await.unwrap();
    server.post(&invite, token, json!({"user_id": "@dave:hs.test"})).await.ok();
    server.get(&format!("{V2}/presence/list/@carol:hs.test"), token).await.ok();
    server.get(&format!("{V2}/nonsense"), token).await.refused(404, "M_UNRECOGNIZED");
    let off = Server::start().await;
    off.get(&format!("{V2}/session"), token).await.refused(404, "M_UNRECOGNIZED");
}
