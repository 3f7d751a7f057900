//! Whom we trust.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;

use super::Path;

/// Why TLS cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up: {0}")]
pub struct TlsError(String);

/// How to speak TLS: trusting what the system trusts, and the certificates of a file in PEM besides.
///
/// `any` trusts everybody, which is for tests only.
///
/// # Errors
///
/// When the file cannot be read, or the system has no certificates.
pub fn client_config(ca: Option<&Path>, any: bool) -> Result<Arc<ClientConfig>, TlsError> {
    client_config_as(ca, any, None)
}

/// The same, showing a certificate of our own: a file in PEM with the certificate and its key. It is what
/// [`Credentials::Certificate`](crate::irc::sasl::Credentials::Certificate) logs in with.
///
/// # Errors
///
/// When a file cannot be read or makes no sense, or the system has no certificates.
pub fn client_config_as(
    ca: Option<&Path>,
    any: bool,
    own: Option<&Path>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let problem = |error: &dyn std::fmt::Display| TlsError(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if any {
        Arc::new(TrustAnybody(Arc::clone(&provider)))
    } else {
        let extra: Vec<CertificateDer<'static>> = match ca {
            Some(file) => CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect)
                .map_err(|error| problem(&format!("{}: {error}", file.display())))?,
            None => Vec::new(),
        };
        let verifier =
            Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(|error| problem(&error))?;
        Arc::new(verifier)
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| problem(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match own {
        None => config.with_no_client_auth(),
        Some(file) => {
            let unreadable = |error| problem(&format!("{}: {error}", file.display()));
            let chain =
                CertificateDer::pem_file_iter(file).and_then(Iterator::collect).map_err(unreadable)?;
            let key = PrivateKeyDer::from_pem_file(file).map_err(unreadable)?;
            config.with_client_auth_cert(chain, key).map_err(|error| problem(&error))?
        }
    };
    Ok(Arc::new(config))
}

/// Trusts any certificate. For tests only.
#[derive(Debug)]
struct TrustAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
