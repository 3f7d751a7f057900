//! The service over a real socket.

use std::sync::Mutex;

use async_trait::async_trait;
use ruma::server_name;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{Appservice, Registration};

struct Handler {
    events: mpsc::UnboundedSender<RoomEvent>,
    ephemeral: Mutex<Vec<String>>,
}

#[async_trait]
impl AppserviceHandler for Handler {
    async fn event(&self, _cx: &EventContext, event: RoomEvent) -> Outcome {
        self.events.send(event).unwrap();
        Outcome::Done
    }

    async fn ephemeral(&self, ephemeral: Ephemeral) {
        self.ephemeral.lock().unwrap().push(ephemeral.event_type);
    }

    async fn query_user(&self, user_id: &UserId) -> QueryReply {
        match user_id.localpart() {
            "irc_bob" | "irc.freenode.net/Bob" => QueryReply::Found,
            "irc_down" => QueryReply::Unavailable,
            _ => QueryReply::NotFound,
        }
    }

    async fn query_alias(&self, alias: &RoomAliasId) -> QueryReply {
        if alias.alias() == "irc.freenode.net/#matrix" { QueryReply::Found } else { QueryReply::NotFound }
    }

    fn third_party(&self) -> Option<&dyn ThirdParty> {
        Some(self)
    }
}

#[async_trait]
impl ThirdParty for Handler {
    async fn protocol(&self, protocol: &str) -> Option<ruma::thirdparty::Protocol> {
        let value = json!({"user_fields": ["nick"], "location_fields": ["channel"], "icon": "mxc://a/b",
            "field_types": {}, "instances": []});
        (protocol == "irc").then(|| serde_json::from_value(value).unwrap())
    }

    async fn users(
        &self,
        protocol: &str,
        fields: std::collections::BTreeMap<String, String>,
    ) -> Vec<ruma::thirdparty::User> {
        let user = json!({"userid": "@irc_bob:hs.test", "protocol": protocol, "fields": fields});
        vec![serde_json::from_value(user).unwrap()]
    }
}

struct Running {
    url: String,
    events: mpsc::UnboundedReceiver<RoomEvent>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    http: reqwest::Client,
}

async fn start(limit: usize) -> Running {
    let registration = Registration::builder("irc").tokens("as", "hs").build();
    let appservice = Appservice::builder(registration)
        .server_name(server_name!("hs.test"))
        .body_limit(limit)
        .build()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, events) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let handler = Handler { events: sender, ephemeral: Mutex::default() };
    let run = appservice.run(handler, listener, shutdown.clone());
    let task = tokio::spawn(async move { run.await.unwrap() });
    let http = reqwest::Client::builder().tls_backend_preconfigured(rustls_for_tests()).build().unwrap();
    Running { url, events, shutdown, task, http }
}

/// No test speaks TLS; the client wants a configuration all the same.
fn rustls_for_tests() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

