//! A server for a test, and requests that show everything that came back.

use matrix_homeserver::{
    Homeserver, HomeserverBuilder,
    testing::{TestUser, http_client},
};
use reqwest::Method;
use serde_json::{Value, json};

/// A server that fails the test when a handler panicked or an answer was 500.
pub(crate) struct Server {
    pub(crate) hs: Homeserver,
    pub(crate) http: reqwest::Client,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn errcode(&self) -> &str {
        self.body["errcode"].as_str().unwrap_or_default()
    }

    /// Fails unless the answer is 200.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// Fails unless the answer is this refusal.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, errcode: &str) {
        assert_eq!((self.status, self.errcode()), (status, errcode), "{}", self.body);
        assert!(self.body["error"].is_string(), "an error without a text: {}", self.body);
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(adjust: impl FnOnce(HomeserverBuilder) -> HomeserverBuilder) -> Self {
        let hs = adjust(Homeserver::builder("hs.test")).start().await.expect("the server starts");
        let http = http_client(hs.url());
        Self { hs, http }
    }

    /// Alice, Bob, and a public room of Alice's with Bob in it.
    pub(crate) async fn room_of_two(&self) -> (TestUser, TestUser, String) {
        let alice = self.hs.user("alice").await.unwrap();
        let bob = self.hs.user("bob").await.unwrap();
        let room = alice.create_room(json!({"preset": "public_chat"})).await.unwrap();
        bob.join(&room).await.unwrap();
        (alice, bob, room.to_string())
    }

    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Vec<u8>>,
    ) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.hs.url()));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let body = response.bytes().await.expect("a whole answer");
        Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.raw(Method::GET, path, Some(token).filter(|token| !token.is_empty()), None).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        let token = Some(token).filter(|token| !token.is_empty());
        self.raw(Method::POST, path, token, Some(body.to_string().into_bytes())).await
    }

    pub(crate) async fn put(&self, path: &str, token: &str, body: Value) -> Answer {
        let token = Some(token).filter(|token| !token.is_empty());
        self.raw(Method::PUT, path, token, Some(body.to_string().into_bytes())).await
    }
}

impl Server {
    /// Stops the server and waits until it has, so that its data can be used again.
    pub(crate) async fn stop(self) {
        self.hs.stop().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.hs.panics(), 0, "a handler panicked");
            assert_eq!(self.hs.internal_errors(), 0, "an answer was 500");
        }
    }
}
