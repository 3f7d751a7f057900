//! Telling clients what has happened ([syncing]).
//!
//! A response is a function of two positions: what the client has seen (`since`) and what is written (the
//! frontier). Nothing about a client is remembered between its requests. A request that has nothing to tell
//! waits until its user is woken; waiting costs the same in one room as in a thousand.
//!
//! [syncing]: https://spec.matrix.org/v1.19/client-server-api/#syncing

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId, events::room::member::MembershipState};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use self::reader::Reader;
use crate::{
    room::{FilterDefinition, RoomError, RoomFilter, Rooms, RoomsOfUser, lets_room_through},
    store::Position,
};

mod extras;
mod fields;
mod lazy;
mod outside;
mod reader;
mod response;
mod room;
mod sliding;
mod stream;
mod summary;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    extras::{DeviceLists, KeyCounts, SyncExtras, Unread, Window},
    response::{SyncResponse, token},
    sliding::{BodyError, SlidingBody, SlidingRequest, SlidingResponse},
};

/// What a client asks for.
#[derive(Debug, Clone)]
pub(crate) struct SyncRequest {
    pub(crate) user_id: OwnedUserId,
    pub(crate) device_id: Option<OwnedDeviceId>,
    /// The `next_batch` of the response before. Everything, where absent.
    pub(crate) since: Option<Position>,
    /// Shared, where the client gave none: most requests wait, and what they hold counts.
    pub(crate) filter: Arc<FilterDefinition>,
    /// The whole state of every room, also of what has not changed.
    pub(crate) full_state: bool,
    /// How long to wait for something to tell.
    pub(crate) timeout: Duration,
    /// The state after the timeline instead of that before it.
    pub(crate) use_state_after: bool,
}

/// The part of the server that answers `/sync`. Cloning gives another handle.
#[derive(Clone)]
pub(crate) struct Sync {
    rooms: Rooms,
    extras: Arc<dyn SyncExtras>,
    lazy: Arc<lazy::LazyMembers>,
    sliding: Arc<sliding::Sliding>,
}

impl fmt::Debug for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sync").field("rooms", &self.rooms).finish_non_exhaustive()
    }
}

impl Sync {
    pub(crate) fn new(rooms: Rooms, extras: Arc<dyn SyncExtras>) -> Self {
        let (lazy, sliding) = (Arc::new(lazy::LazyMembers::new()), Arc::new(sliding::Sliding::new()));
        Self { rooms, extras, lazy, sliding }
    }

