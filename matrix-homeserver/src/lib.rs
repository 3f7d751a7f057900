//! A Matrix homeserver core.
