//! A Matrix homeserver core.

#![allow(dead_code, unused_imports, reason = "the services come before the endpoints that use them")]

mod api;
mod appservice;
mod directory;
mod event;
mod homeserver;
mod room;
mod rules;
mod store;
mod sync;
pub mod testing;
mod user;

pub use self::{
    appservice::RegistrationRefused,
    homeserver::{Homeserver, HomeserverBuilder, HomeserverError, StartError},
};

/// Chooses the cryptography of TLS for the process, once. Another choice made before stays.
fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
