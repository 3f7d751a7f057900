//! Account data: what a client keeps on the server for itself, for the account or for one room
//! ([client config](https://spec.matrix.org/v1.19/client-server-api/#client-config)). Tags are the room account data
//! of type `m.tag`.

use ruma::{RoomId, UserId};
use serde_json::value::RawValue;

use super::{Users, ignored::IGNORED_USERS};
use crate::store::{KeyBuf, Position, StoreError, Tree, WriteSet, key};

/// What account data is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'a> {
    Global,
    Room(&'a RoomId),
}

impl Scope<'_> {
    fn key(self, user_id: &UserId) -> KeyBuf {
        let room = match self {
            Self::Global => "",
            Self::Room(room_id) => room_id.as_str(),
        };
        key(["data", user_id.as_str(), room])
    }
}

impl Users {
    /// The content of one kind of account data.
    pub(crate) fn account_data(
        &self,
        user_id: &UserId,
        scope: Scope<'_>,
        kind: &str,
    ) -> Result<Option<Box<RawValue>>, StoreError> {
        let Some(row) = self.store.get(Tree::Account, scope.key(user_id).text(kind))? else {
            return Ok(None);
        };
        read_row(&row).map(|(_, content)| Some(content))
    }

    pub(crate) async fn set_account_data(
        &self,
        user_id: &UserId,
        scope: Scope<'_>,
        kind: &str,
        content: &RawValue,
    ) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        let key = scope.key(user_id).text(kind);
        let content = content.get().to_owned();
        writes.positioned(move |position, rows| {
            let mut row = Vec::with_capacity(8 + content.len());
            row.extend_from_slice(&position.to_bytes());
            row.extend_from_slice(content.as_bytes());
            rows.put(Tree::Account, key, row);
        });
        if matches!(scope, Scope::Global) && kind == IGNORED_USERS {
            let (ignored, user_id) = (self.ignored.clone(), user_id.to_owned());
            writes.on_commit(move |_| ignored.forget(&user_id));
        }
        self.store.commit(writes).await.map(drop)
    }

    /// Kinds and contents that changed after one position and not after another.
    pub(crate) fn account_data_between(
        &self,
        user_id: &UserId,
        scope: Scope<'_>,
        after: Position,
        until: Position,
    ) -> Result<Vec<(String, Box<RawValue>)>, StoreError> {
        let mut found = Vec::new();
        for row in self.store.scan_prefix(Tree::Account, scope.key(user_id)) {
            let (key, row) = row?;
            let Some([_, _, _, kind]) = KeyBuf::read::<4>(&key) else { continue };
            let (changed, content) = read_row(&row)?;
            if changed > after && changed <= until {
                found.push((kind.to_owned(), content));
            }
        }
        Ok(found)
    }
}

fn read_row(row: &[u8]) -> Result<(Position, Box<RawValue>), StoreError> {
    let damaged = || StoreError::damaged("account data");
    let (position, content) = row.split_first_chunk::<8>().ok_or_else(damaged)?;
    let content = serde_json::from_slice(content).map_err(|_| damaged())?;
    Ok((Position(u64::from_be_bytes(*position)), content))
}
