//! A network in memory that does what a test says and remembers what it was asked to do.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use async_trait::async_trait;
use matrix_appservice::bridge::{
    BridgeContext, ChatInfo, Login, LoginId, LoginRecord, MatrixChange, MatrixChangeKind, Network,
    NetworkError, NetworkInfo, OutgoingMessage, PortalKey, PrivateChat, RemoteSink, RemoteUserId, Resolution,
    RoomFeatures, SendError, Sent, UncertainSend, UserInfo,
};
use parking_lot::Mutex;
use ruma::UserId;
use tokio::sync::{Notify, watch};

/// What tests and the network share. Outlives bridges, as a network does.
#[derive(Default)]
pub(crate) struct World {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    /// Sends wait for this where the script says so.
    gate: Notify,
}

#[derive(Default)]
struct State {
    sinks: HashMap<LoginId, RemoteSink>,
    sent: Vec<OutgoingMessage>,
    changes: Vec<MatrixChange>,
    script: VecDeque<Act>,
    resolutions: HashMap<String, Resolution>,
    uncertain: Vec<UncertainSend>,
    sent_ids: u64,
}

/// What the next call of `send` comes to.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    Answer(Sent),
    /// The message is taken, but the answer never comes.
    Hang,
    Pending,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// What the next calls of `send` come to; those after it are acknowledged.
    pub(crate) fn script(&self, acts: impl IntoIterator<Item = Act>) {
        self.state.lock().script.extend(acts);
    }

    /// What the network knows of a send that was interrupted.
    pub(crate) fn knows(&self, body: &str, resolution: Resolution) {
        self.state.lock().resolutions.insert(body.to_owned(), resolution);
    }

    /// The sink of a login, as soon as it is connected.
    pub(crate) async fn sink(&self, login: &str) -> RemoteSink {
        self.when(|state| state.sinks.get(login).cloned()).await
    }

    pub(crate) async fn listener(&self) -> RemoteSink {
        self.sink("listener").await
    }

    /// The first `count` messages that arrived.
    pub(crate) async fn sent(&self, count: usize) -> Vec<OutgoingMessage> {
        self.when(|state| (state.sent.len() >= count).then(|| state.sent.clone())).await
    }

    pub(crate) fn sent_now(&self) -> Vec<String> {
        self.state.lock().sent.iter().map(|message| message.body().to_owned()).collect()
    }

    /// The first change that fits.
    pub(crate) async fn change<T>(&self, wanted: impl Fn(&MatrixChange) -> Option<T>) -> T {
        self.when(|state| state.changes.iter().find_map(&wanted)).await
    }

    pub(crate) async fn uncertain(&self, count: usize) -> Vec<UncertainSend> {
        self.when(|state| (state.uncertain.len() >= count).then(|| state.uncertain.clone())).await
    }

    /// A bridge that was killed disconnected nobody; the network notices all the same.
    pub(crate) fn forget(&self) {
        self.change_state(|state| state.sinks.clear());
    }

    async fn when<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        let waiting = async {
            loop {
                if let Some(found) = look(&self.state.lock()) {
                    return found;
                }
                changes.changed().await.expect("the world outlives the test");
            }
        };
        tokio::time::timeout(super::scene::DEADLINE, waiting).await.expect("it happens in time")
    }

    fn change_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock());
        self.changed.send_modify(|version| *version += 1);
        result
    }
}

pub(crate) struct Scripted {
    world: Arc<World>,
}

pub(crate) struct Account {
    world: Arc<World>,
    record: LoginRecord,
}

#[async_trait]
impl Network for Scripted {
    type Config = Arc<World>;
    type Login = Account;

    fn describe(_: &Arc<World>) -> NetworkInfo {
        let mut info = NetworkInfo::new("test", "Test Network").with_relay();
        info.login_usage = Some("<password>".to_owned());
        info
    }

    async fn start(_: BridgeContext, world: Arc<World>) -> Result<Self, NetworkError> {
        Ok(Self { world })
    }

    async fn open(&self, record: LoginRecord) -> Result<Account, NetworkError> {
        Ok(Account { world: Arc::clone(&self.world), record })
    }

    async fn own_logins(&self) -> Vec<LoginRecord> {
        vec![LoginRecord::own("listener")]
    }

    async fn login_for(&self, user: &UserId, _: &PortalKey) -> Option<LoginRecord> {
        // Those who want a connection of their own are called so.
        let name = user.localpart().strip_prefix("puppet-")?;
        Some(LoginRecord::of_user(name, user.to_owned()))
    }

    async fn private_chat(&self, user: &UserId, with: &RemoteUserId) -> Option<PrivateChat> {
        let login = LoginRecord::of_user(user.localpart(), user.to_owned());
        Some(PrivateChat { portal: PortalKey::private(with.as_str(), login.id.clone()), login })
    }

    async fn log_in(&self, user: &UserId, arguments: &str) -> Result<LoginRecord, NetworkError> {
        if arguments != "right" {
            return Err(NetworkError::refused("wrong password"));
        }
        Ok(LoginRecord::of_user(format!("account of {}", user.localpart()), user.to_owned()))
    }
}

#[async_trait]
impl Login for Account {
    async fn connect(&self, sink: RemoteSink) -> Result<(), NetworkError> {
        self.world.change_state(|state| state.sinks.insert(self.record.id.clone(), sink));
        Ok(())
    }

    async fn disconnect(&self) {
        self.world.change_state(|state| state.sinks.remove(&self.record.id));
    }

    async fn send(&self, message: OutgoingMessage) -> Sent {
        let key = message.key.clone();
        let act = self.world.change_state(|state| {
            let act = state.script.pop_front();
            if !matches!(&act, Some(Act::Answer(Sent::Failed(_)))) {
                state.sent.push(message);
            }
            state.sent_ids += 1;
            act.unwrap_or_else(|| Act::Answer(Sent::acked(format!("sent-{}", state.sent_ids))))
        });
        match act {
            Act::Answer(sent) => sent,
            Act::Pending => Sent::PendingEcho(key),
            Act::Hang => {
                self.world.gate.notified().await;
                Sent::Failed(SendError::uncertain("nobody opens this gate"))
            }
        }
    }

    async fn chat_info(&self, portal: &PortalKey) -> Result<ChatInfo, NetworkError> {
        match portal.id.as_str() {
            "nowhere" => Err(NetworkError::not_found("there is no such chat")),
            name if portal.receiver.is_some() => Ok(ChatInfo::private(name)),
            name => Ok(ChatInfo::channel(name).with_topic(format!("about {name}"))),
        }
    }

    async fn user_info(&self, user: &RemoteUserId) -> Result<UserInfo, NetworkError> {
        Ok(UserInfo::named(format!("{user} of Test")))
    }

    fn features(&self, _: &PortalKey) -> RoomFeatures {
        let mut features = RoomFeatures::text();
        features.edits = true;
        features.redactions = true;
        features.reactions = true;
        features.membership = true;
        features.topic = true;
        features.typing = true;
        features
    }

    async fn apply(&self, change: MatrixChange) -> Sent {
        let reaction = matches!(change.kind, MatrixChangeKind::React { .. });
        self.world.change_state(|state| state.changes.push(change));
        if reaction { Sent::acked("reaction") } else { Sent::done() }
    }

    async fn resolve_uncertain(&self, send: UncertainSend) -> Resolution {
        self.world.change_state(|state| {
            let body = send.message.as_ref().map(|message| message.body().to_owned()).unwrap_or_default();
            state.uncertain.push(send);
            state.resolutions.get(&body).cloned().unwrap_or(Resolution::Unknown)
        })
    }
}
