//! The worked IRC example of the application-service draft, step by step, in both dialects: the draft's bare paths with
//! tokens in the query, and today's paths with tokens in the header.

use std::fmt::Write as _;
use std::sync::Arc;

use matrix_homeserver::testing::{TestUser, encode};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tests::appservice::{Answer, Asked, ScriptedAppservice};
use tests::http;
use tests::programs::HomeserverProcess;
use tokio::net::TcpListener;

const AS_TOKEN: &str = "T_a";
const HELLO_AT: u64 = 1_421_416_883_133;
const WHATS_UP_AT: u64 = 1_421_418_084_816;
const ALIAS: &str = "#irc.freenode.net/#matrix:hsdomain.com";
const SERVER: [&str; 2] = ["--server-name", "hsdomain.com"];

#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    Draft,
    Today,
}

impl Dialect {
    /// Who Bob is. Today's specification allows no capitals in new user IDs.
    fn bob_localpart(self) -> &'static str {
        match self {
            Self::Draft => "irc.freenode.net/Bob",
            Self::Today => "irc.freenode.net/bob",
        }
    }

    fn bob(self) -> String {
        format!("@{}:hsdomain.com", self.bob_localpart())
    }

    /// What the homeserver is asked at.
    fn client_path(self, rest: &str) -> String {
        match self {
            Self::Draft => rest.to_owned(),
            Self::Today => format!("/_matrix/client/v3{rest}"),
        }
    }

    /// What the application service is asked at.
    fn service_path(self, rest: &str) -> String {
        match self {
            Self::Draft => rest.to_owned(),
            Self::Today => format!("/_matrix/app/v1{rest}"),
        }
    }

    /// The `hs_token` where this dialect has it.
    fn token_of(self, asked: &Asked) -> Option<String> {
        match self {
            Self::Draft => asked.query.get("access_token").cloned(),
            Self::Today => asked.authorization.as_deref()?.strip_prefix("Bearer ").map(str::to_owned),
        }
    }
}

/// The application service of the example: what it knows of IRC, and how it talks to the homeserver.
struct Service {
    dialect: Dialect,
    homeserver: Mutex<String>,
    client: reqwest::Client,
    /// What was said on IRC and has no room yet.
    scrollback: Mutex<Vec<(&'static str, u64)>>,
    room: Mutex<Option<String>>,
}

impl Service {
    fn new(dialect: Dialect) -> Arc<Self> {
        Arc::new(Self {
            dialect,
            homeserver: Mutex::default(),
            client: http::client(),
            scrollback: Mutex::default(),
            room: Mutex::default(),
        })
    }

    async fn call(&self, method: Method, path: &str, query: &[(&str, &str)], body: Value) -> Value {
        let mut url = format!("{}{}?", self.homeserver.lock(), self.dialect.client_path(path));
        for (key, value) in query {
            write!(url, "{key}={}&", encode(value)).unwrap();
        }
        let mut request = self.client.request(
            method.clone(),
            match self.dialect {
                Dialect::Draft => format!("{url}access_token={AS_TOKEN}"),
                Dialect::Today => url,
            },
        );
        if self.dialect == Dialect::Today {
            request = request.bearer_auth(AS_TOKEN);
        }
        let response = request.json(&body).send().await.expect("the homeserver answers");
        let status = response.status();
        let answer: Value = response.json().await.unwrap_or_default();
        assert!(status.is_success(), "{method} {path}: {status} {answer}");
        answer
    }

    async fn answer(&self, asked: Asked) -> Answer {
        let Some(path) = asked.path.strip_prefix(&self.dialect.service_path("/")) else {
            return (404, json!({"errcode": "M_UNRECOGNIZED", "error": "no such path"}));
        };
        match path.split_once('/') {
            Some(("rooms", alias)) if alias == encode(ALIAS) => self.make_room().await,
            Some(("users", user)) if user == encode(&self.dialect.bob()) => self.make_bob().await,
            Some(("transactions", _)) => (200, json!({})),
            Some(("_matrix", _)) => (404, json!({"errcode": "M_UNRECOGNIZED", "error": "no such path"})),
            _ => (404, json!({"errcode": "M_NOT_FOUND", "error": "not on IRC"})),
        }
    }

