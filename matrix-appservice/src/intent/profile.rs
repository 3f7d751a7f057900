//! [Profiles](https://spec.matrix.org/v1.19/client-server-api/#profiles).

use ruma::{
    MxcUri, OwnedMxcUri, UserId,
    api::client::profile::{AvatarUrl, DisplayName, get_profile, set_avatar_url, set_display_name},
};

use super::Intent;
use crate::client::ClientError;

/// How a user shows himself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// His name.
    pub display_name: Option<String>,
    /// His picture.
    pub avatar_url: Option<OwnedMxcUri>,
}

impl Intent {
    /// Sets the user's name; `None` removes it.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    #[expect(deprecated, reason = "the newer endpoint is missing on homeservers in use")]
    pub async fn set_display_name(&self, name: Option<&str>) -> Result<(), ClientError> {
        let name = name.map(ToOwned::to_owned);
        self.request(set_display_name::v3::Request::new(self.user_id.clone(), name)).await.map(drop)
    }

    /// Sets the user's picture; `None` removes it.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    #[expect(deprecated, reason = "the newer endpoint is missing on homeservers in use")]
    pub async fn set_avatar_url(&self, url: Option<&MxcUri>) -> Result<(), ClientError> {
        let url = url.map(ToOwned::to_owned);
        self.request(set_avatar_url::v3::Request::new(self.user_id.clone(), url)).await.map(drop)
    }

    /// How any user shows himself; `None` if there is no such user.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn profile(&self, user_id: &UserId) -> Result<Option<Profile>, ClientError> {
        let data = match self.request(get_profile::v3::Request::new(user_id.to_owned())).await {
            Ok(response) => response.data,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Profile {
            display_name: data.get_static::<DisplayName>().ok().flatten(),
            avatar_url: data.get_static::<AvatarUrl>().ok().flatten(),
        }))
    }
}
