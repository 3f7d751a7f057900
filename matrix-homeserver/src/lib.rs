//! A Matrix homeserver core.

#[allow(dead_code, unused_imports, reason = "the server is built on it")]
mod store;
pub mod testing;

/// Chooses the cryptography of TLS for the process, once. Another choice made before stays.
fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
