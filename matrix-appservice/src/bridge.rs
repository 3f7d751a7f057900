//! The high layer: a bridge in three traits at most.
//!
//! Somebody who writes a bridge implements [`Network`] (the network as a whole: it describes itself and
//! opens logins) and [`Login`] (one account or connection on it). Everything else is the framework's:
//! rooms, ghosts, the message map, deduplication, order, retries and the promise that nothing is lost
//! or sent twice when the process dies.
//!
//! What the network sees it hands to its [`RemoteSink`] as a [`RemoteEvent`], which is plain data and
//! is journalled before [`RemoteSink::push`] completes. What Matrix users do arrives at
//! [`Login::send`] and [`Login::apply`], one at a time and in order for each portal.

mod builder;
mod command;
mod context;
mod convert;
mod core;
mod erased;
mod escape;
mod ghost;
mod handler;
mod info;
mod journal;
mod keyed;
mod login;
mod login_set;
mod matrix;
mod metrics;
mod network;
mod portal;
mod remote;
mod sink;

pub use builder::{Bridge, BridgeBuilder, BridgeError};
pub use command::{Command, CommandCall, CommandReply};
pub use context::BridgeContext;
pub use info::{ChatInfo, ChatKind, JoinPolicy, RoomFeatures, UserInfo};
pub use login::{Certainty, Login, LoginState, Resolution, SendError, Sent, UncertainSend};
pub use matrix::{MatrixChange, MatrixChangeKind, MemberAction, MessageRef, OutgoingMessage, Sender};
pub use network::{LoginRecord, Network, NetworkError, NetworkInfo, PrivateChat};
pub use remote::{BackfillMessage, MemberChange, MembershipState, Part, RemoteEvent, RemoteEventKind};
pub use sink::{Journalled, RemoteSink, SinkError};

pub use crate::network_id::{
    LoginId, NetworkId, PartId, PortalId, PortalKey, RemoteMessageId, RemoteUserId, TxnKey,
};

/// What the author of a bridge needs from the first line on: `use matrix_appservice::bridge::prelude::*`.
pub mod prelude {
    pub use super::{
        Bridge, BridgeContext, ChatInfo, Login, LoginRecord, MatrixChange, MemberChange, Network,
        NetworkError, NetworkInfo, OutgoingMessage, Part, PortalKey, RemoteEvent, RemoteEventKind,
        RemoteSink, RemoteUserId, RoomFeatures, SendError, Sent, UserInfo,
    };
}
