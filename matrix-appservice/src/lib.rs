//! A framework for Matrix application services.

pub mod network_id;
pub mod registration;

#[cfg(feature = "framework")]
pub mod bridge;
#[cfg(feature = "framework")]
mod store;

pub use registration::{Namespace, NamespaceKind, NamespaceSet, Namespaces, Ownership, Registration, Secret};
#[cfg(feature = "framework")]
pub use store::{Store, StoreError};
