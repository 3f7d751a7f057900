//! Keys for end-to-end encryption ([end-to-end encryption]): what devices and users upload, and what others get of it.
//!
//! The server hands out what it was given. It checks that keys are of whom they say they are, and that the signatures
//! by which users vouch for devices and for each other are good.
//!
//! [end-to-end encryption]: https://spec.matrix.org/v1.19/client-server-api/#end-to-end-encryption

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{DeviceObserver, parse_row};
use crate::{
    store::{KeyBuf, Position, Store, StoreError, Tree, WriteSet, key},
    sync::KeyCounts,
};

mod changes;
mod cross_signing;
mod signature;

use self::changes::Changes;
pub(crate) use self::cross_signing::{CrossSigning, Usage};

/// A key or a set of keys, as it was uploaded.
pub(crate) type KeyObject = Map<String, Value>;

/// Why keys were not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum KeysError {
    /// They are not of the shape, or not of whom they should be.
    #[error("{0}")]
    Invalid(&'static str),
    /// They lack something without which they mean nothing.
    #[error("{0}")]
    Missing(&'static str),
    /// A signature is not good.
    #[error("{0}")]
    Signature(&'static str),
    /// There are other keys in their place.
    #[error("keys are replaced only by who knows the password")]
    Replaces,
    /// There is no such key.
    #[error("there is no such key")]
    Unknown,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a device uploads.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct KeyUpload {
    pub(crate) device_keys: Option<KeyObject>,
    #[serde(default)]
    pub(crate) one_time_keys: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) fallback_keys: BTreeMap<String, Value>,
}

#[derive(Debug, Serialize, Deserialize)]
struct OneTimeKey {
    /// When it was uploaded: the oldest is handed out first.
    uploaded: u64,
    key: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct FallbackKey {
    id: String,
    key: Value,
    used: bool,
}

/// The algorithm whose count clients want to hear of also when it is zero.
const USUAL_ALGORITHM: &str = "signed_curve25519";
/// The most one-time keys of one device.
const MAX_ONE_TIME_KEYS: usize = 1_000;

type Counts = HashMap<(OwnedUserId, OwnedDeviceId), KeyCounts>;

/// The keys of all users of this server.
#[derive(Debug)]
pub(crate) struct Keys {
    store: Store,
    /// One at a time hands out or changes keys: a one-time key is given to one.
    changing: tokio::sync::Mutex<()>,
    counts: Arc<Mutex<Counts>>,
    changes: Arc<Changes>,
    observer: Arc<dyn DeviceObserver>,
}

impl Keys {
    pub(super) fn open(store: Store, observer: Arc<dyn DeviceObserver>) -> Result<Self, StoreError> {
        let changes = Arc::new(Changes::open(&store)?);
        Ok(Self { store, changing: tokio::sync::Mutex::default(), counts: Arc::default(), changes, observer })
    }

    /// What changes of keys there were, and who is to hear of them.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Keeps what a device uploads, all or none.
    pub(crate) async fn upload(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        upload: KeyUpload,
    ) -> Result<KeyCounts, KeysError> {
        let _one = self.changing.lock().await;
        let mut writes = WriteSet::new();
        if let Some(device_keys) = upload.device_keys {
            check_device_keys(user_id, device_id, &device_keys)?;
            if self.device_keys(user_id, device_id)?.is_none_or(|known| !same_keys(&known, &device_keys)) {
                writes.put(Tree::Edge, device_key(user_id, device_id), encode(&device_keys));
                self.changes.stage(user_id, &mut writes);
            }
        }
        self.stage_one_time_keys(user_id, device_id, upload.one_time_keys, &mut writes)?;
        for (name, key) in upload.fallback_keys {
            let (algorithm, id) = split(&name)?;
            check_key(&key)?;
            let row = FallbackKey { id: id.to_owned(), key, used: false };
            writes.put(Tree::Edge, fallback_key(user_id, device_id, algorithm), encode(&row));
        }
        self.commit(user_id, device_id, writes).await?;
        Ok(self.counts(user_id, device_id)?)
    }

    fn stage_one_time_keys(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        keys: BTreeMap<String, Value>,
        writes: &mut WriteSet,
    ) -> Result<(), KeysError> {
        if keys.is_empty() {
            return Ok(());
        }
        let held: u64 = self.counts(user_id, device_id)?.one_time.values().sum();
        if usize::try_from(held).unwrap_or(usize::MAX).saturating_add(keys.len()) > MAX_ONE_TIME_KEYS {
            return Err(KeysError::Invalid("there are too many one-time keys"));
        }
        let uploaded = self.store.frontier().0;
        for (name, key) in keys {
            let (algorithm, id) = split(&name)?;
            check_key(&key)?;
            let row = one_time_key(user_id, device_id, algorithm).text(id);
            match self.store.get(Tree::Edge, &row)? {
                None => writes.put(Tree::Edge, row, encode(&OneTimeKey { uploaded, key })),
                Some(known) if parse_row::<OneTimeKey>(&known)?.key == key => {}
                Some(_) => return Err(KeysError::Invalid("a one-time key with this ID exists already")),
            }
        }
        Ok(())
    }

    async fn commit(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        mut writes: WriteSet,
    ) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        self.observer.keys_left(user_id, device_id, &mut writes);
        let (counts, whose) = (self.counts.clone(), (user_id.to_owned(), device_id.to_owned()));
        writes.on_commit(move |_| drop(counts.lock().remove(&whose)));
        self.store.commit(writes).await.map(drop)
    }

    /// The keys of a device, as they were uploaded, with the signatures that came later.
    pub(crate) fn device_keys(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
    ) -> Result<Option<KeyObject>, StoreError> {
        self.read(device_key(user_id, device_id))
    }

    /// The devices of a user that have keys.
    pub(crate) fn devices_with_keys(
        &self,
        user_id: &UserId,
    ) -> Result<Vec<(OwnedDeviceId, KeyObject)>, StoreError> {
        let mut found = Vec::new();
        for row in self.store.scan_prefix(Tree::Edge, key(["device_keys", user_id.as_str()])) {
            let (key, row) = row?;
            let Some([_, _, device_id]) = KeyBuf::read::<3>(&key) else { continue };
            found.push((OwnedDeviceId::from(device_id), parse_row(&row)?));
        }
        Ok(found)
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, key: KeyBuf) -> Result<Option<T>, StoreError> {
        self.store.get(Tree::Edge, key)?.map(|row| parse_row(&row)).transpose()
    }

    /// What is left of a device's keys.
    pub(crate) fn counts(&self, user_id: &UserId, device_id: &DeviceId) -> Result<KeyCounts, StoreError> {
        let whose = (user_id.to_owned(), device_id.to_owned());
        // Read under the lock: a change either finds the entry, or its rows were there to be counted.
        let mut known = self.counts.lock();
        if let Some(counts) = known.get(&whose) {
            return Ok(counts.clone());
        }
        let mut counts = KeyCounts::default();
        counts.one_time.insert(USUAL_ALGORITHM.to_owned(), 0);
        let prefix = key(["one_time", user_id.as_str(), device_id.as_str()]);
        for row in self.store.scan_prefix(Tree::Edge, prefix) {
            let (key, _) = row?;
            let Some([_, _, _, algorithm]) = KeyBuf::read::<4>(&key) else { continue };
            *counts.one_time.entry(algorithm.to_owned()).or_default() += 1;
        }
        let prefix = key(["fallback", user_id.as_str(), device_id.as_str()]);
        for row in self.store.scan_prefix(Tree::Edge, prefix) {
            let (key, row) = row?;
            let Some([_, _, _, algorithm]) = KeyBuf::read::<4>(&key) else { continue };
            if !parse_row::<FallbackKey>(&row)?.used {
                counts.unused_fallback.push(algorithm.to_owned());
            }
        }
        known.insert(whose, counts.clone());
        Ok(counts)
    }

    /// Hands out a one-time key of a device, else its fallback key: its full name, and the key.
    pub(crate) async fn claim(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        algorithm: &str,
    ) -> Result<Option<(String, Value)>, StoreError> {
        let _one = self.changing.lock().await;
        let mut oldest: Option<(OneTimeKey, Vec<u8>, String)> = None;
        let prefix = one_time_key(user_id, device_id, algorithm);
        for row in self.store.scan_prefix(Tree::Edge, prefix) {
            let (key, row) = row?;
            let Some([_, _, _, _, id]) = KeyBuf::read::<5>(&key) else { continue };
            let row: OneTimeKey = parse_row(&row)?;
            if oldest.as_ref().is_none_or(|(oldest, ..)| row.uploaded < oldest.uploaded) {
                oldest = Some((row, key.to_vec(), id.to_owned()));
            }
        }
        let mut writes = WriteSet::new();
        let claimed = match oldest {
            Some((row, key, id)) => {
                writes.delete(Tree::Edge, key);
                Some((format!("{algorithm}:{id}"), row.key))
            }
            None => {
                let row_key = fallback_key(user_id, device_id, algorithm);
                let fallback: Option<FallbackKey> = self.read(row_key.clone())?;
                fallback.map(|fallback| {
                    let claimed = (format!("{algorithm}:{}", fallback.id), fallback.key.clone());
                    if !fallback.used {
                        writes.put(Tree::Edge, row_key, encode(&FallbackKey { used: true, ..fallback }));
                    }
                    claimed
                })
            }
        };
        self.commit(user_id, device_id, writes).await?;
        Ok(claimed)
    }

    /// Deletes the keys of a device.
    pub(super) fn stage_removal(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        writes: &mut WriteSet,
    ) -> Result<(), StoreError> {
        let row = device_key(user_id, device_id);
        if self.store.contains(Tree::Edge, &row)? {
            writes.delete(Tree::Edge, row);
            self.changes.stage(user_id, writes);
        }
        for kind in ["one_time", "fallback"] {
            let prefix = key([kind, user_id.as_str(), device_id.as_str()]);
            for row in self.store.scan_prefix(Tree::Edge, prefix) {
                writes.delete(Tree::Edge, &*row?.0);
            }
        }
        let (counts, whose) = (self.counts.clone(), (user_id.to_owned(), device_id.to_owned()));
        writes.on_commit(move |_| drop(counts.lock().remove(&whose)));
        Ok(())
    }

    /// The position up to which changes are known.
    pub(crate) fn now(&self) -> Position {
        self.store.frontier()
    }
}

/// Device keys have to be those of the device that uploads them.
fn check_device_keys(user_id: &UserId, device_id: &DeviceId, keys: &KeyObject) -> Result<(), KeysError> {
    if keys.get("user_id").and_then(Value::as_str) != Some(user_id.as_str()) {
        return Err(KeysError::Invalid("device_keys.user_id is not the user that uploads them"));
    }
    if keys.get("device_id").and_then(Value::as_str) != Some(device_id.as_str()) {
        return Err(KeysError::Invalid("device_keys.device_id is not the device that uploads them"));
    }
    let texts = |list: &Value| list.as_array().is_some_and(|list| list.iter().all(Value::is_string));
    if !keys.get("algorithms").is_some_and(texts) {
        return Err(KeysError::Invalid("device_keys.algorithms is not a list of texts"));
    }
    let named = |keys: &Value| {
        keys.as_object().is_some_and(|keys| {
            keys.iter().all(|(name, key)| {
                key.is_string() && name.split_once(':').is_some_and(|(_, id)| id == device_id.as_str())
            })
        })
    };
    if !keys.get("keys").is_some_and(named) {
        return Err(KeysError::Invalid("device_keys.keys are not texts named algorithm:device_id"));
    }
    match keys.get("signatures") {
        None | Some(Value::Object(_)) => Ok(()),
        Some(_) => Err(KeysError::Invalid("device_keys.signatures is not an object")),
    }
}

/// Whether the keys are the same, whoever has signed them.
fn same_keys(one: &KeyObject, other: &KeyObject) -> bool {
    ["user_id", "device_id", "algorithms", "keys"].iter().all(|name| one.get(*name) == other.get(*name))
}

fn check_key(key: &Value) -> Result<(), KeysError> {
    match key {
        Value::String(_) => Ok(()),
        Value::Object(key) if key.get("key").is_some_and(Value::is_string) => Ok(()),
        _ => Err(KeysError::Invalid("a key is neither a text nor an object with one")),
    }
}

/// Takes the name of a key apart: `algorithm:id`.
fn split(name: &str) -> Result<(&str, &str), KeysError> {
    match name.split_once(':') {
        Some((algorithm, id)) if !algorithm.is_empty() && !id.is_empty() && name.len() <= 255 => {
            Ok((algorithm, id))
        }
        _ => Err(KeysError::Invalid("the name of a key is not algorithm:id")),
    }
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("keys are JSON")
}

fn device_key(user_id: &UserId, device_id: &DeviceId) -> KeyBuf {
    key(["device_keys", user_id.as_str(), device_id.as_str()])
}

fn one_time_key(user_id: &UserId, device_id: &DeviceId, algorithm: &str) -> KeyBuf {
    key(["one_time", user_id.as_str(), device_id.as_str(), algorithm])
}

fn fallback_key(user_id: &UserId, device_id: &DeviceId, algorithm: &str) -> KeyBuf {
    key(["fallback", user_id.as_str(), device_id.as_str(), algorithm])
}
