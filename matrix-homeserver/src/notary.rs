//! The keys of servers: this one's, and those of the peers that it was told where to find ([retrieving server keys]).
//!
//! Without federation there is nobody else to ask: of a server that is neither this one nor a peer, nothing is known.
//!
//! [retrieving server keys]: https://spec.matrix.org/v1.19/server-server-api/#retrieving-server-keys

use std::{collections::BTreeMap, time::Duration};

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedServerName, ServerName,
    canonical_json::try_from_json_map,
    serde::Base64,
    signatures::{PublicKeyMap, verify_json},
};
use serde_json::{Value, json};

use crate::{
    outgoing::{self, LazyClient},
    room::Rooms,
    store::{KeyBuf, Store, StoreError, Tree, WriteSet, key},
    user::now_ms,
};

/// For how long this server says that its keys are good.
const VALIDITY_MS: u64 = 24 * 60 * 60 * 1000;
/// How long a peer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer of a peer that is read.
const MAX_ANSWER: usize = 64 << 10;

/// Why the keys of a server are not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotaryError {
    #[error("the keys could not be read or kept")]
    Store(#[from] StoreError),
    #[error("the keys could not be signed")]
    Sign(#[from] ruma::signatures::JsonError),
}

/// Knows the keys of servers, and vouches for them.
#[derive(Debug)]
pub(crate) struct Notary {
    store: Store,
    rooms: Rooms,
    /// Where other servers are.
    peers: BTreeMap<OwnedServerName, String>,
    http: LazyClient,
}

impl Notary {
    pub(crate) fn new(store: Store, rooms: Rooms, peers: BTreeMap<OwnedServerName, String>) -> Self {
        let http = LazyClient::new(|| outgoing::client(TIMEOUT));
        Self { store, rooms, peers, http }
    }

    /// The keys of this server, signed by it.
    pub(crate) fn own(&self) -> Result<CanonicalJsonObject, NotaryError> {
        let key = self.rooms.key();
        let object = json!({
            "server_name": key.server_name(),
            "verify_keys": {key.key_id(): {"key": key.public()}},
            "old_verify_keys": {},
            // The connection is not this server's to encrypt.
            "tls_fingerprints": [],
            "valid_until_ts": now_ms() + VALIDITY_MS,
        });
        let mut object = canonical(object).expect("names, keys and a time are canonical JSON");
        key.sign(&mut object)?;
        Ok(object)
    }

    /// The keys of any server, signed by it and by this one. They are good until `minimum` at least, in milliseconds
    /// since 1970, where the server can be reached; else they are those that were seen last. `None` where nothing is
    /// known.
    pub(crate) async fn keys_of(
        &self,
        server_name: &ServerName,
        minimum: u64,
    ) -> Result<Option<CanonicalJsonObject>, NotaryError> {
        if server_name == self.rooms.server_name() {
            return self.own().map(Some);
        }
        let Some(mut object) = self.verified(server_name, minimum).await? else { return Ok(None) };
        self.rooms.key().sign(&mut object)?;
        Ok(Some(object))
    }

    /// The public keys of a server, by which its signatures are checked.
    pub(crate) async fn public_keys(&self, server_name: &ServerName) -> Result<PublicKeyMap, NotaryError> {
        let object = if server_name == self.rooms.server_name() {
            Some(self.own()?)
        } else {
            self.verified(server_name, now_ms()).await?
        };
        Ok(object.map(|object| key_map(server_name, &object)).unwrap_or_default())
    }

    /// What a server says of its keys, checked and kept.
    async fn verified(
        &self,
        server_name: &ServerName,
        minimum: u64,
    ) -> Result<Option<CanonicalJsonObject>, NotaryError> {
        let known = self.known(server_name)?;
        if let Some(known) = &known
            && valid_until(known) >= minimum.max(now_ms())
        {
            return Ok(Some(known.clone()));
        }
        let Some(url) = self.peers.get(server_name) else { return Ok(known) };
        match self.fetch(url).await {
            Ok(answer) => match checked(server_name, answer) {
                Some(object) => {
                    self.keep(server_name, &object).await?;
                    Ok(Some(object))
                }
                None => {
                    tracing::warn!(%server_name, "a server says of its keys what it did not sign");
                    Ok(known)
                }
            },
            Err(error) => {
                tracing::info!(%server_name, %error, "a server could not be asked for its keys");
                Ok(known)
            }
        }
    }

    async fn fetch(&self, url: &str) -> Result<Value, reqwest::Error> {
        let url = format!("{}/_matrix/key/v2/server", url.trim_end_matches('/'));
        let response = self.http.get(url).send().await?.error_for_status()?;
        let answer = outgoing::body(response, MAX_ANSWER).await?;
        Ok(answer.and_then(|answer| serde_json::from_slice(&answer).ok()).unwrap_or_default())
    }

    fn known(&self, server_name: &ServerName) -> Result<Option<CanonicalJsonObject>, StoreError> {
        let Some(row) = self.store.get(Tree::Meta, row_key(server_name))? else { return Ok(None) };
        let object = serde_json::from_slice(&row).map_err(|_| StoreError::damaged("the keys of a server"))?;
        Ok(Some(object))
    }

    async fn keep(&self, server_name: &ServerName, object: &CanonicalJsonObject) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        let row = serde_json::to_vec(object).expect("canonical JSON is JSON");
        writes.put(Tree::Meta, row_key(server_name), row);
        self.store.commit(writes).await.map(drop)
    }
}

