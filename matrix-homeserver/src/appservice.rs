//! Application services: who they are, what they own, what they are told
//! ([application service API](https://spec.matrix.org/v1.19/application-service-api/)).
//!
//! Events enter the queue of an application service in the same batch that stores them. One task per application
//! service takes them out, in order, in transactions that never change once they were sent.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use matrix_appservice::{NamespaceSet, Ownership, Registration};
use parking_lot::RwLock;
use ruma::{OwnedServerName, OwnedUserId, RoomAliasId, RoomId, ServerName, UserId};

use crate::{fault::FaultDial, outgoing::LazyClient, store::StoreError, user::TokenHash};

mod claim;
mod devices;
mod drafted;
mod interest;
mod link;
mod metrics;
mod observer;
mod ping;
mod query;
mod queue;
mod sender;
mod thirdparty;
mod uri;

pub(crate) use self::{
    devices::{AppserviceDevices, Sources},
    link::{Link, LinkError},
    metrics::DeliveryMetrics,
    observer::{AppserviceObserver, NamedRoom},
    ping::PingError,
    query::{Found, Queries, QueryFailed},
    queue::Queues,
    thirdparty::Lookup,
    uri::{Link as ForeignLink, Wanted},
};
use self::{interest::Interest, metrics::Delivery, sender::Outgoing, thirdparty::ProtocolCache};

/// Why an application service cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationRefused {
    /// Two registrations have one ID.
    #[error("two application services have the id {0:?}")]
    DuplicateId(String),
    /// Two registrations have one token.
    #[error("the application service {0:?} has the as_token of another one")]
    DuplicateToken(String),
    /// The sender's localpart does not make a user ID on this server.
    #[error("the application service {0:?} has a sender_localpart that cannot be a user on this server")]
    Sender(String),
    /// A namespace is not a regular expression.
    #[error("the application service {0:?} has a namespace that is not a regular expression")]
    Namespace(String),
}

/// One application service.
pub(crate) struct Appservice {
    registration: Registration,
    namespaces: NamespaceSet,
    sender: OwnedUserId,
    link: Option<Link>,
    interest: Interest,
    outgoing: Outgoing,
    delivery: Delivery,
}

impl fmt::Debug for Appservice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appservice").field("id", &self.registration.id).finish_non_exhaustive()
    }
}

