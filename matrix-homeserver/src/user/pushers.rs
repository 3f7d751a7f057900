//! What clients ask for to be woken with ([pushers](https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3pushersset)).

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use parking_lot::RwLock;
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{now_ms, parse_row, put_json};
use crate::store::{KeyBuf, Position, Store, StoreError, Tree, WriteSet, key};

/// Names a pusher. Unique within the server.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PusherId {
    pub(crate) user_id: OwnedUserId,
    pub(crate) app_id: String,
    /// Known to the gateway and the app only.
    pub(crate) pushkey: String,
}

impl fmt::Debug for PusherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PusherId")
            .field("user_id", &self.user_id)
            .field("app_id", &self.app_id)
            .finish_non_exhaustive()
    }
}

/// A pusher, as it was given.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pusher {
    pub(crate) given: Map<String, Value>,
    /// When it was given, in milliseconds since 1970.
    pub(crate) since: u64,
    /// The device that asked for it, with which it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_id: Option<OwnedDeviceId>,
}

impl Pusher {
    pub(crate) fn new(given: Map<String, Value>, device_id: Option<OwnedDeviceId>) -> Self {
        Self { given, since: now_ms(), device_id }
    }

    /// Where the notifications go. `None` for kinds that are not sent by HTTP.
    pub(crate) fn url(&self) -> Option<&str> {
        if self.given.get("kind")? != "http" {
            return None;
        }
        self.given.get("data")?.get("url")?.as_str()
    }

    /// Whether the gateway is to be told no more than which event it is about.
    pub(crate) fn wants_event_id_only(&self) -> bool {
        self.given.get("data").is_some_and(|data| data["format"] == "event_id_only")
    }

    fn is(&self, app_id: &str, pushkey: &str) -> bool {
        let text = |name: &str| self.given.get(name).and_then(Value::as_str);
        text("app_id") == Some(app_id) && text("pushkey") == Some(pushkey)
    }
}

impl fmt::Debug for Pusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pusher").field("app_id", &self.given.get("app_id")).finish_non_exhaustive()
    }
}

/// The pushers of all users, in memory and on disk.
#[derive(Debug)]
pub(crate) struct Pushers {
    store: Store,
    all: RwLock<BTreeMap<OwnedUserId, Vec<Pusher>>>,
    /// How far each pusher has come.
    cursors: RwLock<HashMap<PusherId, Position>>,
    changing: tokio::sync::Mutex<()>,
}

impl Pushers {
    pub(super) fn open(store: Store) -> Result<Self, StoreError> {
        let damaged = || StoreError::damaged("the pushers of a user");
        let mut all = BTreeMap::new();
        for row in store.scan_prefix(Tree::Account, key(["pushers"])) {
            let (row_key, row) = row?;
            let user_id = KeyBuf::read(&row_key).and_then(|[_, user_id]| OwnedUserId::try_from(user_id).ok());
            all.insert(user_id.ok_or_else(damaged)?, parse_row(&row)?);
        }
        let mut cursors = HashMap::new();
        for row in store.scan_prefix(Tree::Account, key(["push_cursor"])) {
            let (row_key, row) = row?;
            let [_, user_id, app_id, pushkey] = KeyBuf::read::<4>(&row_key).ok_or_else(damaged)?;
            let user_id = OwnedUserId::try_from(user_id).map_err(|_| damaged())?;
            let id = PusherId { user_id, app_id: app_id.to_owned(), pushkey: pushkey.to_owned() };
            cursors.insert(id, Position::from_suffix(&row).ok_or_else(damaged)?);
        }
        let (all, cursors) = (RwLock::new(all), RwLock::new(cursors));
        Ok(Self { store, all, cursors, changing: tokio::sync::Mutex::default() })
    }

    /// The pushers of a user, in the order in which they were given.
    pub(crate) fn of(&self, user_id: &UserId) -> Vec<Pusher> {
        self.all.read().get(user_id).cloned().unwrap_or_default()
    }

    /// Every pusher's name.
    pub(crate) fn ids(&self) -> Vec<PusherId> {
        let all = self.all.read();
        let ids = all
            .iter()
            .flat_map(|(user_id, pushers)| pushers.iter().filter_map(|pusher| id_of(user_id, &pusher.given)));
        ids.collect()
    }

    pub(crate) fn get(&self, id: &PusherId) -> Option<Pusher> {
        let all = self.all.read();
        all.get(&id.user_id)?.iter().find(|pusher| pusher.is(&id.app_id, &id.pushkey)).cloned()
    }

