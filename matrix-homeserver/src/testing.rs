//! Test users: a thin client for any homeserver, ours or another, by its URL.
//!
//! Everything here crosses the real wire, so a test that is written with [`TestUser`] runs unchanged against
//! another implementation.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::{Method, header::AUTHORIZATION};
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde_json::{Value, json};

pub use account::PASSWORD;

mod account;
mod wait;

/// How long [`TestUser::wait_for`] waits before it gives up, unless the user was told otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(20);

/// The answer to a request that the server refused.
#[derive(Debug, thiserror::Error)]
#[error("{method} {path} was refused: {status} {errcode}: {message}")]
#[non_exhaustive]
pub struct Refusal {
    /// The method of the request.
    pub method: Method,
    /// The path of the request, without its query.
    pub path: String,
    /// The HTTP status.
    pub status: u16,
    /// The `errcode`, empty if there was none.
    pub errcode: String,
    /// The `error` text, empty if there was none.
    pub message: String,
    /// The whole answer.
    pub body: Value,
}

/// Why a request of a test user did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The request did not reach the server, or its answer did not come back.
    #[error("{method} {path} got no answer")]
    Transport {
        /// The method of the request.
        method: Method,
        /// The path of the request, without its query.
        path: String,
        /// What went wrong on the way.
        source: reqwest::Error,
    },
    /// The server answered with an error.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The answer lacks what the specification demands of it.
    #[error("the answer to {path} lacks a valid {field}")]
    Shape {
        /// The path of the request.
        path: String,
        /// The member that is missing or malformed.
        field: &'static str,
    },
    /// Nothing that was waited for came in time.
    #[error("{user_id} waited {waited:?} for {what}; it has seen: {seen}")]
    Deadline {
        /// Who waited.
        user_id: OwnedUserId,
        /// How long.
        waited: Duration,
        /// What for.
        what: String,
        /// The last events that came instead.
        seen: String,
    },
}

impl TestError {
    /// The HTTP status, if the server answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            _ => None,
        }
    }

    /// The `errcode`, if the server answered with one.
    pub fn errcode(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => Some(&refusal.errcode),
            _ => None,
        }
    }
}

/// A user of some homeserver. Clones share the session, the sync position and the events seen so far.
///
/// ```no_run
/// # async fn scene() -> Result<(), matrix_homeserver::testing::TestError> {
/// use matrix_homeserver::testing::TestUser;
/// use serde_json::json;
///
/// let alice = TestUser::register("http://127.0.0.1:8008", "alice").await?;
/// let room = alice.create_room(json!({"preset": "public_chat"})).await?;
/// alice.send_text(&room, "hello").await?;
/// alice.wait_for(|event| event["content"]["body"] == "hello").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TestUser {
    inner: Arc<Inner>,
    deadline: Duration,
}

struct Inner {
    http: reqwest::Client,
    base_url: String,
    user_id: OwnedUserId,
    access_token: String,
    device_id: Option<String>,
    /// Acts as this user with the token of an application service.
    asserted: bool,
    next_txn: AtomicU64,
    /// Distinguishes the transaction IDs of two sessions with one token.
    session: u64,
    progress: tokio::sync::Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    since: Option<String>,
    /// Events that came and were not yet waited for.
    backlog: VecDeque<Value>,
}

impl fmt::Debug for TestUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestUser")
            .field("user_id", &self.inner.user_id)
            .field("base_url", &self.inner.base_url)
            .finish_non_exhaustive()
    }
}

impl TestUser {
    /// A user whose access token is known already.
    pub fn from_token(base_url: &str, user_id: impl Into<OwnedUserId>, access_token: &str) -> Self {
        Self::with_session(base_url, user_id.into(), access_token.to_owned(), None, false)
    }

    /// A user in the namespace of an application service, acted for with its `as_token`
    /// ([identity assertion](https://spec.matrix.org/v1.19/application-service-api/#identity-assertion)).
    pub fn masqueraded(base_url: &str, user_id: impl Into<OwnedUserId>, as_token: &str) -> Self {
        Self::with_session(base_url, user_id.into(), as_token.to_owned(), None, true)
    }