    async fn make_room(&self) -> Answer {
        let body = json!({"room_alias_name": "irc.freenode.net/#matrix", "preset": "public_chat"});
        let made = self.call(Method::POST, "/createRoom", &[], body).await;
        let room = made["room_id"].as_str().expect("a room ID").to_owned();
        let path = format!("/rooms/{}/state/m.room.name", encode(&room));
        self.call(Method::PUT, &path, &[], json!({"name": "#matrix"})).await;
        *self.room.lock() = Some(room);
        let said = std::mem::take(&mut *self.scrollback.lock());
        for (text, at) in said {
            self.bob_says(text, at).await;
        }
        (200, json!({}))
    }

    async fn make_bob(&self) -> Answer {
        let body = match self.dialect {
            Dialect::Draft => {
                json!({"type": "m.login.application_service", "user": self.dialect.bob_localpart()})
            }
            Dialect::Today => json!({"type": "m.login.application_service",
                "username": self.dialect.bob_localpart(), "inhibit_login": true}),
        };
        self.call(Method::POST, "/register", &[], body).await;
        let bob = self.dialect.bob();
        let path = format!("/profile/{}/displayname", encode(&bob));
        self.call(Method::PUT, &path, &[("user_id", &bob)], json!({"displayname": "Bob"})).await;
        (200, json!({}))
    }