impl Running {
    async fn request(&self, method: &str, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let response = request.bearer_auth("hs").body(body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.request("GET", path, "").await
    }

    async fn event(&mut self) -> RoomEvent {
        tokio::time::timeout(Duration::from_secs(10), self.events.recv()).await.unwrap().unwrap()
    }

    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.url.trim_start_matches("http://")).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is an answer, too.
        let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn transaction(id: &str) -> String {
    json!({"events": [{"event_id": format!("${id}"), "room_id": "!r:hs.test", "sender": "@a:hs.test",
        "type": "m.room.message", "content": {}}]})
    .to_string()
}

#[tokio::test]
async fn transactions_are_taken_at_todays_path_and_at_the_drafts() {
    let mut service = start(1 << 20).await;
    for (path, id) in
        [("/_matrix/app/v1/transactions/1", "a"), ("/transactions/2", "b"), ("/transactions/a%2Fb", "c")]
    {
        assert_eq!(service.request("PUT", path, transaction(id)).await, (200, json!({})), "{path}");
        assert_eq!(service.event().await.event_id.as_str(), format!("${id}"));
    }
}

#[tokio::test]
async fn every_refusal_says_what_is_wrong_in_the_standard_form() {
    let service = start(100).await;
    let put = "/_matrix/app/v1/transactions/1";
    let table: &[(&str, &str, String, u16, &str)] = &[
        ("PUT", put, "nonsense".into(), 400, "M_NOT_JSON"),
        ("PUT", put, "[]".into(), 400, "M_BAD_JSON"),
        ("PUT", put, r#"{"events": 5}"#.into(), 400, "M_BAD_JSON"),
        ("PUT", put, format!("{{\"events\": [{}]}}", " ".repeat(200)), 413, "M_TOO_LARGE"),
        ("GET", put, String::new(), 405, "M_UNRECOGNIZED"),
        ("GET", "/_matrix/app/v1/nothing", String::new(), 404, "M_UNRECOGNIZED"),
        ("GET", "/", String::new(), 404, "M_UNRECOGNIZED"),
        ("GET", "/_matrix/app/v1/users/nobody", String::new(), 400, "M_INVALID_PARAM"),
        ("GET", "/_matrix/app/v1/users/%FF", String::new(), 400, "M_INVALID_PARAM"),
        ("GET", "/_matrix/app/v1/users/@x:hs.test", String::new(), 404, "M_NOT_FOUND"),
        ("GET", "/_matrix/app/v1/users/@irc_down:hs.test", String::new(), 503, "M_UNKNOWN"),
        ("GET", "/rooms/%23none:hs.test", String::new(), 404, "M_NOT_FOUND"),
        ("GET", "/_matrix/app/v1/thirdparty/protocol/sip", String::new(), 404, "M_NOT_FOUND"),
        ("GET", "/_matrix/app/v1/thirdparty/user", String::new(), 400, "M_MISSING_PARAM"),
        ("POST", "/_matrix/app/v1/ping", "[1]".into(), 400, "M_BAD_JSON"),
    ];
    for (method, path, body, status, errcode) in table {
        let (found, answer) = service.request(method, path, body.clone()).await;
        assert_eq!(
            (found, answer["errcode"].as_str()),
            (*status, Some(*errcode)),
            "{method} {path}: {answer}"
        );
        assert!(answer["error"].is_string());
    }
}

#[tokio::test]
async fn only_the_homeserver_is_let_in_and_probes_are_open() {
    let service = start(1 << 20).await;
    let get = async |path: &str| {
        let response = service.http.get(format!("{}{path}", service.url)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let (status, text) = get("/_matrix/app/v1/users/@irc_bob:hs.test").await;
    assert!(status == 401 && text.contains("M_MISSING_TOKEN"), "{status} {text}");
    let (status, text) = get("/users/@irc_bob:hs.test?access_token=wrong").await;
    assert!(status == 403 && text.contains("M_FORBIDDEN"), "{status} {text}");
    assert_eq!(get("/users/@irc_bob:hs.test?access_token=hs").await.0, 200);
    assert_eq!((get("/live").await.0, get("/ready").await.0), (200, 200));
    assert!(get("/metrics").await.1.contains("appservice_inbox_events"));
}

#[tokio::test]
async fn queries_are_answered_by_the_handler() {
    let service = start(1 << 20).await;
    for path in [
        "/_matrix/app/v1/users/%40irc_bob%3Ahs.test",
        "/users/%40irc.freenode.net%2FBob%3Ahs.test",
        "/rooms/%23irc.freenode.net%2F%23matrix%3Ahs.test",
        "/_matrix/app/v1/rooms/%23irc.freenode.net%2F%23matrix%3Ahs.test",
    ] {
        assert_eq!(service.get(path).await, (200, json!({})), "{path}");
    }
    assert_eq!(service.request("POST", "/_matrix/app/v1/ping", r#"{"transaction_id": "t"}"#).await.0, 200);
}

#[tokio::test]
async fn look_ups_carry_their_fields_and_never_the_token() {
    let service = start(1 << 20).await;
    let (status, protocol) = service.get("/_matrix/app/v1/thirdparty/protocol/irc").await;
    assert_eq!((status, &protocol["user_fields"]), (200, &json!(["nick"])));
    for base in ["/_matrix/app/v1", "/_matrix/app/unstable"] {
        let (status, users) =
            service.get(&format!("{base}/thirdparty/user/irc?nick=B%20ob&access_token=hs")).await;
        assert_eq!((status, &users[0]["fields"]), (200, &json!({"nick": "B ob"})));
        assert_eq!(service.get(&format!("{base}/thirdparty/location/irc?x=1")).await, (200, json!([])));
    }
}

#[tokio::test]
async fn a_stopping_service_takes_nothing_more_and_ends() {
    let service = start(1 << 20).await;
    service.request("PUT", "/transactions/1", transaction("a")).await;
    service.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), service.task).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(service.url.trim_start_matches("http://")).await.is_err());
}

#[tokio::test]
async fn garbage_and_half_requests_do_no_harm() {
    let mut service = start(1 << 20).await;
    for bytes in [
        &b"\0\0\0\0"[..],
        b"GET",
        b"PUT /transactions/1 HTTP/1.1\r\nauthorization: Bearer hs\r\ncontent-length: 500\r\n\r\n{\"ev",
        b"PUT /transactions/1 HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"PUT /transactions/1 HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\nauthorization: Bearer hs\r\n\r\n",
        b"PUT /transactions/1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nauthorization: Bearer hs\r\n\r\nZZ\r\n",
        b"GET /users/%00%ff HTTP/1.1\r\nhost: x\r\nauthorization: Bearer hs\r\n\r\n",
        &vec![b'A'; 100_000],
    ] {
        let answer = service.raw(bytes).await;
        assert!(!answer.starts_with("HTTP/1.1 2") && !answer.starts_with("HTTP/1.1 5"), "{answer}");
    }
    assert_eq!(service.request("PUT", "/transactions/1", transaction("a")).await.0, 200);
    assert_eq!(service.event().await.event_id.as_str(), "$a");
}
