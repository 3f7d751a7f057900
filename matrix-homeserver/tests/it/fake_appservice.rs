//! An application service that does what a test tells it to, and remembers what it was asked.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, StatusCode, Uri};
use matrix_appservice::{Namespace, Registration};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};

/// One request to the application service.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Still encoded.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) bearer: Option<String>,
    pub(crate) raw: Bytes,
    pub(crate) body: Value,
}

impl Request {
    /// The last segment of the path, decoded.
    pub(crate) fn id(&self) -> String {
        let last = self.path.rsplit('/').next().unwrap_or_default();
        percent_decode_str(last).decode_utf8().unwrap().into_owned()
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.body["events"].as_array().cloned().unwrap_or_default()
    }
}

type Script = dyn Fn(Request) -> BoxFuture<'static, (StatusCode, Value)> + Send + Sync;

struct Inner {
    script: Box<Script>,
    requests: Mutex<VecDeque<Request>>,
    arrived: Notify,
}

#[derive(Clone)]
pub(crate) struct FakeAppservice {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

pub(crate) const AS_TOKEN: &str = "as_token_of_the_test";
pub(crate) const HS_TOKEN: &str = "hs_token_of_the_test";

impl FakeAppservice {
    /// Says 200 `{}` to transactions and pings, and 404 to everything else.
    pub(crate) async fn start() -> Self {
        Self::scripted(|request| {
            let known = request.path.contains("/transactions/") || request.path.ends_with("/ping");
            Box::pin(async move {
                if known {
                    (StatusCode::OK, json!({}))
                } else {
                    (StatusCode::NOT_FOUND, json!({"errcode": "M_NOT_FOUND", "error": "no"}))
                }
            })
        })
        .await
    }

    pub(crate) async fn scripted(
        script: impl Fn(Request) -> BoxFuture<'static, (StatusCode, Value)> + Send + Sync + 'static,
    ) -> Self {
        let inner = Inner { script: Box::new(script), requests: Mutex::default(), arrived: Notify::new() };
        let inner = Arc::new(inner);
        let router = Router::new().fallback(answer).with_state(inner.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, inner }
    }

    /// A registration for `@ghost_*`, `#ghost_*` and the sender `bot`.
    pub(crate) fn registration(&self) -> Registration {
        registration(Some(&self.url))
    }

    /// The next request that satisfies the condition; earlier ones are dropped.
    pub(crate) async fn next(&self, wanted: impl Fn(&Request) -> bool) -> Request {
        let found = async {
            loop {
                let arrived = self.inner.arrived.notified();
                while let Some(request) = self.take() {
                    if wanted(&request) {
                        return request;
                    }
                }
                arrived.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), found).await.expect("a request in time")
    }

    fn take(&self) -> Option<Request> {
        self.inner.requests.lock().pop_front()
    }

    pub(crate) async fn next_transaction(&self) -> Request {
        self.next(|request| request.path.contains("/transactions/")).await
    }

    /// The next event of a type, in whatever transaction.
    pub(crate) async fn next_event(&self, kind: &str) -> Value {
        let has = |request: &Request| request.events().iter().any(|event| event["type"] == kind);
        let events = self.next(has).await.events();
        events.into_iter().find(|event| event["type"] == kind).unwrap()
    }
}

pub(crate) fn registration(url: Option<&str>) -> Registration {
    let mut registration = Registration::builder("test")
        .sender_localpart("bot")
        .tokens(AS_TOKEN, HS_TOKEN)
        .users(Namespace::exclusive("@ghost_.*"))
        .aliases(Namespace::exclusive("#ghost_.*"))
        .rate_limited(false)
        .build();
    registration.url = url.map(ToOwned::to_owned);
    registration
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    raw: Bytes,
) -> Response {
    let request = Request {
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        bearer: headers
            .get("authorization")
            .map(|value| value.to_str().unwrap().trim_start_matches("Bearer ").to_owned()),
        body: serde_json::from_slice(&raw).unwrap_or(Value::Null),
        raw,
    };
    inner.requests.lock().push_back(request.clone());
    inner.arrived.notify_one();
    let (status, body) = (inner.script)(request).await;
    (status, body.to_string()).into_response()
}
