//! Keys of rooms that a user keeps on the server, encrypted ([server-side key backups]).
//!
//! [server-side key backups]: https://spec.matrix.org/v1.19/client-server-api/#server-side-key-backups

use std::collections::BTreeMap;

use ruma::UserId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::parse_row;
use crate::store::{KeyBuf, Store, StoreError, Tree, WriteSet, key};

/// A version of a user's backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Backup {
    pub(crate) algorithm: String,
    pub(crate) auth_data: Map<String, Value>,
    /// Changes whenever a key does.
    #[serde(default)]
    pub(crate) etag: u64,
    #[serde(default)]
    pub(crate) count: u64,
}

/// The key of one session, encrypted, with what the server needs to tell the better of two.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SessionKey {
    first_message_index: u64,
    forwarded_count: u64,
    is_verified: bool,
    session_data: Map<String, Value>,
}

impl SessionKey {
    /// Verified before unverified, then from the earlier message on, then by fewer hands.
    fn is_better_than(&self, other: &Self) -> bool {
        let rank = |key: &Self| (!key.is_verified, key.first_message_index, key.forwarded_count);
        rank(self) < rank(other)
    }
}

/// Keys by room and session.
pub(crate) type SessionKeys = BTreeMap<String, BTreeMap<String, SessionKey>>;

