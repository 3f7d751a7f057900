//! An application service that follows a script: it records what the homeserver asks and answers as told.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Json, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::deadline::within;

/// What the homeserver asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The HTTP method.
    pub method: String,
    /// The path, still encoded as it was sent.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The body; `null` where there was none.
    pub body: Value,
}

/// An answer: status and body.
pub type Answer = (u16, Value);

type Reply = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Script = dyn Fn(Asked) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    asked: Mutex<Vec<Asked>>,
    count: watch::Sender<usize>,
}

/// A running application service.
pub struct ScriptedAppservice {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl std::fmt::Debug for ScriptedAppservice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedAppservice").field("address", &self.address).finish_non_exhaustive()
    }
}

impl ScriptedAppservice {
    /// Starts one on `listener`. Every request is recorded, then `script` answers it.
    pub fn start<F>(listener: TcpListener, script: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let address = listener.local_addr().expect("a bound listener has an address");
        let script: Box<Script> = Box::new(move |asked| Box::pin(script(asked)));
        let shared = Arc::new(Shared { script, asked: Mutex::default(), count: watch::Sender::new(0) });
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("a bound listener accepts");
        });
        Self { address, shared, server }
    }

    /// One that answers `{}` to everything.
    pub async fn obliging() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port can be bound");
        Self::start(listener, |_| async { (200, json!({})) })
    }

    /// The URL for the registration.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    /// All events of all transactions so far.
    pub fn events(&self) -> Vec<Value> {
        let asked = self.shared.asked.lock();
        asked.iter().filter_map(|asked| asked.body["events"].as_array()).flatten().cloned().collect()
    }

    /// Waits for a request; those before `from` do not count.
    ///
    /// # Panics
    ///
    /// When none came.
    pub async fn wait_for(&self, expectation: &str, from: usize, wanted: impl Fn(&Asked) -> bool) -> Asked {
        let mut count = self.shared.count.subscribe();
        let search = async {
            loop {
                count.borrow_and_update();
                let found = self.shared.asked.lock().iter().skip(from).find(|asked| wanted(asked)).cloned();
                if let Some(found) = found {
                    return found;
                }
                count.changed().await.expect("the sender lives as long as we do");
            }
        };
        within(expectation, search).await
    }
}

impl Drop for ScriptedAppservice {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let asked = Asked {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        authorization: parts
            .headers
            .get(header::AUTHORIZATION)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    shared.asked.lock().push(asked.clone());
    shared.count.send_modify(|count| *count += 1);
    let (status, body) = (shared.script)(asked).await;
    (StatusCode::from_u16(status).expect("a valid status"), Json(body)).into_response()
}
