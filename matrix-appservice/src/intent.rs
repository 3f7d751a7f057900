//! Acting as one Matrix user: the verbs that a bridge needs every day.
//!
//! An [`Intent`] makes sure of what an action needs before it acts: that the user exists, that he has a device
//! to send with, that he has joined the room. What was ensured is stored, so that it costs no request the
//! next time, also after a restart. Where the homeserver contradicts, it is ensured anew and the
//! action tried once more.
//!
//! The verbs stand in a file per section of the [Client-Server API]; for all others there is [`Intent::request`].
//!
//! [Client-Server API]: https://spec.matrix.org/v1.19/client-server-api/

mod account;
mod ephemeral;
mod lock;
mod media;
mod membership;
mod profile;
mod room;
mod send;
mod state;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use ruma::{OwnedUserId, RoomId, ServerName, UserId};

pub use profile::Profile;
pub use room::CreateRoom;
#[cfg(test)]
pub(crate) use send::transaction_id;
pub use send::{Redacting, Sending};

use self::lock::KeyedLocks;
use crate::{
    client::{Client, ClientError, ClientRequest, Identity},
    registration::{NamespaceSet, Ownership},
    store::Store,
};

/// Makes [`Intent`]s. Cheap to clone.
#[derive(Clone)]
pub struct Intents {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    store: Store,
    bot: OwnedUserId,
    namespaces: NamespaceSet,
    locks: KeyedLocks,
    /// Set when the homeserver turned out not to let application services make devices.
    no_devices: AtomicBool,
}

impl Intents {
    /// Intents of an application service whose bot is `bot` and whose users lie in `namespaces`.
    pub fn new(client: Client, store: Store, bot: OwnedUserId, namespaces: NamespaceSet) -> Self {
        let (locks, no_devices) = (KeyedLocks::default(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { client, store, bot, namespaces, locks, no_devices }) }
    }

    /// The bot.
    pub fn bot(&self) -> Intent {
        self.of(&self.shared.bot)
    }

    /// A user of the application service.
    pub fn of(&self, user_id: &UserId) -> Intent {
        Intent { user_id: user_id.to_owned(), shared: Arc::clone(&self.shared) }
    }

    /// The user with this localpart.
    ///
    /// # Errors
    /// If no user can be called that.
    pub fn of_localpart(&self, localpart: &str) -> Result<Intent, ruma::IdParseError> {
        Ok(self.of(&UserId::parse_with_server_name(localpart, self.server_name())?))
    }

    /// The homeserver's name.
    pub fn server_name(&self) -> &ServerName {
        self.shared.bot.server_name()
    }

    /// The client underneath.
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// Whether a user is the bot or one that the application service asks for.
    pub fn owns(&self, user_id: &UserId) -> bool {
        self.shared.owns(user_id)
    }

    /// Notes that a user joined or is no longer in a room, as the homeserver says. Users of others
    /// are none of its business and ignored.
    pub fn member_changed(&self, room_id: &RoomId, user_id: &UserId, joined: bool) {
        if self.shared.owns(user_id) {
            self.of(user_id).remember_joined(room_id, joined);
        }
    }
}

impl Shared {
    fn owns(&self, user_id: &UserId) -> bool {
        user_id == self.bot
            || (user_id.server_name() == self.bot.server_name()
                && self.namespaces.user(user_id.as_str()) != Ownership::None)
    }
}

impl fmt::Debug for Intents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intents").field("bot", &self.shared.bot).finish_non_exhaustive()
    }
}

/// Acts as one Matrix user. Cheap to clone and to make; it holds no state of its own.
///
/// Cancel safety: dropping a future leaves open whether the homeserver got the request. Whatever was
/// given a key can be repeated.
#[derive(Clone)]
pub struct Intent {
    shared: Arc<Shared>,
    user_id: OwnedUserId,
}

impl Intent {
    /// The user.
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// Whether this is the bot.
    pub fn is_bot(&self) -> bool {
        self.user_id == self.shared.bot
    }

    /// Sends any request of ruma's client API as this user, who is registered first if need be.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn request<R: ClientRequest>(&self, request: R) -> Result<R::IncomingResponse, ClientError> {
        let identity = self.ensure_identity().await?;
        match self.shared.client.send(request.clone(), &identity).await {
            Err(error) if is_unknown_device(&error) => {
                let identity = self.renew_identity().await?;
                self.shared.client.send(request, &identity).await
            }
            result => result,
        }
    }

    /// Sends a request about a room as this user, who joins it first if need be. If the homeserver forbids it,
    /// membership is ensured anew and the request is tried once more.
    ///
    /// # Errors
    /// What the homeserver answered, or why there was no answer.
    pub async fn request_in<R: ClientRequest>(
        &self,
        room_id: &RoomId,
        request: R,
    ) -> Result<R::IncomingResponse, ClientError> {
        self.in_room(room_id, request, |identity| identity).await
    }

    /// As [`request_in`](Self::request_in), with something added to the identity.
    async fn in_room<R: ClientRequest>(
        &self,
        room_id: &RoomId,
        request: R,
        adjust: impl Fn(Identity) -> Identity,
    ) -> Result<R::IncomingResponse, ClientError> {
        self.ensure_joined(room_id).await?;
        let identity = adjust(self.ensure_identity().await?);
        let error = match self.shared.client.send(request.clone(), &identity).await {
            Err(error) if error.is("M_FORBIDDEN") || is_unknown_device(&error) => error,
            result => return result,
        };
        tracing::debug!(user_id = %self.user_id, %room_id, %error, "making sure of the membership again");
        let identity = adjust(self.renew_identity().await?);
        self.forget_joined(room_id);
        // If the membership cannot be had, why the homeserver forbade it is the better answer.
        if self.ensure_joined(room_id).await.is_err() {
            return Err(error);
        }
        self.shared.client.send(request, &identity).await
    }
}

/// Homeservers name this error differently, because it was part of a proposal for long.
fn is_unknown_device(error: &ClientError) -> bool {
    error.errcode().is_some_and(|errcode| errcode.ends_with("UNKNOWN_DEVICE"))
}

impl fmt::Debug for Intent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intent").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}
