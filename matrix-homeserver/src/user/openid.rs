//! Tokens by which a user proves to others who he is ([OpenID]).
//!
//! [OpenID]: https://spec.matrix.org/v1.19/client-server-api/#openid

use std::time::Duration;

use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{TokenHash, Users, device::random_text, now_ms, put_json, read_json};
use crate::store::{KeyBuf, Store, StoreError, Tree, WriteSet, key};

/// How long a token is good.
pub(crate) const OPENID_LIFETIME: Duration = Duration::from_hours(1);

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    user_id: OwnedUserId,
    /// Milliseconds since 1970.
    expires: u64,
}

impl Users {
    /// A token that says who the user is, and nothing more.
    pub(crate) async fn give_openid_token(&self, user_id: &UserId) -> Result<String, StoreError> {
        let token = random_text(32);
        let lifetime = u64::try_from(OPENID_LIFETIME.as_millis()).unwrap_or(u64::MAX);
        let row = Row { user_id: user_id.to_owned(), expires: now_ms().saturating_add(lifetime) };
        let mut writes = WriteSet::new();
        put_json(&mut writes, row_key(&token), &row);
        self.store.commit(writes).await?;
        Ok(token)
    }

    /// Who got this token.
    pub(crate) fn openid_user(&self, token: &str) -> Result<Option<OwnedUserId>, StoreError> {
        let row: Option<Row> = read_json(&self.store, row_key(token))?;
        Ok(row.filter(|row| row.expires > now_ms()).map(|row| row.user_id))
    }
}

/// Deletes what has expired.
pub(super) fn stage_cleaning(store: &Store, writes: &mut WriteSet) -> Result<(), StoreError> {
    for row in store.scan_prefix(Tree::Account, key(["openid"])) {
        let (row_key, row) = row?;
        if super::parse_row::<Row>(&row)?.expires <= now_ms() {
            writes.delete(Tree::Account, &*row_key);
        }
    }
    Ok(())
}

fn row_key(token: &str) -> KeyBuf {
    key(["openid", &TokenHash::of(token).to_hex()])
}
