//! The authorization code grant (RFC 6749, section 4.1) with proof of possession (PKCE, RFC 7636).

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use matrix_appservice::Secret;
use reqwest::{StatusCode, header};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::{OAuth2Error, OAuth2Provider};

/// How long the provider may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// How a provider is reached, and as whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorizationCodeConfig {
    /// Names the provider in paths and in the database: letters, digits and `-`.
    pub id: String,
    /// The name that people know it by.
    pub name: String,
    /// Where people allow this server to know who they are.
    pub authorization_endpoint: Url,
    /// Where a code is turned into a token.
    pub token_endpoint: Url,
    /// Where a token is turned into a person, as JSON.
    pub userinfo_endpoint: Url,
    /// As whom this server is known to the provider.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret,
    /// What is asked for. Default `openid`.
    #[serde(default = "openid")]
    pub scope: String,
    /// The member of the user information that names the person for good. Default `sub`.
    #[serde(default = "sub")]
    pub subject_claim: String,
}

fn openid() -> String {
    "openid".to_owned()
}

fn sub() -> String {
    "sub".to_owned()
}

/// Why a provider cannot be used as it was described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OAuth2ConfigError {
    /// The ID has other characters than letters, digits and `-`.
    #[error("{0:?} does not name a provider; use letters, digits and -")]
    Id(String),
    /// The HTTP client could not be made.
    #[error("the provider cannot be asked over HTTP")]
    Http(#[source] reqwest::Error),
}

/// A provider that gives out codes, as the large ones on the web do.
#[derive(Debug)]
pub struct AuthorizationCode {
    config: AuthorizationCodeConfig,
    http: reqwest::Client,
    /// From which the secret of every login is derived.
    key: Secret,
}

#[derive(Deserialize)]
struct Tokens {
    access_token: String,
}

impl AuthorizationCode {
    /// A provider.
    ///
    /// # Errors
    /// [`OAuth2ConfigError`] if it cannot be used as described.
    pub fn new(config: AuthorizationCodeConfig) -> Result<Self, OAuth2ConfigError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if config.id.is_empty() || !config.id.bytes().all(plain) {
            return Err(OAuth2ConfigError::Id(config.id));
        }
        crate::install_crypto();
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(OAuth2ConfigError::Http)?;
        Ok(Self { config, http, key: Secret::generate() })
    }

    /// The secret of one login, which only who began it can tell.
    fn verifier(&self, state: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes())
            .expect("a key of any length suits this code");
        mac.update(state.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    async fn token(&self, code: &str, redirect_uri: &str, state: &str) -> Result<String, OAuth2Error> {
        let verifier = self.verifier(state);
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("client_id", &self.config.client_id)
            .append_pair("client_secret", self.config.client_secret.expose())
            .append_pair("code_verifier", &verifier)
            .finish();
        let request = self
            .http
            .post(self.config.token_endpoint.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(form);
        let tokens: Tokens = answer(request).await?;
        Ok(tokens.access_token)
    }
}

async fn answer<T: serde::de::DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, OAuth2Error> {
    let unavailable = |error: reqwest::Error| OAuth2Error::Unavailable(error.without_url().into());
    let mut response = request.send().await.map_err(unavailable)?;
    match response.status() {
        status if status.is_success() => {}
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(OAuth2Error::Refused);
        }
        status => return Err(OAuth2Error::Unavailable(format!("the provider answered {status}").into())),
    }
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(unavailable)? {
        if body.len() + part.len() > MAX_ANSWER {
            return Err(OAuth2Error::Unavailable("the provider's answer is too large".into()));
        }
        body.extend_from_slice(&part);
    }
    serde_json::from_slice(&body)
        .map_err(|_| OAuth2Error::Unavailable("the provider's answer is not what it should be".into()))
}

#[async_trait]
impl OAuth2Provider for AuthorizationCode {
    fn id(&self) -> &str {
        &self.config.id
    }

    fn name(&self) -> &str {
        &self.config.name
    }

    fn authorization_uri(&self, redirect_uri: &str, state: &str) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier(state)));
        let mut uri = self.config.authorization_endpoint.clone();
        uri.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.config.scope)
            .append_pair("state", state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        uri.into()
    }

    async fn identify(&self, code: &str, redirect_uri: &str, state: &str) -> Result<String, OAuth2Error> {
        let token = self.token(code, redirect_uri, state).await?;
        let request = self.http.get(self.config.userinfo_endpoint.clone()).bearer_auth(token);
        let person: Value = answer(request).await?;
        match person.get(&self.config.subject_claim) {
            Some(Value::String(subject)) if !subject.is_empty() => Ok(subject.clone()),
            Some(Value::Number(subject)) => Ok(subject.to_string()),
            _ => Err(OAuth2Error::Unavailable("the provider does not name the person".into())),
        }
    }
}
