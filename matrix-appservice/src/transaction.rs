//! A transaction as homeservers push it: the wire envelope and its digest. Pure.
//!
//! [Specification](https://spec.matrix.org/v1.19/application-service-api/#put_matrixappv1transactionstxnid). The
//! parts that are not stable yet are read under all names in use; where a server sends several, the
//! stable one counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

#[cfg(test)]
mod tests;

/// What a homeserver pushes at once.
///
/// Events stay unparsed, so that one that is broken cannot spoil the others.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Transaction {
    /// Room events, in the order of the homeserver's stream. Missing in a transaction that has none.
    pub events: Vec<Box<RawValue>>,
    /// Typing notices, receipts and presence (v1.13; before that `de.sorunome.msc2409.ephemeral`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ephemeral: Vec<Box<RawValue>>,
    /// Messages to devices (MSC4203, before that `de.sorunome.msc2409.to_device`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub to_device: Vec<Box<RawValue>>,
    /// Whose device lists changed (MSC3202).
    #[serde(skip_serializing_if = "DeviceLists::is_empty")]
    pub device_lists: DeviceLists,
    /// How many one-time keys are left: by user, device and algorithm (MSC3202).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub device_one_time_keys_count: ByDevice<BTreeMap<String, u64>>,
    /// The algorithms with an unused fallback key: by user and device (MSC3202).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub device_unused_fallback_key_types: ByDevice<Vec<String>>,
}

/// Something for each device of each user, by their identifiers.
pub type ByDevice<T> = BTreeMap<String, BTreeMap<String, T>>;

/// Whose device lists changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceLists {
    /// Users whose devices or keys changed.
    pub changed: Vec<String>,
    /// Users who no longer share an encrypted room.
    pub left: Vec<String>,
}

impl DeviceLists {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }
}

impl Transaction {
    /// Reads the body of `PUT /transactions/{txnId}`.
    ///
    /// # Errors
    /// If it is no JSON, or JSON of another shape; see [`TransactionError`].
    pub fn from_slice(body: &[u8]) -> Result<Self, TransactionError> {
        let envelope = Envelope::from_slice(body)?;
        let own = |list: Vec<&RawValue>| list.into_iter().map(ToOwned::to_owned).collect();
        Ok(Self {
            events: own(envelope.events),
            ephemeral: own(envelope.ephemeral),
            to_device: own(envelope.to_device),
            device_lists: envelope.device_lists,
            device_one_time_keys_count: envelope.device_one_time_keys_count,
            device_unused_fallback_key_types: envelope.device_unused_fallback_key_types,
        })
    }
}

/// A [`Transaction`] that borrows its events from the body.
#[derive(Debug, Default)]
pub struct Envelope<'a> {
    /// See [`Transaction::events`].
    pub events: Vec<&'a RawValue>,
    /// See [`Transaction::ephemeral`].
    pub ephemeral: Vec<&'a RawValue>,
    /// See [`Transaction::to_device`].
    pub to_device: Vec<&'a RawValue>,
    /// See [`Transaction::device_lists`].
    pub device_lists: DeviceLists,
    /// See [`Transaction::device_one_time_keys_count`].
    pub device_one_time_keys_count: ByDevice<BTreeMap<String, u64>>,
    /// See [`Transaction::device_unused_fallback_key_types`].
    pub device_unused_fallback_key_types: ByDevice<Vec<String>>,
}

impl<'a> Envelope<'a> {
    /// Reads the body without copying an event.
    ///
    /// # Errors
    /// If it is no JSON, or JSON of another shape.
    pub fn from_slice(body: &'a [u8]) -> Result<Self, TransactionError> {
        // A list would be read as the fields in their order.
        let is_list = body.trim_ascii_start().starts_with(b"[");
        let read = if is_list {
            serde_json::from_slice::<serde::de::IgnoredAny>(body)
                .and_then(|_| Err(<serde_json::Error as serde::de::Error>::custom("a list, not an object")))
        } else {
            serde_json::from_slice::<Wire<'a>>(body).map(Self::from)
        };
        read.map_err(|error| {
            if error.is_data() { TransactionError::Shape(error) } else { TransactionError::Json(error) }
        })
    }
}

/// Why a body is no transaction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// It is no JSON (`M_NOT_JSON`).
    #[error("the body is not JSON")]
    Json(#[source] serde_json::Error),
    /// It is JSON of another shape (`M_BAD_JSON`).
    #[error("the body is not a transaction")]
    Shape(#[source] serde_json::Error),
}

/// The envelope with every name that a part has or had.
#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
struct Wire<'a> {
    events: Option<Vec<&'a RawValue>>,
    ephemeral: Option<Vec<&'a RawValue>>,
    #[serde(rename = "de.sorunome.msc2409.ephemeral")]
    unstable_ephemeral: Option<Vec<&'a RawValue>>,
    to_device: Option<Vec<&'a RawValue>>,
    #[serde(rename = "de.sorunome.msc2409.to_device")]
    unstable_to_device: Option<Vec<&'a RawValue>>,
    device_lists: Option<DeviceLists>,
    #[serde(rename = "org.matrix.msc3202.device_lists")]
    unstable_device_lists: Option<DeviceLists>,
    device_one_time_keys_count: Option<ByDevice<BTreeMap<String, u64>>>,
    #[serde(
        rename = "org.matrix.msc3202.device_one_time_keys_count",
        alias = "org.matrix.msc3202.device_one_time_key_counts"
    )]
    unstable_one_time_keys: Option<ByDevice<BTreeMap<String, u64>>>,
    device_unused_fallback_key_types: Option<ByDevice<Vec<String>>>,
    #[serde(rename = "org.matrix.msc3202.device_unused_fallback_key_types")]
    unstable_fallback_keys: Option<ByDevice<Vec<String>>>,
}

impl<'a> From<Wire<'a>> for Envelope<'a> {
    fn from(wire: Wire<'a>) -> Self {
        Self {
            events: wire.events.unwrap_or_default(),
            ephemeral: wire.ephemeral.or(wire.unstable_ephemeral).unwrap_or_default(),
            to_device: wire.to_device.or(wire.unstable_to_device).unwrap_or_default(),
            device_lists: wire.device_lists.or(wire.unstable_device_lists).unwrap_or_default(),
            device_one_time_keys_count: wire
                .device_one_time_keys_count
                .or(wire.unstable_one_time_keys)
                .unwrap_or_default(),
            device_unused_fallback_key_types: wire
                .device_unused_fallback_key_types
                .or(wire.unstable_fallback_keys)
                .unwrap_or_default(),
        }
    }
}

/// What a body is recognised by when a homeserver repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionDigest([u8; 32]);

impl TransactionDigest {
    /// The digest of a body: SHA-256 of its bytes, because a repeated transaction is not altered.
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }

    /// The bytes, to be stored.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for TransactionDigest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}