    fn with_session(
        base_url: &str,
        user_id: OwnedUserId,
        access_token: String,
        device_id: Option<String>,
        asserted: bool,
    ) -> Self {
        let inner = Inner {
            http: http_client(base_url),
            base_url: base_url.trim_end_matches('/').to_owned(),
            user_id,
            access_token,
            device_id,
            asserted,
            next_txn: AtomicU64::new(0),
            session: rand::random(),
            progress: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner), deadline: DEFAULT_DEADLINE }
    }

    /// The same user with another limit for [`wait_for`](Self::wait_for).
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The user's ID.
    pub fn user_id(&self) -> &UserId {
        &self.inner.user_id
    }

    /// The access token of the session.
    pub fn access_token(&self) -> &str {
        &self.inner.access_token
    }

    /// The device of the session, where the server named one.
    pub fn device_id(&self) -> Option<&str> {
        self.inner.device_id.as_deref()
    }

    /// The URL of the homeserver, without a slash at its end.
    pub fn homeserver_url(&self) -> &str {
        &self.inner.base_url
    }

    /// One request with the user's token. `path` begins with `/` and is encoded already; it may have a query.
    ///
    /// # Errors
    /// [`TestError::Refused`] for every status outside 200–299.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, TestError> {
        let mut url = format!("{}{path}", self.inner.base_url);
        if self.inner.asserted {
            url.push(if path.contains('?') { '&' } else { '?' });
            url.push_str("user_id=");
            url.push_str(&encode(self.inner.user_id.as_str()));
        }
        let request = self
            .inner
            .http
            .request(method.clone(), url)
            .header(AUTHORIZATION, format!("Bearer {}", self.inner.access_token));
        answer(request, method, path, body).await
    }

    /// `GET`; see [`request`](Self::request).
    pub async fn get(&self, path: &str) -> Result<Value, TestError> {
        self.request(Method::GET, path, None).await
    }

    /// `PUT` with a JSON body; see [`request`](Self::request).
    pub async fn put(&self, path: &str, body: Value) -> Result<Value, TestError> {
        self.request(Method::PUT, path, Some(&body)).await
    }

    /// `POST` with a JSON body; see [`request`](Self::request).
    pub async fn post(&self, path: &str, body: Value) -> Result<Value, TestError> {
        self.request(Method::POST, path, Some(&body)).await
    }

    /// `DELETE` without a body; see [`request`](Self::request).
    pub async fn delete(&self, path: &str) -> Result<Value, TestError> {
        self.request(Method::DELETE, path, None).await
    }

    /// Creates a room; `options` is the body of `POST /createRoom`.
    pub async fn create_room(&self, options: Value) -> Result<OwnedRoomId, TestError> {
        let path = "/_matrix/client/v3/createRoom";
        room_id(&self.post(path, options).await?, path)
    }

    /// Joins a room by its ID or an alias.
    pub async fn join(&self, room_or_alias: impl AsRef<str>) -> Result<OwnedRoomId, TestError> {
        let path = format!("/_matrix/client/v3/join/{}", encode(room_or_alias.as_ref()));
        room_id(&self.post(&path, json!({})).await?, &path)
    }

    /// Invites a user into a room.
    pub async fn invite(&self, room: impl AsRef<str>, user: impl AsRef<str>) -> Result<(), TestError> {
        self.membership(room, "invite", json!({"user_id": user.as_ref()})).await
    }

    /// Leaves a room, or rejects an invitation.
    pub async fn leave(&self, room: impl AsRef<str>) -> Result<(), TestError> {
        self.membership(room, "leave", json!({})).await
    }

    /// Kicks a user out of a room.
    pub async fn kick(
        &self,
        room: impl AsRef<str>,
        user: impl AsRef<str>,
        reason: &str,
    ) -> Result<(), TestError> {
        self.membership(room, "kick", json!({"user_id": user.as_ref(), "reason": reason})).await
    }

    /// Bans a user from a room.
    pub async fn ban(
        &self,
        room: impl AsRef<str>,
        user: impl AsRef<str>,
        reason: &str,
    ) -> Result<(), TestError> {
        self.membership(room, "ban", json!({"user_id": user.as_ref(), "reason": reason})).await
    }

    /// Lifts a ban.
    pub async fn unban(&self, room: impl AsRef<str>, user: impl AsRef<str>) -> Result<(), TestError> {
        self.membership(room, "unban", json!({"user_id": user.as_ref()})).await
    }

    async fn membership(&self, room: impl AsRef<str>, verb: &str, body: Value) -> Result<(), TestError> {
        self.post(&room_path(room, verb), body).await.map(drop)
    }

    /// Sends a text message.
    pub async fn send_text(&self, room: impl AsRef<str>, text: &str) -> Result<OwnedEventId, TestError> {
        self.send_event(room, "m.room.message", json!({"msgtype": "m.text", "body": text})).await
    }

    /// Sends an event under a transaction ID of its own.
    pub async fn send_event(
        &self,
        room: impl AsRef<str>,
        event_type: &str,
        content: Value,
    ) -> Result<OwnedEventId, TestError> {
        let txn_id = self.transaction_id();
        self.send_event_as(room, event_type, &txn_id, content).await
    }

    /// Sends an event under the given transaction ID; the same ID again yields the same event.
    pub async fn send_event_as(
        &self,
        room: impl AsRef<str>,
        event_type: &str,
        txn_id: &str,
        content: Value,
    ) -> Result<OwnedEventId, TestError> {
        let path = room_path(room, &format!("send/{}/{}", encode(event_type), encode(txn_id)));
        event_id(&self.put(&path, content).await?, &path)
    }

    /// Redacts an event.
    pub async fn redact(
        &self,
        room: impl AsRef<str>,
        event: impl AsRef<str>,
        reason: &str,
    ) -> Result<OwnedEventId, TestError> {
        let txn_id = self.transaction_id();
        let path = room_path(room, &format!("redact/{}/{}", encode(event.as_ref()), encode(&txn_id)));
        event_id(&self.put(&path, json!({"reason": reason})).await?, &path)
    }

    /// Sets a state event.
    pub async fn set_state(
        &self,
        room: impl AsRef<str>,
        event_type: &str,
        state_key: &str,
        content: Value,
    ) -> Result<OwnedEventId, TestError> {
        let path = state_path(room, event_type, state_key);
        event_id(&self.put(&path, content).await?, &path)
    }

    /// The content of a state event, if there is one.
    pub async fn state(
        &self,
        room: impl AsRef<str>,
        event_type: &str,
        state_key: &str,
    ) -> Result<Option<Value>, TestError> {
        match self.get(&state_path(room, event_type, state_key)).await {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.errcode() == Some("M_NOT_FOUND") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All current state events of a room.
    pub async fn full_state(&self, room: impl AsRef<str>) -> Result<Vec<Value>, TestError> {
        let path = room_path(room, "state");
        match self.get(&path).await? {
            Value::Array(events) => Ok(events),
            _ => Err(TestError::Shape { path, field: "array" }),
        }
    }

    /// The newest events of a room, newest first, at most `limit`.
    pub async fn messages(&self, room: impl AsRef<str>, limit: usize) -> Result<Vec<Value>, TestError> {
        let path = room_path(room, &format!("messages?dir=b&limit={limit}"));
        chunk(self.get(&path).await?, path)
    }

    /// The `m.room.member` events of a room.
    pub async fn members(&self, room: impl AsRef<str>) -> Result<Vec<Value>, TestError> {
        let path = room_path(room, "members");
        chunk(self.get(&path).await?, path)
    }

    /// The IDs of the joined members of a room, sorted.
    pub async fn joined_members(&self, room: impl AsRef<str>) -> Result<Vec<String>, TestError> {
        let path = room_path(room, "joined_members");
        let mut answer = self.get(&path).await?;
        let Value::Object(joined) = answer["joined"].take() else {
            return Err(TestError::Shape { path, field: "joined" });
        };
        let mut users: Vec<String> = joined.into_iter().map(|(user, _)| user).collect();
        users.sort();
        Ok(users)
    }

    fn transaction_id(&self) -> String {
        let number = self.inner.next_txn.fetch_add(1, Ordering::Relaxed);
        format!("t{:x}.{number}", self.inner.session)
    }
}

/// Percent-encodes one segment of a path or one value of a query.
pub fn encode(segment: &str) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::utf8_percent_encode(segment, KEPT).to_string()
}

