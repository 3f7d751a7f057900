//! A homeserver, a network, and a bridge between them that can be killed and started again.

use std::{sync::Arc, time::Duration};

use matrix_appservice::{
    Namespace, Registration, Store,
    bridge::{Bridge, PortalKey, RemoteEvent},
};
use matrix_homeserver::{
    Homeserver,
    testing::{TestUser, encode},
};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::scripted::{Scripted, World};

/// How long anything may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Scene {
    pub(crate) homeserver: Homeserver,
    pub(crate) world: Arc<World>,
    registration: Registration,
    /// Bound once and kept, so that nobody else gets the port between two lives of the bridge.
    listener: std::net::TcpListener,
    store: tempfile::TempDir,
    bridge: Option<Running>,
}

struct Running {
    runtime: Runtime,
    stop: CancellationToken,
    metrics: matrix_appservice::Metrics,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let registration = Registration::builder("test")
            .url(format!("http://{}", listener.local_addr().unwrap()))
            .users(Namespace::exclusive("@test_.*"))
            .aliases(Namespace::exclusive("#test_.*"))
            .receive_ephemeral()
            .build();
        let homeserver = Homeserver::builder("hs.test")
            .registration(registration.clone())
            .appservice_backoff(Duration::from_millis(20))
            .start()
            .await
            .unwrap();
        let store = tempfile::tempdir().unwrap();
        let mut scene = Self { homeserver, world: World::new(), registration, listener, store, bridge: None };
        scene.start();
        scene
    }

    /// Starts the bridge, in a runtime of its own so that it can be killed.
    pub(crate) fn start(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let bridge = Bridge::<Scripted>::builder(self.registration.clone(), Arc::clone(&self.world))
            .homeserver(self.homeserver.url(), self.homeserver.server_name())
            .store(self.open_store())
            .build()
            .unwrap();
        let metrics = bridge.metrics().clone();
        let stop = CancellationToken::new();
        let (listener, token) = (self.listener.try_clone().unwrap(), stop.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            bridge.run(listener, token).await.unwrap();
        });
        self.bridge = Some(Running { runtime, stop, metrics });
    }

    /// The database lets go of its lock from a thread of its own, a moment after it is dropped.
    fn open_store(&self) -> Store {
        let until = std::time::Instant::now() + DEADLINE;
        loop {
            match Store::open(self.store.path()) {
                Err(error) if std::time::Instant::now() > until => panic!("{error}: {error:?}"),
                Err(_) => std::thread::yield_now(),
                Ok(store) => return store,
            }
        }
    }

    /// Drops every task of the bridge where it waits, with nothing said to anybody.
    pub(crate) async fn kill(&mut self) {
        let running = self.bridge.take().unwrap();
        let (runtime, metrics) = (running.runtime, running.metrics);
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(DEADLINE)).await.unwrap();
        drop(metrics);
        self.world.forget();
    }

    /// Stops the bridge in order.
    pub(crate) async fn stop(&mut self) {
        let running = self.bridge.take().unwrap();
        running.stop.cancel();
        tokio::task::spawn_blocking(move || running.runtime.shutdown_timeout(DEADLINE)).await.unwrap();
        self.world.forget();
    }

    pub(crate) async fn restart(&mut self) {
        self.kill().await;
        self.start();
    }

    /// A number of the bridge's metrics.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.bridge.as_ref().unwrap().metrics.to_text();
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.unwrap_or_else(|| panic!("no metric {name}")).rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// A user in the room of the chat `name`.
    pub(crate) async fn user_in(&self, user: &str, name: &str) -> (TestUser, String) {
        let user = self.homeserver.user(user).await.unwrap().with_deadline(DEADLINE);
        let room = user.join(&format!("#test_{name}:hs.test")).await.unwrap();
        (user, room.to_string())
    }

    /// A person of the network says something.
    pub(crate) async fn say(&self, chat: &str, who: &str, id: &str, text: &str) {
        let sink = self.world.listener().await;
        sink.push(RemoteEvent::text(PortalKey::shared(chat), who, id, text)).await.unwrap();
    }

    pub(crate) async fn end(mut self) {
        self.stop().await;
        let (panics, errors) = (self.homeserver.panics(), self.homeserver.internal_errors());
        self.homeserver.shutdown().await;
        assert_eq!((panics, errors), (0, 0), "the homeserver had no trouble");
    }
}

/// The texts of a room, oldest first.
pub(crate) async fn texts(user: &TestUser, room: &str) -> Vec<String> {
    let mut from = String::new();
    let mut texts = Vec::new();
    loop {
        let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=500{from}", encode(room));
        let page = user.get(&path).await.unwrap();
        let events = page["chunk"].as_array().unwrap();
        texts.extend(events.iter().filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)));
        match page["end"].as_str() {
            Some(end) if !events.is_empty() => from = format!("&from={}", encode(end)),
            _ => break,
        }
    }
    texts.reverse();
    texts
}

/// The event that another answers.
pub(crate) fn answers(event: &Value) -> Option<&str> {
    event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"].as_str()
}
