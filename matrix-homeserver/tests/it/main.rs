//! The homeserver over the wire, section by section.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod accounts;
mod addresses;
mod admin;
mod aggregations;
mod appservice_devices;
mod appservices;
mod bad_input;
mod directory;
mod draft_provisioning;
mod drafts;
mod fake_appservice;
mod faults;
mod filters;
mod guests;
mod history;
mod joining;
mod keys;
mod legacy;
mod legacy_login;
mod legacy_presence;
mod legacy_stream;
mod media;
mod oauth2;
mod operation;
mod people;
mod profiles;
mod program;
mod push;
mod push_gateway;
mod reports;
mod robustness;
mod room_list;
mod rooms;
mod search;
mod server_keys;
mod sessions;
mod spaces;
mod support;
mod sync;
mod third_party_invites;
mod threads;
mod uia;
mod upgrades;
mod v2_draft;