impl Appservice {
    fn new(registration: Registration, all: &Appservices) -> Result<Self, RegistrationRefused> {
        let id = || registration.id.clone();
        let sender = UserId::parse(format!("@{}:{}", registration.sender_localpart, all.server_name))
            .map_err(|_| RegistrationRefused::Sender(id()))?;
        let namespaces =
            NamespaceSet::new(&registration.namespaces).map_err(|_| RegistrationRefused::Namespace(id()))?;
        let link =
            registration.url.as_deref().filter(|url| !url.is_empty()).map(|url| {
                Link::new(all.http.clone(), url, &registration, all.legacy_for, all.faults.clone())
            });
        Ok(Self {
            delivery: all.metrics.of(&registration.id),
            namespaces,
            sender,
            link,
            registration,
            interest: Interest::default(),
            outgoing: Outgoing::default(),
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.registration.id
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// The user that the application service is when it does not say otherwise.
    pub(crate) fn sender(&self) -> &UserId {
        &self.sender
    }

    /// The way to it; `None` if it wants no traffic.
    pub(crate) fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    pub(crate) fn is_rate_limited(&self) -> bool {
        self.registration.rate_limited.unwrap_or(true)
    }

    /// Whether the user is its sender or in one of its namespaces.
    pub(crate) fn may_act_as(&self, user_id: &UserId) -> bool {
        user_id == self.sender || self.namespaces.user(user_id.as_str()) != Ownership::None
    }

    pub(crate) fn may_own_alias(&self, alias: &RoomAliasId) -> bool {
        self.namespaces.alias(alias.as_str()) != Ownership::None
    }

    fn owns_user(&self, user_id: &UserId) -> bool {
        user_id == self.sender || self.namespaces.user(user_id.as_str()) == Ownership::Exclusive
    }
}

/// All application services of the server.
#[derive(Debug)]
pub(crate) struct Appservices {
    server_name: OwnedServerName,
    http: LazyClient,
    registered: RwLock<Registered>,
    queries: Queries,
    faults: FaultDial,
    legacy_for: Duration,
    pub(crate) metrics: DeliveryMetrics,
    protocols: ProtocolCache,
    pub(crate) queues: Queues,
}

#[derive(Debug, Default)]
struct Registered {
    all: Vec<Arc<Appservice>>,
    by_token: HashMap<TokenHash, Arc<Appservice>>,
}

impl Appservices {
    /// `legacy_for` is how long the drafts' paths are used before today's are tried again.
    pub(crate) fn new(
        server_name: &ServerName,
        queues: Queues,
        queries: Queries,
        legacy_for: Duration,
        faults: FaultDial,
    ) -> Self {
        Self {
            server_name: server_name.to_owned(),
            http: LazyClient::new(link::http_client),
            registered: RwLock::default(),
            queries,
            legacy_for,
            metrics: DeliveryMetrics::default(),
            protocols: ProtocolCache::default(),
            faults,
            queues,
        }
    }

    /// Adds an application service.
    pub(crate) fn add(
        &self,
        registration: Registration,
        token: TokenHash,
    ) -> Result<Arc<Appservice>, RegistrationRefused> {
        let appservice = Arc::new(Appservice::new(registration, self)?);
        let mut registered = self.registered.write();
        let id = appservice.id();
        if registered.all.iter().any(|other| other.id() == id) {
            return Err(RegistrationRefused::DuplicateId(id.to_owned()));
        }
        if registered.by_token.contains_key(&token) {
            return Err(RegistrationRefused::DuplicateToken(id.to_owned()));
        }
        registered.all.push(appservice.clone());
        registered.by_token.insert(token, appservice.clone());
        self.protocols.clear();
        Ok(appservice)
    }

    /// Forgets an application service. Its task ends by itself.
    pub(crate) fn remove(&self, token: &TokenHash) -> Option<Arc<Appservice>> {
        let mut registered = self.registered.write();
        let removed = registered.by_token.remove(token)?;
        registered.all.retain(|other| !Arc::ptr_eq(other, &removed));
        removed.outgoing.close();
        self.protocols.clear();
        Some(removed)
    }

    /// The application service with this token.
    pub(crate) fn by_token(&self, token: &TokenHash) -> Option<Arc<Appservice>> {
        self.registered.read().by_token.get(token).cloned()
    }

    /// The event that waits longest for an application service, by its number.
    pub(crate) fn oldest_waiting(&self, appservice: &Appservice) -> Result<Option<u64>, StoreError> {
        self.queues.oldest(appservice.id())
    }

    pub(crate) fn all(&self) -> Vec<Arc<Appservice>> {
        self.registered.read().all.clone()
    }

    /// Whether somebody else than `claimant` owns the user exclusively.
    pub(crate) fn user_is_taken(&self, user_id: &UserId, claimant: Option<&Appservice>) -> bool {
        self.taken(claimant, |appservice| appservice.owns_user(user_id))
    }

    /// Whether somebody else than `claimant` owns the alias exclusively.
    pub(crate) fn alias_is_taken(&self, alias: &RoomAliasId, claimant: Option<&Appservice>) -> bool {
        self.taken(claimant, |appservice| appservice.namespaces.alias(alias.as_str()) == Ownership::Exclusive)
    }

    /// Whether somebody else than `claimant` owns the room exclusively.
    pub(crate) fn room_is_taken(&self, room_id: &RoomId, claimant: Option<&Appservice>) -> bool {
        self.taken(claimant, |appservice| {
            appservice.namespaces.room(room_id.as_str()) == Ownership::Exclusive
        })
    }

    fn taken(&self, claimant: Option<&Appservice>, owns: impl Fn(&Appservice) -> bool) -> bool {
        let registered = self.registered.read();
        registered
            .all
            .iter()
            .any(|other| claimant.is_none_or(|claimant| claimant.id() != other.id()) && owns(other))
    }
}
