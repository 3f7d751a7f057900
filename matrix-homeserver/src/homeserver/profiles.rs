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
        // The drafts let a field have any name.
        if !self.config.drafts && !is_field(field) {
            return Err(ApiError::invalid_param("profiles have no field of this name"));
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

/// Whether a name is that of a field that the specification knows, or
/// [a namespaced one](https://spec.matrix.org/v1.19/appendices/#common-namespaced-identifier-grammar).
fn is_field(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_lowercase())
            && part.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
    };
    matches!(name, "displayname" | "avatar_url") || (name.contains('.') && name.split('.').all(part))
}

#[cfg(test)]
mod tests {
    use super::is_field;

    #[test]
    fn fields_have_known_or_namespaced_names() {
        for name in ["displayname", "avatar_url", "m.tz", "org.example.my_field9", "us.cloke.msc4175.tz"] {
            assert!(is_field(name), "{name}");
        }
        for name in ["", "age", "Org.example", "m.", ".m", "m..tz", "m.9", "m.tz "] {
            assert!(!is_field(name), "{name}");
        }
    }
}
