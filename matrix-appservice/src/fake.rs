//! A homeserver for tests, which answers what a function says and remembers what it was asked.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// What the server was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Percent-decoded.
    pub(crate) path: String,
    /// As it was sent.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Asked {
    /// The method and the last two segments of the path: enough to tell requests apart.
    pub(crate) fn what(&self) -> String {
        let segments: Vec<&str> = self.path.rsplit('/').take(2).collect();
        format!("{} {}/{}", self.method, segments.get(1).unwrap_or(&""), segments[0])
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// What the server answers.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Answer {
    pub(crate) fn ok(body: &Value) -> Self {
        Self::new(200, body)
    }

    pub(crate) fn new(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    pub(crate) fn error(status: u16, errcode: &str) -> Self {
        Self::new(status, &json!({"errcode": errcode, "error": "as the test wants it"}))
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// The server; it stops with the runtime of the test.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) url: String,
    asked: Record,
}

type Record = Arc<Mutex<Vec<Asked>>>;
type Handler = dyn Fn(&Asked) -> Answer + Send + Sync;

impl Fake {
    /// Starts a server that says it speaks v1.17 and answers everything else as `handler` says.
    pub(crate) async fn start(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::bare(move |asked| {
            if asked.path == "/_matrix/client/versions" {
                Answer::ok(&json!({"versions": ["r0.6.1", "v1.1", "v1.17"], "unstable_features": {}}))
            } else {
                handler(asked)
            }
        })
        .await
    }

    /// Starts a server that answers everything as `handler` says.
    pub(crate) async fn bare(handler: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let asked = Record::default();
        let handler: Arc<Handler> = Arc::new(handler);
        let state = (Arc::clone(&asked), handler);
        let router = axum::Router::new().fallback(answer).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked }
    }

    /// Everything it was asked so far but for the versions.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = self.asked.lock();
        asked.iter().filter(|asked| asked.path != "/_matrix/client/versions").cloned().collect()
    }

    /// [`Asked::what`] of everything, and forgets it.
    pub(crate) fn take(&self) -> Vec<String> {
        let asked = self.asked().iter().map(Asked::what).collect();
        self.asked.lock().clear();
        asked
    }
}

async fn answer(State((asked, handler)): State<(Record, Arc<Handler>)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let request = Asked {
        method: parts.method.to_string(),
        path: percent_encoding::percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
    };
    asked.lock().push(request.clone());
    let answer = handler(&request);
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).expect("the test names a status");
    for (name, value) in answer.headers {
        response.headers_mut().insert(name, value.parse().expect("the test names a header"));
    }
    response
}
