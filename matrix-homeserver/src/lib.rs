//! A Matrix homeserver core: rooms, users, sync and application services in one process, up in milliseconds.
//!
//! [`Homeserver::builder`] starts one inside a test; the program `matrix-homeserver` is the same for tests in any language.
//! Everything is spoken over HTTP, as [`testing::TestUser`] does.

mod api;
mod appservice;
pub mod data;
mod directory;
mod event;
pub mod fault;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod glob;
#[cfg(any(test, feature = "histories"))]
pub mod histories;
mod homeserver;
mod identity_server;
mod login_stage;
pub mod mail;
mod media;
mod notary;
pub mod oauth2;
mod outgoing;
mod push;
mod room;
mod rules;
mod store;
mod sync;
pub mod testing;
mod user;
mod v2;

pub use self::{
    appservice::RegistrationRefused,
    homeserver::{
        Homeserver, HomeserverBuilder, HomeserverError, StartError, SupportContact, Terms, TurnServer,
    },
    login_stage::{LoginFlow, LoginFlowError, LoginSettings, LoginSettingsError, LoginStage, SmtpSettings},
    user::Report,
};

/// Chooses the cryptography of TLS for the process, once. Another choice made before stays.
fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The examples of the guide are compiled and run as tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../docs/testing-with-the-homeserver.md")]
struct Guide;
