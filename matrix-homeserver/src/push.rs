//! Push notifications: what happens is told to the gateways that clients named ([push gateway API]).
//!
//! Every pusher has a task of its own, which goes through the stream from where its gateway has heard of everything. That
//! point is kept, so that a restart repeats at most the notification that was under way. A gateway that cannot be reached
//! holds up nobody else.
//!
//! [push gateway API]: https://spec.matrix.org/v1.19/push-gateway-api/

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use ruma::{OwnedUserId, RoomId, UserId, events::room::member::MembershipState};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    room::{RoomObserver, Rooms, Staged},
    store::{Position, StoreError, WriteSet},
    user::{Pusher, PusherId, UnreadCounter, Users},
};

mod gateway;
mod notification;
mod worker;

use self::gateway::Gateway;

/// By which the tasks of users' pushers are woken.
#[derive(Debug, Default)]
pub(crate) struct Bells(RwLock<HashMap<OwnedUserId, Vec<Arc<Notify>>>>);

impl Bells {
    fn add(&self, user_id: &UserId) -> Arc<Notify> {
        let bell = Arc::new(Notify::new());
        self.0.write().entry(user_id.to_owned()).or_default().push(bell.clone());
        bell
    }

    fn remove(&self, user_id: &UserId, bell: &Arc<Notify>) {
        let mut bells = self.0.write();
        if let Some(own) = bells.get_mut(user_id) {
            own.retain(|other| !Arc::ptr_eq(other, bell));
            if own.is_empty() {
                bells.remove(user_id);
            }
        }
    }

    /// Wakes the tasks of a user's pushers.
    pub(crate) fn ring(&self, user_id: &UserId) {
        for bell in self.0.read().get(user_id).into_iter().flatten() {
            bell.notify_one();
        }
    }
}

/// Rings the bells of those who have pushers and are in a room where something happens.
#[derive(Debug)]
pub(crate) struct PushObserver(pub(crate) Arc<Bells>);

impl RoomObserver for PushObserver {
    fn stage(&self, staged: &Staged<'_>, writes: &mut WriteSet) {
        for (user_id, bells) in &*self.0.0.read() {
            let concerns = [MembershipState::Join, MembershipState::Invite];
            if staged.membership(user_id).is_some_and(|membership| concerns.contains(&membership)) {
                let bells = bells.clone();
                writes.on_visible(move |_| bells.iter().for_each(|bell| bell.notify_one()));
            }
        }
    }

    fn committed(&self, _: &RoomId, _: Position) {}
}

/// What the tasks share.
struct Shared {
    users: Arc<Users>,
    rooms: Rooms,
    unread: Arc<UnreadCounter>,
    bells: Arc<Bells>,
    gateway: Gateway,
    /// The wait after the first failure; every further one doubles it.
    backoff: Duration,
    /// The pushers that have a task.
    running: Mutex<HashSet<PusherId>>,
    shutdown: CancellationToken,
    tracker: TaskTracker,
}

/// Keeps pushers, and a task for each.
#[derive(Clone)]
pub(crate) struct Push(Arc<Shared>);

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Push").field("running", &self.0.running.lock().len()).finish_non_exhaustive()
    }
}

/// What the tasks need of the server.
#[derive(Debug)]
pub(crate) struct PushParts {
    pub(crate) users: Arc<Users>,
    pub(crate) rooms: Rooms,
    pub(crate) unread: Arc<UnreadCounter>,
    pub(crate) bells: Arc<Bells>,
    pub(crate) backoff: Duration,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

impl Push {
    pub(crate) fn new(parts: PushParts) -> Self {
        let PushParts { users, rooms, unread, bells, backoff, shutdown, tracker } = parts;
        let running = Mutex::default();
        let gateway = Gateway::new();
        Self(Arc::new(Shared { users, rooms, unread, bells, gateway, backoff, running, shutdown, tracker }))
    }

    /// Starts the tasks of the pushers that there are.
    pub(crate) fn start(&self) {
        for id in self.0.users.pushers.ids() {
            self.ensure(id);
        }
    }

    /// Keeps a pusher, and tells its gateway of what happens from now on.
    pub(crate) async fn set(&self, id: PusherId, pusher: Pusher, beside: bool) -> Result<(), StoreError> {
        self.0.users.pushers.set(&id, pusher, beside).await?;
        self.ring(&id.user_id);
        self.ensure(id);
        Ok(())
    }

    pub(crate) async fn remove(&self, id: &PusherId) -> Result<(), StoreError> {
        self.0.users.pushers.remove(id).await?;
        self.ring(&id.user_id);
        Ok(())
    }

    /// Something changed for a user beside events: what was read, or which pushers there are.
    pub(crate) fn ring(&self, user_id: &UserId) {
        self.0.bells.ring(user_id);
    }

    fn ensure(&self, id: PusherId) {
        if self.0.running.lock().insert(id.clone()) {
            self.0.tracker.spawn(worker::run(self.0.clone(), id));
        }
    }
}
