//! What the homeserver supports, and which path of an endpoint follows from it.

use std::{borrow::Cow, collections::BTreeMap};

use bytes::Bytes;
use http::{HeaderMap, Method};
use ruma::api::{
    MatrixVersion, SupportedVersions,
    path_builder::{PathBuilder, SinglePath, VersionHistory},
};
use serde::Deserialize;

use super::{Client, ClientError};

/// How the path of an endpoint is chosen. Implemented for all that ruma's requests use.
pub trait SupportedPath: PathBuilder {
    /// Whether the choice depends on the homeserver.
    const NEEDS_VERSIONS: bool;

    /// What the choice depends on.
    fn input(versions: &SupportedVersions) -> Self::Input<'_>;
}

impl SupportedPath for VersionHistory {
    const NEEDS_VERSIONS: bool = true;

    fn input(versions: &SupportedVersions) -> Self::Input<'_> {
        Cow::Borrowed(versions)
    }
}

impl SupportedPath for SinglePath {
    const NEEDS_VERSIONS: bool = false;

    fn input(_: &SupportedVersions) -> Self::Input<'_> {}
}

/// What is taken for granted where the homeserver says nothing that can be understood.
pub(super) fn assumed() -> SupportedVersions {
    SupportedVersions { versions: [MatrixVersion::V1_1].into(), features: [].into() }
}

#[derive(Deserialize)]
struct Versions {
    versions: Vec<String>,
    #[serde(default)]
    unstable_features: BTreeMap<String, bool>,
}

/// Asks the homeserver ([`GET /versions`]).
///
/// [`GET /versions`]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientversions
pub(super) async fn discover(client: &Client) -> Result<SupportedVersions, ClientError> {
    let url = format!("{}/_matrix/client/versions", client.homeserver());
    let answer = match client.exchange(Method::GET, &url, &HeaderMap::new(), Bytes::new()).await {
        Ok(answer) => answer,
        Err(error) if error.is_retryable() => return Err(error),
        Err(error) => {
            tracing::warn!(%error, "the homeserver does not say what it supports; assuming v1.1");
            return Ok(assumed());
        }
    };
    let supported = serde_json::from_slice::<Versions>(&answer.body)
        .map(|said| SupportedVersions::from_parts(&said.versions, &said.unstable_features))
        .ok()
        .filter(|supported| !supported.versions.is_empty());
    Ok(supported.unwrap_or_else(|| {
        tracing::warn!("the homeserver names no version that is known; assuming v1.1");
        assumed()
    }))
}
