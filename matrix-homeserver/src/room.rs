//! Rooms: graphs of events, their state, and who is in them.
//!
//! A room is changed by one task at a time ([`write`]): it reads the head in memory, checks what is asked,
//! builds the event and stages one batch with everything that belongs to it. Nobody waits for the disk while
//! holding the room. What is committed is shown ([`live::Room::view`]), and readers ([`read`], [`timeline`])
//! never wait for writers.

use std::{collections::HashMap, fmt, sync::Arc};

use parking_lot::RwLock;
use ruma::{MilliSecondsSinceUnixEpoch, OwnedRoomId, RoomId, RoomVersionId, ServerName, UserId};

use crate::{
    event::ServerKey,
    store::{Store, StoreError},
};

mod aggregations;
mod check;
mod closed;
mod counts;
mod create;
mod error;
mod filter;
mod live;
mod load;
mod membership;
mod moves;
mod observer;
mod read;
mod relations;
mod request;
mod search;
mod state_tree;
mod stored;
#[cfg(test)]
pub(crate) mod tests;
mod threads;
mod timeline;
mod times;
mod txn;
mod unsigned;
mod user_rooms;
mod visibility;
mod wakers;
mod write;

pub(crate) use self::{
    check::{problems, problems_of_events},
    closed::ClosedRooms,
    counts::EventCounts,
    error::RoomError,
    filter::{
        EventFormat, FilterDefinition, RoomEventFilter, RoomFilter, lets_room_through, lets_through,
        lets_type_through,
    },
    live::{Room, RoomState, TimelineEntry},
    moves::Move,
    observer::{RoomObserver, Staged},
    read::MembersRequest,
    relations::RelationsRequest,
    request::{
        Append, CreateRoom, Direction, InitialState, JsonObject, MembershipAction, MembershipChange, Preset,
        TxnKey, Viewer,
    },
    search::{Match, Matches, SearchKey, SearchRequest, Words},
    state_tree::StateTree,
    stored::{Events, StoredEvent},
    threads::ThreadsRequest,
    timeline::PageRequest,
    txn::{Known, Transactions},
    user_rooms::{RoomsOfUser, UserRoom, UserRooms},
    visibility::{Access, UserPolicies, Visibility, membership_of},
    wakers::Wakers,
};

/// Where the time comes from.
pub(crate) type Clock = Arc<dyn Fn() -> MilliSecondsSinceUnixEpoch + Send + Sync>;

/// What the room service is told once.
pub(crate) struct RoomsConfig {
    pub(crate) key: ServerKey,
    /// The version of rooms whose creator names none.
    pub(crate) default_version: RoomVersionId,
    pub(crate) clock: Clock,
    pub(crate) policies: Arc<dyn UserPolicies>,
}

/// All rooms of the server. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Rooms {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    config: RoomsConfig,
    observer: Arc<dyn RoomObserver>,
    events: Arc<Events>,
    users: Arc<UserRooms>,
    transactions: Transactions,
    wakers: Arc<Wakers>,
    counts: EventCounts,
    closed: ClosedRooms,
    /// The rooms that were asked for.
    rooms: RwLock<HashMap<OwnedRoomId, Arc<Room>>>,
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms").field("loaded", &self.inner.rooms.read().len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for RoomsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomsConfig")
            .field("key", &self.key)
            .field("default_version", &self.default_version)
            .finish_non_exhaustive()
    }
}

impl Rooms {
    /// The rooms in a store.
    ///
    /// # Errors
    /// If the store cannot be read, or its rows do not agree with each other.
    pub(crate) fn new(
        store: Store,
        config: RoomsConfig,
        observer: Arc<dyn RoomObserver>,
    ) -> Result<Self, StoreError> {
        check::check(&store)?;
        let inner = Inner {
            config,
            observer,
            events: Arc::new(Events::new(store.clone())),
            users: Arc::new(UserRooms::new(store.clone())),
            transactions: Transactions::new(store.clone()),
            wakers: Arc::default(),
            counts: EventCounts::default(),
            closed: ClosedRooms::open(store.clone())?,
            rooms: RwLock::default(),
            store,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The room versions that this server makes and takes part in.
    pub(crate) fn supported_versions() -> Vec<RoomVersionId> {
        use RoomVersionId as V;
        vec![V::V1, V::V2, V::V3, V::V4, V::V5, V::V6, V::V7, V::V8, V::V9, V::V10, V::V11, V::V12]
    }

    /// The version of rooms whose creator names none.
    pub(crate) fn default_version(&self) -> &RoomVersionId {
        &self.inner.config.default_version
    }

    pub(crate) fn server_name(&self) -> &ServerName {
        self.inner.config.key.server_name()
    }

    pub(crate) fn key(&self) -> &ServerKey {
        &self.inner.config.key
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The events of all rooms.
    pub(crate) fn events(&self) -> &Events {
        &self.inner.events
    }

    /// Requests with a transaction ID, also those that have nothing to do with rooms.
    pub(crate) fn transactions(&self) -> &Transactions {
        &self.inner.transactions
    }

    /// Who waits for something to happen. Whatever `/sync` tells beside rooms wakes its readers here.
    pub(crate) fn wakers(&self) -> &Arc<Wakers> {
        &self.inner.wakers
    }

    /// The rooms that administrators have closed.
    pub(crate) fn closed(&self) -> &ClosedRooms {
        &self.inner.closed
    }

    /// How many events were accepted.
    pub(crate) fn counts(&self) -> &EventCounts {
        &self.inner.counts
    }

    /// How many rooms there are. Looks at all their keys.
    pub(crate) fn count(&self) -> usize {
        load::count(&self.inner.store)
    }

    /// Every room. Looks at all their keys.
    pub(crate) fn all(&self) -> Result<Vec<OwnedRoomId>, StoreError> {
        load::all(&self.inner.store)
    }

    /// The rooms that a user has or had to do with.
    pub(crate) fn of_user(&self, user_id: &UserId) -> Result<RoomsOfUser, StoreError> {
        self.inner.users.of(user_id)
    }

    /// A room, read from the store when it is first asked for.
    pub(crate) fn get(&self, room_id: &RoomId) -> Result<Option<Arc<Room>>, StoreError> {
        if let Some(room) = self.inner.rooms.read().get(room_id) {
            return Ok(Some(room.clone()));
        }
        let Some(room) = load::load(&self.inner.store, room_id)? else { return Ok(None) };
        // Another task may have been faster; the room is changed only through the one in the map.
        let mut rooms = self.inner.rooms.write();
        Ok(Some(rooms.entry(room_id.to_owned()).or_insert_with(|| Arc::new(room)).clone()))
    }

    fn now(&self) -> MilliSecondsSinceUnixEpoch {
        (self.inner.config.clock)()
    }
}
