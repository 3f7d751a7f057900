//! Changing profiles, which rooms show too.

use http::StatusCode;
use ruma::UserId;
use serde_json::Value;

use super::Services;
use crate::{
    api::{ApiError, ApiResult},
    user::{MAX_FIELD_NAME, ProfileError},
};

impl Services {
    /// Sets a field of a profile, or deletes it, and tells the rooms that show it if wanted.
    pub(crate) async fn set_profile_field(
        &self,
        user_id: &UserId,
        field: &str,
        value: Option<Value>,
        to_rooms: bool,
    ) -> ApiResult<()> {
        let bad_request = |errcode, text: &'static str| ApiError::new(StatusCode::BAD_REQUEST, errcode, text);
        if field.len() > MAX_FIELD_NAME {
            return Err(bad_request("M_KEY_TOO_LARGE", "the name of a field has at most 255 bytes"));
        }
        let changed = self.users.set_profile_field(user_id, field, value).await;
        let changed = changed.map_err(|error| match error {
            ProfileError::TooLarge => {
                bad_request("M_PROFILE_TOO_LARGE", "the profile would be larger than 64 KiB")
            }
            ProfileError::Store(error) => error.into(),
        })?;
        if changed && to_rooms && matches!(field, "displayname" | "avatar_url") {
            self.show_profile_in_rooms(user_id).await?;
        }
        Ok(())
    }
}
