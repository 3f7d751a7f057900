//! A framework for Matrix application services.

pub mod network_id;
pub mod registration;

#[cfg(feature = "framework")]
pub mod bridge;

pub use registration::{Namespace, NamespaceKind, NamespaceSet, Namespaces, Ownership, Registration, Secret};
