//! Settings about accounts.

use std::time::Duration;

use matrix_appservice::Secret;

use super::HomeserverBuilder;
use crate::homeserver::{SupportContact, Terms, TurnServer};

impl HomeserverBuilder {
    /// A token that lets somebody register, as often as they like. May be called several times; without any, nobody
    /// needs one ([token-authenticated registration]).
    ///
    /// [token-authenticated registration]: https://spec.matrix.org/v1.19/client-server-api/#token-authenticated-registration
    pub fn registration_token(mut self, token: &str) -> Self {
        self.adjust.registration_tokens.push(Secret::new(token));
        self
    }

    /// A document that has to be agreed to before somebody may register. May be called several times.
    pub fn terms(mut self, terms: Terms) -> Self {
        self.adjust.terms.push(terms);
        self
    }

    /// Whether anybody may come in as a guest
    /// ([guest access](https://spec.matrix.org/v1.19/client-server-api/#guest-access)). Default: no.
    pub fn guests(mut self, let_in: bool) -> Self {
        self.adjust.guests = let_in;
        self
    }

    /// How long access tokens last, of clients that can refresh them. Default: 5 minutes.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.adjust.access_token_lifetime = lifetime;
        self
    }

    /// Somebody to turn to about the server, told at `/.well-known/matrix/support`. May be called several times.
    pub fn support_contact(mut self, contact: SupportContact) -> Self {
        self.adjust.support.contacts.push(contact);
        self
    }

    /// A page with help about the server, told at `/.well-known/matrix/support`.
    pub fn support_page(mut self, url: impl Into<String>) -> Self {
        self.adjust.support.page = Some(url.into());
        self
    }

    /// The relay for calls. Default: none.
    pub fn turn_server(mut self, turn_server: TurnServer) -> Self {
        self.adjust.turn_server = Some(turn_server);
        self
    }

    /// Whether clients may name push gateways by `http` as well, for tests with a gateway of their own. Default: only by
    /// `https`, as the specification demands.
    pub fn plain_push_gateways(mut self, allowed: bool) -> Self {
        self.adjust.plain_push_gateways = allowed;
        self
    }

    /// The wait after the first notification that a push gateway did not take; every further failure doubles it, up to an
    /// hour. Default: 1 s.
    pub fn push_backoff(mut self, first: Duration) -> Self {
        self.adjust.push_backoff = first;
        self
    }

    /// Where another server is found, by its URL: the only servers whose keys this one asks for, vouches for and believes
    /// in. May be called several times.
    pub fn peer(mut self, server_name: impl Into<String>, url: impl Into<String>) -> Self {
        self.peers.push((server_name.into(), url.into()));
        self
    }

    /// An identity server that is trusted to say whose an address is, by the name that clients use and its URL. May be
    /// called several times; without any, nobody is invited by an address.
    pub fn identity_server(mut self, name: impl Into<String>, url: impl Into<String>) -> Self {
        self.adjust.identity_servers.insert(name.into(), url.into());
        self
    }
}