    /// What has happened since the client's last request; waits for something to happen if nothing has.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn sync(&self, request: Arc<SyncRequest>) -> Result<SyncResponse, RoomError> {
        let deadline = Instant::now() + request.timeout;
        if request.since.is_none() || request.full_state {
            return self.everything(request).await;
        }
        let look = || self.build(&request);
        self.when_something(&request.user_id, deadline, look, |response| !response.is_empty()).await
    }

    /// What is found as soon as it is something. At the deadline, or when the server stops, whatever there is.
    async fn when_something<T>(
        &self,
        user_id: &UserId,
        deadline: Instant,
        look: impl Fn() -> Result<T, RoomError>,
        is_something: impl Fn(&T) -> bool,
    ) -> Result<T, RoomError> {
        let waiting = self.rooms.wakers().register(user_id);
        loop {
            // Before looking, so that nothing is missed that happens between looking and waiting.
            let mut woken = std::pin::pin!(waiting.notified());
            woken.as_mut().enable();
            let found = look()?;
            if is_something(&found) || self.rooms.wakers().are_closed() {
                return Ok(found);
            }
            // Whoever waits keeps as little as possible.
            drop(found);
            if timeout_at(deadline, woken).await.is_err() {
                return look();
            }
            // Whoever made this happen gets an answer first, as a client expects that hears of its own message.
            tokio::task::yield_now().await;
        }
    }

    /// A response that may be long: not on the threads that answer everybody else.
    async fn everything(&self, request: Arc<SyncRequest>) -> Result<SyncResponse, RoomError> {
        let sync = self.clone();
        tokio::task::spawn_blocking(move || sync.build(&request))
            .await
            .map_err(|error| RoomError::Internal(error.to_string()))?
    }

    /// How far a response can tell, and the user's rooms at that point.
    ///
    /// What is kept in memory is a moment ahead of the frontier. A membership that is beyond it is not to be
    /// told, and the one before it is not in memory any more; so look again.
    fn sample(&self, user_id: &UserId) -> Result<(Position, RoomsOfUser), RoomError> {
        loop {
            // In this order: what is up to the frontier is in the rooms for sure.
            let upto = self.rooms.store().frontier();
            let rooms = self.rooms.of_user(user_id)?;
            if rooms.values().all(|room| room.position <= upto) {
                return Ok((upto, rooms));
            }
            std::thread::yield_now();
        }
    }

    fn reader<'a>(
        &'a self,
        user_id: &'a UserId,
        device_id: Option<&'a DeviceId>,
        ignored: &'a Arc<HashSet<OwnedUserId>>,
    ) -> Reader<'a> {
        Reader { rooms: &self.rooms, user_id, device_id, ignored }
    }

    /// What has happened up to now.
    fn build(&self, request: &SyncRequest) -> Result<SyncResponse, RoomError> {
        let (upto, rooms) = self.sample(&request.user_id)?;
        // A token of before the server lost its memory is ahead of everything that there is.
        let since = request.since.map(|since| since.min(upto));
        let window = Window { since, upto };
        let (user_id, device_id) = (&*request.user_id, request.device_id.as_deref());
        let mut response = SyncResponse::new(upto);
        self.build_rooms(request, window, &rooms, &mut response)?;

        let filter = &request.filter.account_data;
        let wanted = |event: &RawValue| filter.lets_through(&fields::text(event, "type"), None);
        response.account_data.events = self.extras.account_data(user_id, window);
        response.account_data.events.retain(|event| wanted(event));
        let filter = &request.filter.presence;
        response.presence.events = self.extras.presence(user_id, window);
        response.presence.events.retain(|event| {
            let sender = OwnedUserId::try_from(fields::text(event, "sender"));
            sender.is_ok_and(|sender| filter.lets_through("m.presence", Some(&sender)))
        });
        let messages = self.extras.to_device(user_id, device_id, window);
        response.to_device.events = messages.into_iter().map(|(_, event)| event).collect();
        response.device_lists = self.extras.device_lists(user_id, window).into();
        let counts = self.extras.key_counts(user_id, device_id);
        response.device_one_time_keys_count = counts.one_time;
        response.device_unused_fallback_key_types = counts.unused_fallback;
        Ok(response)
    }

    fn build_rooms(
        &self,
        request: &SyncRequest,
        window: Window,
        mine: &RoomsOfUser,
        response: &mut SyncResponse,
    ) -> Result<(), RoomError> {
        let RoomFilter { include_leave, not_rooms, rooms, .. } = &request.filter.room;
        let ignored = Arc::new(self.extras.ignored_users(&request.user_id).into_iter().collect());
        let reader = self.reader(&request.user_id, request.device_id.as_deref(), &ignored);
        let view = room::View { sync: self, request, window, reader };
        for (room_id, mine) in mine {
            if !lets_room_through(rooms.as_deref(), not_rooms, room_id) {
                continue;
            }
            let changed = window.since.is_none_or(|since| mine.position > since);
            // What was left before is told at first, if at all.
            let tells_left = match window.since {
                Some(_) => changed || (request.full_state && *include_leave),
                None => *include_leave,
            };
            match mine.membership {
                MembershipState::Join => {
                    if let Some(joined) = view.joined(room_id, mine)? {
                        response.rooms.join.insert(room_id.clone(), joined);
                    }
                }
                MembershipState::Invite if changed || request.full_state => {
                    if let Some(invited) = view.invited(room_id, mine)? {
                        response.rooms.invite.insert(room_id.clone(), invited);
                    }
                }
                MembershipState::Knock if changed || request.full_state => {
                    let knocked = view.knocked(room_id, mine)?;
                    response.rooms.knock.insert(room_id.clone(), knocked);
                }
                MembershipState::Leave | MembershipState::Ban if !mine.forgotten && tells_left => {
                    if let Some(left) = view.left(room_id, mine)? {
                        response.rooms.leave.insert(room_id.clone(), left);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}
