//! The settings, with what holds where nothing is said.

use std::{collections::BTreeMap, time::Duration};

use matrix_appservice::Secret;
use ruma::{OwnedServerName, RoomVersionId};

use super::{Support, Terms, TurnServer};
use crate::login_stage::LoginConfig;

/// What an operator or a test chooses.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) server_name: OwnedServerName,
    pub(crate) default_room_version: RoomVersionId,
    /// Anybody may register, by the dummy stage.
    pub(crate) open_registration: bool,
    /// The ways to log in and to register.
    pub(crate) login: LoginConfig,
    /// Whoever knows it may register anybody.
    pub(crate) registration_shared_secret: Option<Secret>,
    /// Tokens of which one is needed to register, if there are any.
    pub(crate) registration_tokens: Vec<Secret>,
    /// What has to be agreed to for a registration.
    pub(crate) terms: Vec<Terms>,
    /// Anybody may come in as a guest.
    pub(crate) guests: bool,
    /// How long access tokens are good that can be refreshed.
    pub(crate) access_token_lifetime: Duration,
    /// Whom to turn to.
    pub(crate) support: Support,
    pub(crate) turn_server: Option<TurnServer>,
    /// Where other servers are found.
    pub(crate) peers: BTreeMap<OwnedServerName, String>,
    /// The identity servers that are trusted, and where they are.
    pub(crate) identity_servers: BTreeMap<String, String>,
    /// Pushers may name gateways by `http`.
    pub(crate) plain_push_gateways: bool,
    /// The wait after the first notification that a push gateway did not take.
    pub(crate) push_backoff: Duration,
    pub(crate) rate_limits: bool,
    /// Serve what only the drafts of 2014 and 2015 know.
    pub(crate) drafts: bool,
    /// Make users and rooms from the answers of application services to queries, as a draft has it.
    pub(crate) draft_provisioning: bool,
    /// Serve the draft of a client-server API v2.
    pub(crate) v2_draft: bool,
    /// How long a session of that draft lasts without a request.
    pub(crate) v2_session_timeout: Duration,
    /// Tokens with which an application service may register itself by the draft's `POST /register`; any, if empty.
    pub(crate) draft_tokens: Vec<Secret>,
    /// Serve the fault dial over HTTP, at `/_fault`.
    pub(crate) fault_control: bool,
    /// Serve what the server counts, at `/metrics`.
    pub(crate) metrics: bool,
    /// The largest JSON body, in bytes.
    pub(crate) max_request_size: usize,
    /// The largest upload, in bytes.
    pub(crate) max_upload_size: usize,
    /// The wait after the first failed transaction; every further failure doubles it.
    pub(crate) appservice_backoff: Duration,
    /// How long an application service may take to answer one query.
    pub(crate) appservice_query_timeout: Duration,
    /// How long after the last sign of them users count as offline.
    pub(crate) presence_timeout: Duration,
    /// How long the drafts' paths are used, where an application service served nothing else, before today's are tried
    /// again.
    pub(crate) appservice_legacy_retry: Duration,
}

impl Config {
    pub(crate) fn new(server_name: OwnedServerName) -> Self {
        Self {
            server_name,
            default_room_version: RoomVersionId::V12,
            open_registration: false,
            login: LoginConfig::default(),
            registration_shared_secret: None,
            registration_tokens: Vec::new(),
            terms: Vec::new(),
            guests: false,
            access_token_lifetime: Duration::from_mins(5),
            support: Support::default(),
            turn_server: None,
            peers: BTreeMap::new(),
            identity_servers: BTreeMap::new(),
            plain_push_gateways: false,
            push_backoff: Duration::from_secs(1),
            rate_limits: false,
            drafts: false,
            draft_provisioning: false,
            v2_draft: false,
            v2_session_timeout: Duration::from_mins(1),
            draft_tokens: Vec::new(),
            fault_control: false,
            metrics: false,
            max_request_size: 1 << 20,
            max_upload_size: 50 << 20,
            appservice_backoff: Duration::from_secs(1),
            appservice_query_timeout: Duration::from_secs(20),
            presence_timeout: Duration::from_secs(30),
            appservice_legacy_retry: Duration::from_mins(5),
        }
    }
}