    /// Into the room if there is one, else into the scrollback.
    async fn bob_says(&self, text: &'static str, at: u64) {
        let Some(room) = self.room.lock().clone() else {
            self.scrollback.lock().push((text, at));
            return;
        };
        let (bob, at) = (self.dialect.bob(), at.to_string());
        let acting = [("user_id", bob.as_str()), ("ts", at.as_str())];
        let room = encode(&room);
        let path = match self.dialect {
            Dialect::Draft => format!("/rooms/{room}/send/m.room.message"),
            Dialect::Today => {
                self.call(Method::POST, &format!("/rooms/{room}/join"), &acting[..1], json!({})).await;
                format!("/rooms/{room}/send/m.room.message/at{at}")
            }
        };
        self.call(Method::PUT, &path, &acting, json!({"body": text, "msgtype": "m.text"})).await;
    }
}

/// Steps 2 to 5, once the application service is registered.
async fn play(service: &Service, appservice: &ScriptedAppservice, hs_token: &str, alice: &TestUser) {
    let dialect = service.dialect;
    // 2. Nobody is there to hear it.
    service.bob_says("hello?", HELLO_AT).await;
    assert!(appservice.asked().is_empty(), "nothing happens as no Matrix users are in the room");

    // 3. Alice joins by the alias; the homeserver asks for the room and then for Bob.
    let join = dialect.client_path(&format!("/join/{}", encode(ALIAS)));
    let joined = alice.post(&join, json!({})).await.expect("alice joins");
    let room = joined["room_id"].as_str().expect("a room ID").to_owned();
    for path in [format!("/rooms/{}", encode(ALIAS)), format!("/users/{}", encode(&dialect.bob()))] {
        let path = dialect.service_path(&path);
        let asked = appservice.wait_for(&path, 0, |asked| asked.method == "GET" && asked.path == path).await;
        assert_eq!(dialect.token_of(&asked).as_deref(), Some(hs_token), "{asked:?}");
    }
    let hello = alice.wait_for_text(&room, "hello?").await.unwrap();
    assert_eq!(hello["sender"], dialect.bob().as_str());
    assert_eq!(hello["origin_server_ts"], HELLO_AT);
    let name = alice.state(&room, "m.room.name", "").await.unwrap().unwrap();
    assert_eq!(name["name"], "#matrix");
    let profile = alice.get(&format!("/_matrix/client/v3/profile/{}", encode(&dialect.bob()))).await.unwrap();
    assert_eq!(profile["displayname"], "Bob");

    // 4. Alice answers, and the event is pushed.
    let event_id = alice.send_text(&room, "hi!").await.unwrap();
    let is_hi = |event: &Value| event["content"]["body"] == "hi!";
    let holds_hi =
        |asked: &Asked| asked.body["events"].as_array().is_some_and(|events| events.iter().any(is_hi));
    let pushed = appservice.wait_for("the transaction with \"hi!\"", 0, holds_hi).await;
    assert_eq!(pushed.method, "PUT");
    assert!(pushed.path.starts_with(&dialect.service_path("/transactions/")), "{}", pushed.path);
    assert_eq!(dialect.token_of(&pushed).as_deref(), Some(hs_token));
    let event = pushed.body["events"].as_array().unwrap().iter().find(|event| is_hi(event)).unwrap();
    assert_eq!(event["event_id"], event_id.as_str());
    assert_eq!(event["room_id"], room.as_str());
    assert_eq!(event["type"], "m.room.message");
    assert!(event["origin_server_ts"].is_u64());
    let author = if dialect == Dialect::Draft { &event["user_id"] } else { &event["sender"] };
    assert_eq!(author, alice.user_id().as_str());

    // 5. Bob answers on IRC; the homeserver puts his name and his time on the event.
    service.bob_says("what's up?", WHATS_UP_AT).await;
    let whats_up = alice.wait_for_text(&room, "what's up?").await.unwrap();
    assert_eq!(whats_up["sender"], dialect.bob().as_str());
    assert_eq!(whats_up["origin_server_ts"], WHATS_UP_AT);
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn follow(listener: TcpListener, service: &Arc<Service>) -> ScriptedAppservice {
    let service = Arc::clone(service);
    ScriptedAppservice::start(listener, move |asked| {
        let service = Arc::clone(&service);
        async move { service.answer(asked).await }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_irc_example_of_the_draft_in_its_own_dialect() {
    let homeserver = HomeserverProcess::start_with(&[], &[SERVER[0], SERVER[1], "--drafts"]).await;
    let service = Service::new(Dialect::Draft);
    *service.homeserver.lock() = homeserver.url();
    let (listener, url) = listen().await;
    let appservice = follow(listener, &service);

    // 1. The application service registers itself and learns its token.
    let registration = json!({
        "url": url,
        "as_token": AS_TOKEN,
        "namespaces": {
            "users": [{"exclusive": true, "regex": "@irc\\.freenode\\.net/.*"}],
            "aliases": [{"exclusive": true, "regex": "#irc\\.freenode\\.net/.*"}],
        },
    });
    let registered = service
        .client
        .post(format!("{}/register", homeserver.url()))
        .json(&registration)
        .send()
        .await
        .unwrap();
    assert_eq!(registered.status(), 200);
    let answer: Value = registered.json().await.unwrap();
    let hs_token = answer["hs_token"].as_str().expect("an hs_token");

    let alice = TestUser::register(&homeserver.url(), "alice").await.unwrap();
    play(&service, &appservice, hs_token, &alice).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_irc_example_of_the_draft_in_todays_dialect() {
    let (listener, url) = listen().await;
    let registration = json!({
        "id": "irc", "url": url, "as_token": AS_TOKEN, "hs_token": "T_h", "sender_localpart": "ircbot",
        "namespaces": {
            "users": [{"exclusive": true, "regex": "@irc\\.freenode\\.net/.*"}],
            "aliases": [{"exclusive": true, "regex": "#irc\\.freenode\\.net/.*"}],
            "rooms": [],
        },
    });
    // Every JSON document is a YAML document.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), registration.to_string()).unwrap();
    let homeserver = HomeserverProcess::start_with(&[file.path()], &SERVER).await;
    let service = Service::new(Dialect::Today);
    *service.homeserver.lock() = homeserver.url();
    let appservice = follow(listener, &service);

    let alice = TestUser::register(&homeserver.url(), "alice").await.unwrap();
    play(&service, &appservice, "T_h", &alice).await;
}
