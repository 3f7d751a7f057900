//! The key by which this server signs.

use std::fmt;

use ruma::{
    CanonicalJsonObject, OwnedServerName, ServerName,
    serde::{Base64, base64::Standard},
    signatures::{Ed25519KeyPair, Ed25519KeyPairParseError, JsonError, sign_json},
};

/// The server's name and its Ed25519 key ([signing]).
///
/// [signing]: https://spec.matrix.org/v1.19/appendices/#signing-details
pub(crate) struct ServerKey {
    server_name: OwnedServerName,
    pair: Ed25519KeyPair,
}

impl ServerKey {
    /// The bytes of a new key, to be kept secret and read by [`ServerKey::from_der`].
    pub(crate) fn generate() -> Vec<u8> {
        Ed25519KeyPair::generate().to_vec()
    }

    /// Reads a key that [`ServerKey::generate`] made. `version` names the key: letters, digits, underscores.
    pub(crate) fn from_der(
        server_name: OwnedServerName,
        der: &[u8],
        version: &str,
    ) -> Result<Self, Ed25519KeyPairParseError> {
        Ok(Self { server_name, pair: Ed25519KeyPair::from_der(der, version.to_owned())? })
    }

    pub(crate) fn server_name(&self) -> &ServerName {
        &self.server_name
    }

    /// The key's ID.
    pub(crate) fn key_id(&self) -> String {
        format!("ed25519:{}", self.pair.version())
    }

    /// The public half, as unpadded base64.
    pub(crate) fn public(&self) -> String {
        Base64::<Standard, _>::new(self.pair.public_key()).encode()
    }

    /// Adds the server's signature to an object.
    pub(crate) fn sign(&self, object: &mut CanonicalJsonObject) -> Result<(), JsonError> {
        sign_json(self.server_name.as_str(), &self.pair, object)
    }

    pub(crate) fn pair(&self) -> &Ed25519KeyPair {
        &self.pair
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerKey")
            .field("server_name", &self.server_name)
            .field("version", &self.pair.version())
            .finish_non_exhaustive()
    }
}