    /// Keeps a pusher in the place of the one of the same name and, unless it is to be beside them, of those that
    /// other users have with this app and key.
    pub(crate) async fn set(&self, id: &PusherId, pusher: Pusher, beside: bool) -> Result<(), StoreError> {
        let _one = self.changing.lock().await;
        let mut changed = Vec::new();
        if !beside {
            for (user_id, pushers) in &*self.all.read() {
                if *user_id != id.user_id && pushers.iter().any(|other| other.is(&id.app_id, &id.pushkey)) {
                    let mut left = pushers.clone();
                    left.retain(|other| !other.is(&id.app_id, &id.pushkey));
                    changed.push((user_id.clone(), left));
                }
            }
        }
        let mut own = self.of(&id.user_id);
        match own.iter_mut().find(|other| other.is(&id.app_id, &id.pushkey)) {
            Some(other) => *other = pusher,
            None => own.push(pusher),
        }
        changed.push((id.user_id.clone(), own));
        self.write(changed).await?;
        let known = self.cursors.read().contains_key(id);
        if known { Ok(()) } else { self.advance(id, self.store.frontier()).await }
    }

    /// Forgets a pusher.
    pub(crate) async fn remove(&self, id: &PusherId) -> Result<(), StoreError> {
        let _one = self.changing.lock().await;
        let mut pushers = self.of(&id.user_id);
        pushers.retain(|other| !other.is(&id.app_id, &id.pushkey));
        self.write(vec![(id.user_id.clone(), pushers)]).await
    }

    /// Forgets the pushers that these devices asked for.
    pub(super) async fn remove_of_devices(
        &self,
        user_id: &UserId,
        devices: &[OwnedDeviceId],
    ) -> Result<(), StoreError> {
        let of_device = |pusher: &Pusher| {
            pusher.device_id.as_deref().is_some_and(|own: &DeviceId| devices.iter().any(|gone| gone == own))
        };
        if !self.of(user_id).iter().any(of_device) {
            return Ok(());
        }
        let _one = self.changing.lock().await;
        let mut pushers = self.of(user_id);
        pushers.retain(|pusher| !of_device(pusher));
        self.write(vec![(user_id.to_owned(), pushers)]).await
    }

    /// Writes the pushers of some users, and shows them. How far those came that are gone is forgotten.
    async fn write(&self, changed: Vec<(OwnedUserId, Vec<Pusher>)>) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        let is_gone = |id: &PusherId| {
            let pushers = changed.iter().find(|(user_id, _)| *user_id == id.user_id);
            pushers.is_some_and(|(_, pushers)| !pushers.iter().any(|left| left.is(&id.app_id, &id.pushkey)))
        };
        let gone: Vec<PusherId> = self.cursors.read().keys().filter(|id| is_gone(id)).cloned().collect();
        for id in &gone {
            writes.delete(Tree::Account, cursor_key(id));
        }
        for (user_id, pushers) in &changed {
            let row_key = key(["pushers", user_id.as_str()]);
            if pushers.is_empty() {
                writes.delete(Tree::Account, row_key);
            } else {
                put_json(&mut writes, row_key, pushers);
            }
        }
        self.store.commit(writes).await?;
        self.cursors.write().retain(|id, _| !gone.contains(id));
        let mut all = self.all.write();
        for (user_id, pushers) in changed {
            if pushers.is_empty() {
                all.remove(&user_id);
            } else {
                all.insert(user_id, pushers);
            }
        }
        Ok(())
    }

    /// Up to where the gateway of a pusher has heard of everything.
    pub(crate) fn cursor(&self, id: &PusherId) -> Position {
        self.cursors.read().get(id).copied().unwrap_or_else(|| self.store.frontier())
    }

    /// There was nothing to tell up to here. Not worth a write: after a restart there is nothing to tell again.
    pub(crate) fn pass(&self, id: &PusherId, position: Position) {
        if self.get(id).is_some() {
            self.cursors.write().insert(id.clone(), position);
        }
    }

    /// The gateway has heard of everything up to here.
    pub(crate) async fn advance(&self, id: &PusherId, position: Position) -> Result<(), StoreError> {
        if self.get(id).is_none() {
            return Ok(());
        }
        self.cursors.write().insert(id.clone(), position);
        let mut writes = WriteSet::new();
        writes.put(Tree::Account, cursor_key(id), position.to_bytes());
        self.store.commit(writes).await.map(drop)
    }
}

fn id_of(user_id: &UserId, given: &Map<String, Value>) -> Option<PusherId> {
    let text = |name: &str| given.get(name)?.as_str().map(ToOwned::to_owned);
    Some(PusherId { user_id: user_id.to_owned(), app_id: text("app_id")?, pushkey: text("pushkey")? })
}

fn cursor_key(id: &PusherId) -> KeyBuf {
    key(["push_cursor", id.user_id.as_str(), &id.app_id, &id.pushkey])
}
