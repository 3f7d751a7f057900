//! Keys of users, by which they vouch for devices and for each other ([cross-signing]).
//!
//! [cross-signing]: https://spec.matrix.org/v1.19/client-server-api/#cross-signing

use ruma::{OwnedDeviceId, UserId};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    KeyObject, Keys, KeysError, device_key, encode,
    signature::{is_signed, merge, same_content, signatures_of},
};
use crate::store::{KeyBuf, StoreError, Tree, WriteSet, key};

/// What a user's key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    Master,
    SelfSigning,
    UserSigning,
}

impl Usage {
    fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::SelfSigning => "self_signing",
            Self::UserSigning => "user_signing",
        }
    }
}

/// The keys that a user uploads together.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct CrossSigning {
    pub(crate) master_key: Option<KeyObject>,
    pub(crate) self_signing_key: Option<KeyObject>,
    pub(crate) user_signing_key: Option<KeyObject>,
}

impl Keys {
    /// One of a user's keys.
    pub(crate) fn cross_signing_key(
        &self,
        user_id: &UserId,
        usage: Usage,
    ) -> Result<Option<KeyObject>, StoreError> {
        self.read(row_key(user_id, usage))
    }

    /// Somebody's master key as a viewer sees it: with the viewer's signatures of it.
    pub(crate) fn master_key_for(
        &self,
        user_id: &UserId,
        viewer: &UserId,
    ) -> Result<Option<KeyObject>, StoreError> {
        let Some(mut master) = self.cross_signing_key(user_id, Usage::Master)? else { return Ok(None) };
        let vouched: Option<Map<String, Value>> = self.read(vouching_key(viewer, user_id, &master))?;
        if let Some(signatures) = vouched {
            merge(&mut master, viewer, &signatures);
        }
        Ok(Some(master))
    }

    /// Keeps a user's keys, all or none.
    ///
    /// # Errors
    /// [`KeysError::Replaces`] if there are other keys, which are replaced only by who `may_replace` them.
    pub(crate) async fn upload_cross_signing(
        &self,
        user_id: &UserId,
        upload: &CrossSigning,
        may_replace: bool,
    ) -> Result<(), KeysError> {
        let _one = self.changing.lock().await;
        let known_master = self.cross_signing_key(user_id, Usage::Master)?;
        let Some(master) = upload.master_key.as_ref().or(known_master.as_ref()) else {
            return Err(KeysError::Missing("there is no master key"));
        };
        let (master_name, master_key) = check(user_id, master, Usage::Master)?;
        let mut writes = WriteSet::new();
        for (usage, object) in upload.keys() {
            check(user_id, object, usage)?;
            if usage != Usage::Master && !is_signed(object, user_id, master_name, master_key) {
                return Err(KeysError::Signature("a key is not signed by the master key"));
            }
            match self.cross_signing_key(user_id, usage)? {
                Some(known) if same_content(&known, object) => {}
                Some(_) if !may_replace => return Err(KeysError::Replaces),
                _ => writes.put(Tree::Edge, row_key(user_id, usage), encode(object)),
            }
        }
        if !writes.is_empty() {
            self.changes.stage(user_id, &mut writes);
            self.store.commit(writes).await?;
        }
        Ok(())
    }

    /// Adds a signature that a user made: of a device or the master key of the same user, or of another's master key.
    pub(crate) async fn add_signature(
        &self,
        signer: &UserId,
        user_id: &UserId,
        key_id: &str,
        signed: &KeyObject,
    ) -> Result<(), KeysError> {
        let _one = self.changing.lock().await;
        let mut writes = WriteSet::new();
        let signatures =
            signatures_of(signed, signer).ok_or(KeysError::Signature("there is no signature"))?;
        let master = self.cross_signing_key(user_id, Usage::Master)?;
        let master = master.filter(|master| public_key(master).is_some_and(|(_, key)| key == key_id));
        if signer != user_id {
            let master = master.ok_or(KeysError::Unknown)?;
            check_same(&master, signed)?;
            let (name, key) = self.signing_key(signer, Usage::UserSigning)?;
            check_signed(signed, signer, &name, &key)?;
            let mut own = Map::new();
            own.extend(signatures.get(&name).map(|signature| (name.clone(), signature.clone())));
            writes.put(Tree::Edge, vouching_key(signer, user_id, &master), encode(&own));
            self.changes.stage_vouching(signer, user_id, &mut writes);
        } else if let Some(mut master) = master {
            check_same(&master, signed)?;
            let good = self.by_devices(signer, signed, signatures)?;
            merge(&mut master, signer, &good);
            writes.put(Tree::Edge, row_key(user_id, Usage::Master), encode(&master));
            self.changes.stage(user_id, &mut writes);
        } else {
            let device_id = OwnedDeviceId::from(key_id);
            let mut device = self.device_keys(user_id, &device_id)?.ok_or(KeysError::Unknown)?;
            check_same(&device, signed)?;
            let (name, key) = self.signing_key(signer, Usage::SelfSigning)?;
            check_signed(signed, signer, &name, &key)?;
            let mut good = Map::new();
            good.extend(signatures.get(&name).map(|signature| (name.clone(), signature.clone())));
            merge(&mut device, signer, &good);
            writes.put(Tree::Edge, device_key(user_id, &device_id), encode(&device));
            self.changes.stage(user_id, &mut writes);
        }
        self.store.commit(writes).await?;
        Ok(())
    }

