//! Identity servers: who has which address, asked on behalf of users ([identity service API]).
//!
//! Only those that the server was told of are asked: their answers let strangers into rooms.
//!
//! [identity service API]: https://spec.matrix.org/v1.19/identity-service-api/

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::outgoing::{self, LazyClient};

/// How long an identity server may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const MAX_ANSWER: usize = 256 << 10;

/// Why an identity server was of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("this server does not trust the identity server")]
    NotTrusted,
    #[error("the identity server could not be reached")]
    Failed(#[from] reqwest::Error),
    #[error("the identity server refused: {errcode}")]
    Refused {
        /// What the identity server says.
        errcode: String,
    },
    #[error("the answer of the identity server is not what it should be")]
    Malformed,
}

/// An invitation that an identity server keeps until somebody shows to have the address.
#[derive(Debug, Deserialize)]
pub(crate) struct StoredInvite {
    pub(crate) token: String,
    pub(crate) display_name: String,
    #[serde(default)]
    public_key: Option<String>,
    #[serde(default)]
    key_validity_url: Option<String>,
    #[serde(default)]
    public_keys: Vec<Value>,
}

impl StoredInvite {
    /// The content of `m.room.third_party_invite`. `None` without a key, with which nobody could ever come in.
    pub(crate) fn content(&self) -> Option<Value> {
        let first = self.public_keys.first();
        let from_first = |name: &str| first.and_then(|key| key.get(name)?.as_str().map(ToOwned::to_owned));
        let key = self.public_key.clone().or_else(|| from_first("public_key"))?;
        let url = self.key_validity_url.clone().or_else(|| from_first("key_validity_url"));
        let mut content = json!({"display_name": self.display_name, "public_key": key});
        content["key_validity_url"] = url.unwrap_or_default().into();
        if !self.public_keys.is_empty() {
            content["public_keys"] = self.public_keys.clone().into();
        }
        Some(content)
    }
}

/// Somebody's address with somebody else: a medium like `email`, and the address in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    pub(crate) medium: &'a str,
    pub(crate) address: &'a str,
}

/// The identity servers that are trusted.
#[derive(Debug)]
pub(crate) struct IdentityServers {
    http: LazyClient,
    /// Where they are, by the names that clients use.
    servers: BTreeMap<String, String>,
}

impl IdentityServers {
    pub(crate) fn new(servers: BTreeMap<String, String>) -> Self {
        Self { http: LazyClient::new(|| outgoing::client(TIMEOUT)), servers }
    }

    fn url(&self, server: &str, path: &str) -> Result<String, IdentityError> {
        let base = self.servers.get(server).ok_or(IdentityError::NotTrusted)?;
        Ok(format!("{}/_matrix/identity/v2/{path}", base.trim_end_matches('/')))
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, IdentityError> {
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status();
        let answer = outgoing::body(response, MAX_ANSWER).await?.ok_or(IdentityError::Malformed)?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let errcode = answer["errcode"].as_str().filter(|errcode| errcode.starts_with("M_"));
        Err(IdentityError::Refused { errcode: errcode.unwrap_or("M_UNKNOWN").to_owned() })
    }

    /// Whose an address is ([lookup]). The identity server gets to see no more than a hash, if it lets us.
    ///
    /// [lookup]: https://spec.matrix.org/v1.19/identity-service-api/#hashing
    pub(crate) async fn lookup(
        &self,
        server: &str,
        token: &str,
        wanted: &Address<'_>,
    ) -> Result<Option<OwnedUserId>, IdentityError> {
        #[derive(Deserialize)]
        struct Details {
            algorithms: Vec<String>,
            lookup_pepper: String,
        }
        let details = self.http.get(self.url(server, "hash_details")?).bearer_auth(token);
        let details: Details =
            serde_json::from_value(self.answer(details).await?).map_err(|_| IdentityError::Malformed)?;
        let plain = format!("{} {}", wanted.address, wanted.medium);
        let (algorithm, hash) = if details.algorithms.iter().any(|name| name == "sha256") {
            let hash = Sha256::digest(format!("{plain} {}", details.lookup_pepper));
            ("sha256", URL_SAFE_NO_PAD.encode(hash))
        } else if details.algorithms.iter().any(|name| name == "none") {
            ("none", plain)
        } else {
            return Err(IdentityError::Malformed);
        };
        let body = json!({"addresses": [hash], "algorithm": algorithm, "pepper": details.lookup_pepper});
        let request = self.http.post(self.url(server, "lookup")?).bearer_auth(token).json(&body);
        let found = self.answer(request).await?;
        let user_id = found["mappings"].get(&hash).and_then(Value::as_str);
        user_id
            .map(|user_id| OwnedUserId::try_from(user_id).map_err(|_| IdentityError::Malformed))
            .transpose()
    }

    /// Leaves an invitation for whoever shows to have an address ([store-invite]).
    ///
    /// [store-invite]: https://spec.matrix.org/v1.19/identity-service-api/#post_matrixidentityv2store-invite
    pub(crate) async fn store_invite(
        &self,
        server: &str,
        token: &str,
        invite: &Map<String, Value>,
    ) -> Result<StoredInvite, IdentityError> {
        let request = self.http.post(self.url(server, "store-invite")?).bearer_auth(token).json(invite);
        serde_json::from_value(self.answer(request).await?).map_err(|_| IdentityError::Malformed)
    }

    /// Makes an address that was shown to the identity server lead to a user; gives the medium and the address, if the
    /// identity server says them.
    pub(crate) async fn bind(
        &self,
        server: &str,
        token: &str,
        (sid, client_secret): (&str, &str),
        user_id: &UserId,
    ) -> Result<Option<(String, String)>, IdentityError> {
        let body = json!({"sid": sid, "client_secret": client_secret, "mxid": user_id});
        let request = self.http.post(self.url(server, "3pid/bind")?).bearer_auth(token).json(&body);
        let association = self.answer(request).await?;
        let text = |name: &str| association[name].as_str().map(ToOwned::to_owned);
        Ok(text("medium").zip(text("address")))
    }

    /// Where an address is made to lead to nobody, and what is to be sent there, signed by `authorization`.
    pub(crate) async fn unbind(
        &self,
        server: &str,
        user_id: &UserId,
        address: &Address<'_>,
        authorization: impl FnOnce(&str, &Value) -> String,
    ) -> Result<(), IdentityError> {
        let body = json!({
            "mxid": user_id, "threepid": {"medium": address.medium, "address": address.address},
        });
        let authorization = authorization("/_matrix/identity/v2/3pid/unbind", &body);
        let request = self.http.post(self.url(server, "3pid/unbind")?);
        let request = request.header(http::header::AUTHORIZATION, authorization).json(&body);
        self.answer(request).await.map(drop)
    }
}
