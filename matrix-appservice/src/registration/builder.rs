//! Making a registration instead of reading one.

use serde_json::Map;

use super::{Namespace, Namespaces, Registration, Secret};

/// Builds a [`Registration`], with random tokens unless others are given.
#[derive(Debug, Clone)]
#[must_use]
pub struct RegistrationBuilder(Registration);

impl RegistrationBuilder {
    pub(super) fn new(id: String) -> Self {
        Self(Registration {
            sender_localpart: format!("{id}bot"),
            id,
            url: None,
            as_token: Secret::generate(),
            hs_token: Secret::generate(),
            namespaces: Namespaces::default(),
            rate_limited: Some(false),
            protocols: Vec::new(),
            receive_ephemeral: false,
            device_management: false,
            extra: Map::new(),
        })
    }

    /// Where the homeserver reaches the application service. Without it, it gets no traffic.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.0.url = Some(url.into());
        self
    }

    /// The localpart of the bot. `<id>bot` if not given.
    pub fn sender_localpart(mut self, localpart: impl Into<String>) -> Self {
        self.0.sender_localpart = localpart.into();
        self
    }

    /// Fixed tokens in place of the random ones.
    pub fn tokens(mut self, as_token: impl Into<Secret>, hs_token: impl Into<Secret>) -> Self {
        (self.0.as_token, self.0.hs_token) = (as_token.into(), hs_token.into());
        self
    }

    /// Adds a pattern of user IDs.
    pub fn users(mut self, namespace: Namespace) -> Self {
        self.0.namespaces.users.push(namespace);
        self
    }

    /// Adds a pattern of room aliases.
    pub fn aliases(mut self, namespace: Namespace) -> Self {
        self.0.namespaces.aliases.push(namespace);
        self
    }

    /// Adds a pattern of room IDs.
    pub fn rooms(mut self, namespace: Namespace) -> Self {
        self.0.namespaces.rooms.push(namespace);
        self
    }

    /// Adds a third-party protocol that it answers look-ups for.
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.0.protocols.push(protocol.into());
        self
    }

    /// Whether the homeserver limits its users' requests. `false` if not given.
    pub fn rate_limited(mut self, limited: bool) -> Self {
        self.0.rate_limited = Some(limited);
        self
    }

    /// Asks for typing, receipts and presence, under the stable and the unstable key.
    pub fn receive_ephemeral(mut self) -> Self {
        self.0.receive_ephemeral = true;
        self.0.extra.insert("de.sorunome.msc2409.push_ephemeral".into(), true.into());
        self
    }

    /// Asks to make devices for its users, so that repeated sends stay one event across the homeserver's
    /// restarts.
    pub fn device_management(mut self) -> Self {
        self.0.device_management = true;
        self
    }

    /// The registration.
    #[must_use]
    pub fn build(self) -> Registration {
        self.0
    }
}
