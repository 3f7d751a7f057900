//! People who show who they are to somebody else than this server, by OAuth 2.0 (RFC 6749).

use std::{error::Error, fmt, sync::Arc};

use async_trait::async_trait;

mod authorization_code;
mod memory;

pub use self::{
    authorization_code::{AuthorizationCode, AuthorizationCodeConfig, OAuth2ConfigError},
    memory::MemoryOAuth2,
};

/// Why a provider did not say who somebody is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OAuth2Error {
    /// The provider knows neither the code nor the person.
    #[error("the provider refused the code")]
    Refused,
    /// The provider could not be asked, or its answer was not understood.
    #[error("the provider could not be asked")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// Somebody who knows people and vouches for them; see
/// [`HomeserverBuilder::oauth2_provider`](crate::HomeserverBuilder::oauth2_provider).
///
/// A login asks for the [`authorization_uri`](Self::authorization_uri), which the person visits. The provider sends the
/// person back to `redirect_uri` with a code, and the task of that request calls [`identify`](Self::identify), once.
#[async_trait]
pub trait OAuth2Provider: fmt::Debug + Send + Sync + 'static {
    /// Names the provider in paths and in the database: letters, digits and `-`. Unique within the server, and never
    /// changed once somebody has logged in by it.
    fn id(&self) -> &str;

    /// The name that people know it by.
    fn name(&self) -> &str;

    /// Where the person allows this server to know who they are. `state` comes back with the code.
    fn authorization_uri(&self, redirect_uri: &str, state: &str) -> String;

    /// Turns a code into the person that it stands for: an ID that is unique within the provider and never given to
    /// anybody else.
    ///
    /// # Errors
    /// [`OAuth2Error`] says whether the code is at fault or the provider.
    async fn identify(&self, code: &str, redirect_uri: &str, state: &str) -> Result<String, OAuth2Error>;
}

#[async_trait]
impl<P: OAuth2Provider + ?Sized> OAuth2Provider for Arc<P> {
    fn id(&self) -> &str {
        (**self).id()
    }

    fn name(&self) -> &str {
        (**self).name()
    }

    fn authorization_uri(&self, redirect_uri: &str, state: &str) -> String {
        (**self).authorization_uri(redirect_uri, state)
    }

    async fn identify(&self, code: &str, redirect_uri: &str, state: &str) -> Result<String, OAuth2Error> {
        (**self).identify(code, redirect_uri, state).await
    }
}
