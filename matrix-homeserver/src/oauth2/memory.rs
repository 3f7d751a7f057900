//! A provider that lets anybody be anybody, for tests.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use url::Url;

use super::{OAuth2Error, OAuth2Provider};
use crate::user::random_text;

/// A provider in memory: the test says who allows what. Clones share their codes.
#[derive(Debug, Clone)]
pub struct MemoryOAuth2 {
    id: String,
    codes: Arc<Mutex<HashMap<String, String>>>,
}

impl MemoryOAuth2 {
    /// A provider with this ID, which is its name, too.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), codes: Arc::default() }
    }

    /// What the person does at the authorization URI: allows this server to know that they are `subject`. Returns the URL
    /// to which the provider sends them.
    ///
    /// # Panics
    /// If the URI is not one of [`authorization_uri`](OAuth2Provider::authorization_uri).
    pub fn allow(&self, authorization_uri: &str, subject: &str) -> String {
        let code = random_text(20);
        self.codes.lock().insert(code.clone(), subject.to_owned());
        back(authorization_uri, "code", &code)
    }

    /// The person does not allow it. Returns the URL to which the provider sends them.
    ///
    /// # Panics
    /// As [`allow`](Self::allow).
    pub fn deny(&self, authorization_uri: &str) -> String {
        back(authorization_uri, "error", "access_denied")
    }
}

fn back(authorization_uri: &str, key: &str, value: &str) -> String {
    let uri = Url::parse(authorization_uri).expect("an authorization URI is a URL");
    let parameter = |name: &str| {
        let found = uri.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        found.expect("an authorization URI has redirect_uri and state")
    };
    let mut back = Url::parse(&parameter("redirect_uri")).expect("a redirect URI is a URL");
    back.query_pairs_mut().append_pair(key, value).append_pair("state", &parameter("state"));
    back.into()
}

#[async_trait]
impl OAuth2Provider for MemoryOAuth2 {
    fn id(&self) -> &str {
        &self.id
    }

    fn name(&self) -> &str {
        &self.id
    }

    fn authorization_uri(&self, redirect_uri: &str, state: &str) -> String {
        let mut uri = Url::parse("https://oauth2.invalid/authorize").expect("a URL");
        uri.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("state", state);
        uri.into()
    }

    async fn identify(&self, code: &str, _: &str, _: &str) -> Result<String, OAuth2Error> {
        self.codes.lock().remove(code).ok_or(OAuth2Error::Refused)
    }
}