fn room_path(room: impl AsRef<str>, rest: &str) -> String {
    format!("/_matrix/client/v3/rooms/{}/{rest}", encode(room.as_ref()))
}

fn state_path(room: impl AsRef<str>, event_type: &str, state_key: &str) -> String {
    room_path(room, &format!("state/{}/{}", encode(event_type), encode(state_key)))
}

fn room_id(answer: &Value, path: &str) -> Result<OwnedRoomId, TestError> {
    answer["room_id"]
        .as_str()
        .and_then(|id| id.try_into().ok())
        .ok_or(TestError::Shape { path: path.to_owned(), field: "room_id" })
}

fn event_id(answer: &Value, path: &str) -> Result<OwnedEventId, TestError> {
    answer["event_id"]
        .as_str()
        .and_then(|id| id.try_into().ok())
        .ok_or(TestError::Shape { path: path.to_owned(), field: "event_id" })
}

fn chunk(mut answer: Value, path: String) -> Result<Vec<Value>, TestError> {
    match answer["chunk"].take() {
        Value::Array(events) => Ok(events),
        _ => Err(TestError::Shape { path, field: "chunk" }),
    }
}

/// An HTTP client for a homeserver at this URL, for requests that [`TestUser`] does not make. Its connections belong to
/// the runtime of the caller; certificates are loaded only where they are needed.
pub fn http_client(base_url: &str) -> reqwest::Client {
    crate::install_crypto();
    let builder = reqwest::Client::builder().tcp_nodelay(true).no_proxy();
    let builder =
        if base_url.starts_with("https:") { builder } else { builder.tls_certs_only(std::iter::empty()) };
    builder.build().expect("a client without special settings can always be built")
}

/// Sends one request and reads the answer as JSON; an empty answer reads as `{}`.
async fn answer(
    mut request: reqwest::RequestBuilder,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, TestError> {
    if let Some(body) = body {
        request = request.json(body);
    }
    let plain_path = path.split('?').next().unwrap_or(path).to_owned();
    let transport = |source: reqwest::Error| TestError::Transport {
        method: method.clone(),
        path: plain_path.clone(),
        source: source.without_url(),
    };
    let response = request.send().await.map_err(transport)?;
    let status = response.status();
    let bytes = response.bytes().await.map_err(transport)?;
    let body =
        if bytes.is_empty() { json!({}) } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
    if status.is_success() {
        return Ok(body);
    }
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    let (errcode, message) = (text("errcode"), text("error"));
    let refusal = Refusal { method, path: plain_path, status: status.as_u16(), errcode, message, body };
    Err(TestError::Refused(Box::new(refusal)))
}