/// Why a backup was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BackupError {
    #[error("there is no such backup")]
    NotFound,
    /// Keys are only added to the newest version.
    #[error("this is not the current version of the backup")]
    WrongVersion {
        /// The newest version.
        current: u64,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The backups of all users.
#[derive(Debug)]
pub(crate) struct Backups {
    store: Store,
    /// One at a time changes backups.
    changing: tokio::sync::Mutex<()>,
}

impl Backups {
    pub(super) fn new(store: Store) -> Self {
        Self { store, changing: tokio::sync::Mutex::default() }
    }

    /// Begins a new version, which is the current one from now on.
    pub(crate) async fn create(&self, user_id: &UserId, backup: &Backup) -> Result<u64, StoreError> {
        let _one = self.changing.lock().await;
        let last = self.store.get(Tree::Edge, counter_key(user_id))?;
        let version = last.as_deref().map_or(Ok(0), parse_row::<u64>)? + 1;
        let mut writes = WriteSet::new();
        writes.put(Tree::Edge, counter_key(user_id), encode(&version));
        writes.put(Tree::Edge, version_key(user_id, version), encode(backup));
        self.store.commit(writes).await?;
        Ok(version)
    }

    /// The number of the newest version that was not deleted.
    pub(crate) fn current(&self, user_id: &UserId) -> Result<Option<u64>, StoreError> {
        let Some(row) = self.store.scan_prefix(Tree::Edge, versions_key(user_id)).next_back() else {
            return Ok(None);
        };
        let number = row?.0.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
        number.map(Some).ok_or_else(|| StoreError::damaged("the key of a backup"))
    }

    pub(crate) fn get(&self, user_id: &UserId, version: u64) -> Result<Option<Backup>, StoreError> {
        self.store.get(Tree::Edge, version_key(user_id, version))?.map(|row| parse_row(&row)).transpose()
    }

    /// Changes what is known about a version.
    pub(crate) async fn set_auth_data(
        &self,
        user_id: &UserId,
        version: u64,
        auth_data: Map<String, Value>,
    ) -> Result<(), BackupError> {
        let _one = self.changing.lock().await;
        let backup = self.get(user_id, version)?.ok_or(BackupError::NotFound)?;
        let mut writes = WriteSet::new();
        writes.put(Tree::Edge, version_key(user_id, version), encode(&Backup { auth_data, ..backup }));
        self.store.commit(writes).await?;
        Ok(())
    }

    /// Deletes a version with its keys.
    pub(crate) async fn delete(&self, user_id: &UserId, version: u64) -> Result<(), BackupError> {
        let _one = self.changing.lock().await;
        self.get(user_id, version)?.ok_or(BackupError::NotFound)?;
        let mut writes = WriteSet::new();
        writes.delete(Tree::Edge, version_key(user_id, version));
        for row in self.store.scan_prefix(Tree::Edge, keys_prefix(user_id, version)) {
            writes.delete(Tree::Edge, &*row?.0);
        }
        self.store.commit(writes).await?;
        Ok(())
    }

    /// Adds keys to the current version. Where there is a better one, it stays.
    pub(crate) async fn add(
        &self,
        user_id: &UserId,
        version: u64,
        keys: SessionKeys,
    ) -> Result<Backup, BackupError> {
        let _one = self.changing.lock().await;
        let current = self.current(user_id)?.ok_or(BackupError::NotFound)?;
        if version != current {
            return Err(BackupError::WrongVersion { current });
        }
        let mut backup = self.get(user_id, version)?.ok_or(BackupError::NotFound)?;
        let mut writes = WriteSet::new();
        for (room, sessions) in keys {
            for (session, new) in sessions {
                let row = keys_prefix(user_id, version).text(&room).text(&session);
                let known = self.store.get(Tree::Edge, &row)?;
                match known.map(|known| parse_row::<SessionKey>(&known)).transpose()? {
                    Some(known) if !new.is_better_than(&known) => continue,
                    Some(_) => {}
                    None => backup.count += 1,
                }
                writes.put(Tree::Edge, row, encode(&new));
            }
        }
        if !writes.is_empty() {
            backup.etag += 1;
            writes.put(Tree::Edge, version_key(user_id, version), encode(&backup));
            self.store.commit(writes).await?;
        }
        Ok(backup)
    }

    /// The keys of a version, of one room or one session where named.
    pub(crate) fn keys(
        &self,
        user_id: &UserId,
        version: u64,
        room: Option<&str>,
        session: Option<&str>,
    ) -> Result<SessionKeys, StoreError> {
        let mut found = SessionKeys::new();
        for row in self.rows(user_id, version, room, session) {
            let (key, row) = row?;
            let Some((room, session)) = room_and_session(&key) else { continue };
            found.entry(room).or_default().insert(session, parse_row(&row)?);
        }
        Ok(found)
    }

    /// Deletes keys of a version, of one room or one session where named.
    pub(crate) async fn remove(
        &self,
        user_id: &UserId,
        version: u64,
        room: Option<&str>,
        session: Option<&str>,
    ) -> Result<Backup, BackupError> {
        let _one = self.changing.lock().await;
        let mut backup = self.get(user_id, version)?.ok_or(BackupError::NotFound)?;
        let mut writes = WriteSet::new();
        for row in self.rows(user_id, version, room, session) {
            writes.delete(Tree::Edge, &*row?.0);
            backup.count = backup.count.saturating_sub(1);
        }
        if !writes.is_empty() {
            backup.etag += 1;
            writes.put(Tree::Edge, version_key(user_id, version), encode(&backup));
            self.store.commit(writes).await?;
        }
        Ok(backup)
    }

    fn rows(
        &self,
        user_id: &UserId,
        version: u64,
        room: Option<&str>,
        session: Option<&str>,
    ) -> crate::store::Scan {
        let mut prefix = keys_prefix(user_id, version);
        for part in [room, session].into_iter().flatten() {
            prefix = prefix.text(part);
        }
        self.store.scan_prefix(Tree::Edge, prefix)
    }
}

/// The last two texts of a key.
fn room_and_session(key: &[u8]) -> Option<(String, String)> {
    let [_, _, _, room, session] = KeyBuf::read::<5>(key)?;
    Some((room.to_owned(), session.to_owned()))
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("backups are JSON")
}

fn counter_key(user_id: &UserId) -> KeyBuf {
    key(["backup_count", user_id.as_str()])
}

fn versions_key(user_id: &UserId) -> KeyBuf {
    key(["backup", user_id.as_str()])
}

fn version_key(user_id: &UserId, version: u64) -> KeyBuf {
    versions_key(user_id).number(version)
}

fn keys_prefix(user_id: &UserId, version: u64) -> KeyBuf {
    key(["backup_key", user_id.as_str(), &version.to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_of_two_keys_is_verified_then_earlier_then_less_forwarded() {
        let key = |is_verified, first_message_index, forwarded_count| SessionKey {
            first_message_index,
            forwarded_count,
            is_verified,
            session_data: Map::new(),
        };
        let ranked = [key(true, 0, 0), key(true, 0, 1), key(true, 1, 0), key(false, 0, 0), key(false, 9, 9)];
        for (index, better) in ranked.iter().enumerate() {
            assert!(!better.is_better_than(better));
            for worse in &ranked[index + 1..] {
                assert!(better.is_better_than(worse) && !worse.is_better_than(better));
            }
        }
    }
}
