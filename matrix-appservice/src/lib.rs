//! A framework for Matrix application services.

pub mod network_id;
pub mod registration;
pub mod transaction;

#[cfg(feature = "framework")]
pub mod appservice;
#[cfg(feature = "framework")]
pub mod bridge;
#[cfg(feature = "framework")]
pub mod client;
#[cfg(all(test, feature = "framework"))]
mod fake;
#[cfg(feature = "framework")]
mod inbox;
#[cfg(feature = "framework")]
pub mod intent;
#[cfg(feature = "framework")]
mod metrics;
#[cfg(feature = "framework")]
pub mod outbox;
#[cfg(feature = "framework")]
pub mod service;
#[cfg(feature = "framework")]
mod store;

pub use registration::{Namespace, NamespaceKind, NamespaceSet, Namespaces, Ownership, Registration, Secret};
pub use transaction::Transaction;

#[cfg(feature = "framework")]
pub use appservice::Appservice;
#[cfg(feature = "framework")]
pub use client::{Client, ClientError, Identity};
#[cfg(feature = "framework")]
pub use intent::{Intent, Intents};
#[cfg(feature = "framework")]
pub use metrics::Metrics;
#[cfg(feature = "framework")]
pub use service::{AppserviceHandler, EventContext, Outcome, QueryReply, RoomEvent};
#[cfg(feature = "framework")]
pub use store::{Store, StoreError};
