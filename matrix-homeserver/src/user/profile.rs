//! Profiles: display name, avatar and fields of the user's own making
//! ([profiles](https://spec.matrix.org/v1.19/client-server-api/#profiles)).

use ruma::UserId;
use serde_json::{Map, Value};

use super::{Users, put_json, read_json};
use crate::store::{KeyBuf, StoreError, Tree, WriteSet, key};

/// The largest profile, in bytes of JSON.
pub(crate) const MAX_PROFILE: usize = 65_536;
/// The longest name of a field, in bytes.
pub(crate) const MAX_FIELD_NAME: usize = 255;

/// A profile, field by field.
pub(crate) type Profile = Map<String, Value>;

/// A profile would grow beyond [`MAX_PROFILE`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    #[error("the profile would be larger than 64 KiB")]
    TooLarge,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Users {
    /// The profile of a local user; empty if the user set nothing.
    pub(crate) fn profile(&self, user_id: &UserId) -> Result<Profile, StoreError> {
        Ok(read_json(&self.store, profile_key(user_id))?.unwrap_or_default())
    }

    /// Sets a field, or deletes it. False when nothing changed.
    pub(crate) async fn set_profile_field(
        &self,
        user_id: &UserId,
        field: &str,
        value: Option<Value>,
    ) -> Result<bool, ProfileError> {
        let _one = self.profiles.lock().await;
        let mut profile = self.profile(user_id)?;
        let before = match value.clone() {
            Some(value) => profile.insert(field.to_owned(), value),
            None => profile.remove(field),
        };
        if before == value {
            return Ok(false);
        }
        if Value::Object(profile.clone()).to_string().len() > MAX_PROFILE {
            return Err(ProfileError::TooLarge);
        }
        let mut writes = WriteSet::new();
        put_json(&mut writes, profile_key(user_id), &profile);
        self.store.commit(writes).await?;
        Ok(true)
    }

    pub(super) async fn clear_profile(&self, user_id: &UserId) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        writes.delete(Tree::Account, profile_key(user_id));
        self.store.commit(writes).await.map(drop)
    }
}

pub(super) fn stage_displayname(writes: &mut WriteSet, user_id: &UserId, displayname: &str) {
    let profile = Profile::from_iter([("displayname".to_owned(), displayname.into())]);
    put_json(writes, profile_key(user_id), &profile);
}

fn profile_key(user_id: &UserId) -> KeyBuf {
    key(["profile", user_id.as_str()])
}
