//! The [content repository](https://spec.matrix.org/v1.19/client-server-api/#content-repository).

use ruma::{OwnedMxcUri, api::client::media::create_content};

use super::Intent;
use crate::client::ClientError;

impl Intent {
    /// Uploads a file.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn upload(
        &self,
        bytes: Vec<u8>,
        content_type: Option<&str>,
        filename: Option<&str>,
    ) -> Result<OwnedMxcUri, ClientError> {
        let mut request = create_content::v3::Request::new(bytes);
        request.content_type = content_type.map(ToOwned::to_owned);
        request.filename = filename.map(ToOwned::to_owned);
        Ok(self.request(request).await?.content_uri)
    }
}