    fn signing_key(&self, user_id: &UserId, usage: Usage) -> Result<(String, String), KeysError> {
        let object = self.cross_signing_key(user_id, usage)?.ok_or(KeysError::Unknown)?;
        let (name, key) = public_key(&object).ok_or(KeysError::Unknown)?;
        Ok((name.to_owned(), key.to_owned()))
    }

    /// The signatures that devices of a user made. All must be good.
    fn by_devices(
        &self,
        user_id: &UserId,
        signed: &KeyObject,
        signatures: &Map<String, Value>,
    ) -> Result<Map<String, Value>, KeysError> {
        let mut good = Map::new();
        for (name, signature) in signatures {
            let device_id = name.split_once(':').map(|(_, id)| id).unwrap_or_default();
            let Some(device) = self.device_keys(user_id, device_id.into())? else { continue };
            let key = device.get("keys").and_then(|keys| keys.get(name)).and_then(Value::as_str);
            check_signed(signed, user_id, name, key.ok_or(KeysError::Unknown)?)?;
            good.insert(name.clone(), signature.clone());
        }
        if good.is_empty() { Err(KeysError::Signature("no device has signed the key")) } else { Ok(good) }
    }
}

impl CrossSigning {
    fn keys(&self) -> impl Iterator<Item = (Usage, &KeyObject)> {
        let all = [
            (Usage::Master, &self.master_key),
            (Usage::SelfSigning, &self.self_signing_key),
            (Usage::UserSigning, &self.user_signing_key),
        ];
        all.into_iter().filter_map(|(usage, key)| Some((usage, key.as_ref()?)))
    }
}

/// The one public key in an object: its name and its value.
fn public_key(object: &KeyObject) -> Option<(&str, &str)> {
    let keys = object.get("keys")?.as_object()?;
    let mut keys = keys.iter();
    match (keys.next(), keys.next()) {
        (Some((name, key)), None) => Some((name, key.as_str()?)),
        _ => None,
    }
}

/// A key has to be of the user who uploads it, for the use it is uploaded for, and alone.
fn check<'k>(user_id: &UserId, object: &'k KeyObject, usage: Usage) -> Result<(&'k str, &'k str), KeysError> {
    if object.get("user_id").and_then(Value::as_str) != Some(user_id.as_str()) {
        return Err(KeysError::Invalid("the user_id of a key is not the user that uploads it"));
    }
    let uses = object.get("usage").and_then(Value::as_array);
    if !uses.is_some_and(|uses| uses.iter().any(|name| name == usage.name())) {
        return Err(KeysError::Invalid("the usage of a key is not what it is uploaded for"));
    }
    match public_key(object) {
        Some((name, key)) if name.strip_prefix("ed25519:") == Some(key) => Ok((name, key)),
        _ => Err(KeysError::Invalid("there is not exactly one ed25519 key, named by itself")),
    }
}

fn check_same(known: &KeyObject, signed: &KeyObject) -> Result<(), KeysError> {
    if same_content(known, signed) {
        Ok(())
    } else {
        Err(KeysError::Invalid("what was signed is not the key that this server has"))
    }
}

fn check_signed(signed: &KeyObject, signer: &UserId, name: &str, key: &str) -> Result<(), KeysError> {
    if is_signed(signed, signer, name, key) {
        Ok(())
    } else {
        Err(KeysError::Signature("the signature is not good"))
    }
}

fn row_key(user_id: &UserId, usage: Usage) -> KeyBuf {
    key(["cross_signing", user_id.as_str(), usage.name()])
}

/// Signatures of somebody else's master key. A new master key has none.
fn vouching_key(signer: &UserId, user_id: &UserId, master: &KeyObject) -> KeyBuf {
    let (_, master) = public_key(master).unwrap_or_default();
    key(["vouching", signer.as_str(), user_id.as_str(), master])
}