/// What a server said of its keys, if it is of this server and signed with every key in it. Signatures of others are left
/// out.
fn checked(server_name: &ServerName, answer: Value) -> Option<CanonicalJsonObject> {
    let mut object = canonical(answer)?;
    if object.get("server_name")?.as_str()? != server_name.as_str() || valid_until(&object) == 0 {
        return None;
    }
    if let CanonicalJsonValue::Object(signatures) = object.get_mut("signatures")? {
        signatures.retain(|signer, _| signer == server_name.as_str());
    }
    let keys = key_map(server_name, &object);
    let own = keys.get(server_name.as_str()).filter(|own| !own.is_empty())?;
    let signatures = object.get("signatures")?.as_object()?.get(server_name.as_str())?.as_object()?;
    // With each key alone: one good signature does not prove the others, and none proves nothing.
    own.iter()
        .all(|(id, key)| {
            if !signatures.contains_key(id) {
                return false;
            }
            let only = BTreeMap::from([(id.clone(), key.clone())]);
            verify_json(&PublicKeyMap::from([(server_name.to_string(), only)]), &object).is_ok()
        })
        .then(|| object.clone())
}

fn canonical(value: Value) -> Option<CanonicalJsonObject> {
    match value {
        Value::Object(object) => try_from_json_map(object).ok(),
        _ => None,
    }
}

fn valid_until(object: &CanonicalJsonObject) -> u64 {
    let until = object.get("valid_until_ts").and_then(CanonicalJsonValue::as_integer);
    until.and_then(|until| u64::try_from(i64::from(until)).ok()).unwrap_or_default()
}

fn key_map(server_name: &ServerName, object: &CanonicalJsonObject) -> PublicKeyMap {
    let keys = object.get("verify_keys").and_then(CanonicalJsonValue::as_object);
    let keys = keys.into_iter().flatten().filter_map(|(id, key)| {
        let key = key.as_object()?.get("key")?.as_str()?;
        Some((id.clone(), Base64::parse(key).ok()?))
    });
    PublicKeyMap::from([(server_name.to_string(), keys.collect())])
}

fn row_key(server_name: &ServerName) -> KeyBuf {
    key(["server_keys", server_name.as_str()])
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;
    use crate::event::ServerKey;

    fn keys(name: &ServerName, signer: &ServerName) -> Value {
        let key = ServerKey::from_der(signer.to_owned(), &ServerKey::generate(), "1").unwrap();
        let mut object = canonical(json!({
            "server_name": name, "verify_keys": {"ed25519:1": {"key": key.public()}}, "valid_until_ts": 7,
        }))
        .unwrap();
        key.sign(&mut object).unwrap();
        serde_json::to_value(object).unwrap()
    }

    #[test]
    fn only_what_a_server_has_signed_itself_is_believed() {
        let name = server_name!("a.test");
        let good = keys(name, name);
        assert!(checked(name, good.clone()).is_some());
        assert!(checked(server_name!("b.test"), good.clone()).is_none(), "keys of another server");
        assert!(checked(name, keys(name, server_name!("b.test"))).is_none(), "signed by another");
        let mut changed = good.clone();
        changed["valid_until_ts"] = 8.into();
        assert!(checked(name, changed).is_none(), "changed after it was signed");
        let mut more = good;
        more["verify_keys"]["ed25519:2"] = json!({"key": "AAAA"});
        assert!(checked(name, more).is_none(), "a key that signed nothing");
        assert!(checked(name, json!([])).is_none());
    }
}
