//! What only the draft of a client-server API v2 (2015) has to remember: sessions of clients, and sets of capabilities.

use crate::store::Store;

mod capabilities;
mod session;

pub(crate) use self::{
    capabilities::{CapabilitySets, hash_of, union},
    session::{Reason, Session, Sessions, Turn},
};

/// What the draft's API keeps between requests.
#[derive(Debug)]
pub(crate) struct V2 {
    pub(crate) sessions: Sessions,
    pub(crate) capabilities: CapabilitySets,
}

impl V2 {
    pub(crate) fn new(store: Store, session_timeout: std::time::Duration) -> Self {
        Self { sessions: Sessions::new(session_timeout), capabilities: CapabilitySets::new(store) }
    }
}
