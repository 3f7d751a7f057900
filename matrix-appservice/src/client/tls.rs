//! TLS by rustls with ring, chosen here and not by whoever installed a default first.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use super::ClientError;

/// The configuration. The system's root certificates are only loaded where they are needed.
pub(super) fn config(secure: bool) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| ClientError::invalid("TLS cannot be set up"))?;
    let builder = if secure {
        builder
            .with_platform_verifier()
            .map_err(|_| ClientError::invalid("the system has no usable root certificates"))?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}
