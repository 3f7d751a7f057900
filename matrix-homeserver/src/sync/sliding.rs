//! Syncing by windows over the list of rooms ([MSC4186]).
//!
//! A client keeps a connection, and says with every request which rooms it wants: by lists, which are sorted by what was
//! active last and of which it wants some ranges, and by their IDs. It is told what is new in these since they were last
//! told, and nothing of others. What it knows is remembered here, see [`connection`].
//!
//! The shapes are those that Synapse and the clients have on the unstable path; the proposal has since changed some.
//!
//! [MSC4186]: https://github.com/matrix-org/matrix-spec-proposals/blob/main/proposals/4186-simplified-sliding-sync.md

use std::{sync::Arc, time::Duration};

use ruma::{OwnedDeviceId, OwnedUserId};
use tokio::time::Instant;

use self::{
    bump::BumpStamps,
    connection::{ConnectionKey, Connections, RoomTold, Told},
    lists::Selector,
    rooms::Teller,
};
pub(crate) use self::{
    request::{BodyError, SlidingBody},
    response::SlidingResponse,
};
use super::Sync;
use crate::room::RoomError;

mod bump;
mod connection;
mod extensions;
mod lists;
mod request;
mod required;
mod response;
mod rooms;
mod state;
#[cfg(test)]
mod tests;

/// What a client asks for.
#[derive(Debug, Clone)]
pub(crate) struct SlidingRequest {
    pub(crate) user_id: OwnedUserId,
    pub(crate) device_id: Option<OwnedDeviceId>,
    /// The `pos` of the answer before. The connection begins anew, if absent.
    pub(crate) pos: Option<String>,
    /// How long to wait for something to tell.
    pub(crate) timeout: Duration,
    pub(crate) body: SlidingBody,
}

/// What is remembered for windows over rooms.
#[derive(Debug)]
pub(super) struct Sliding {
    connections: Connections,
    bumps: BumpStamps,
}

/// An answer, and what the client knows that has it.
struct Draft {
    response: SlidingResponse,
    told: Told,
    is_something: bool,
}

impl Sliding {
    pub(super) fn new() -> Self {
        Self { connections: Connections::new(), bumps: BumpStamps::new() }
    }
}

impl Sync {
    /// What has happened in the rooms that a client wants; waits for something to happen if nothing has. Nothing, if
    /// it is not remembered what the client knows.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) async fn sliding(
        &self,
        request: Arc<SlidingRequest>,
    ) -> Result<Option<SlidingResponse>, RoomError> {
        let key = ConnectionKey {
            user_id: request.user_id.clone(),
            device_id: request.device_id.clone(),
            conn_id: request.body.conn_id.clone(),
        };
        let connections = &self.sliding.connections;
        let deadline = Instant::now() + request.timeout;
        let (after, draft) = match &request.pos {
            None => (None, self.first_draft(request.clone()).await?),
            Some(pos) => {
                let serial = u64::from_str_radix(pos, 16).ok();
                let told = serial.and_then(|serial| connections.resume(&key, serial));
                let Some(told) = told else { return Ok(None) };
                let look = || self.draft(&request, Some(&told));
                let user_id = &request.user_id;
                (serial, self.when_something(user_id, deadline, look, |draft| draft.is_something).await?)
            }
        };
        let mut response = draft.response;
        response.pos = format!("{:x}", connections.answer(key, after, draft.told));
        response.txn_id.clone_from(&request.body.txn_id);
        Ok(Some(response))
    }

    /// An answer that may be long: not on the threads that answer everybody else.
    async fn first_draft(&self, request: Arc<SlidingRequest>) -> Result<Draft, RoomError> {
        let sync = self.clone();
        tokio::task::spawn_blocking(move || sync.draft(&request, None))
            .await
            .map_err(|error| RoomError::Internal(error.to_string()))?
    }

    /// What has happened up to now that the client does not know.
    fn draft(&self, request: &SlidingRequest, told: Option<&Told>) -> Result<Draft, RoomError> {
        let nothing = Told::default();
        let is_first = told.is_none();
        let told = told.unwrap_or(&nothing);
        let (upto, mine) = self.sample(&request.user_id)?;
        let extras = &*self.extras;
        let ignored = Arc::new(extras.ignored_users(&request.user_id).into_iter().collect());
        let reader = self.reader(&request.user_id, request.device_id.as_deref(), &ignored);
        let direct = extras.direct_rooms(&request.user_id);
        let selector = Selector { reader, extras, mine: &mine, told, direct: &direct };
        let selection = selector.select(&request.body)?;
        let teller = Teller { reader, extras, bumps: &self.sliding.bumps, told, is_first, upto };
        let config = request.body.extensions.clone().unwrap_or_default();
        let mut next = Told {
            upto,
            rooms: told.rooms.clone(),
            counts: Arc::new(selection.lists.iter().map(|(name, list)| (name.clone(), list.count)).collect()),
            account_data: config.account_data.as_ref().is_some_and(request::PerRoomConfig::is_on),
        };
        let mut response = SlidingResponse {
            extensions: teller.extensions(&config, told.account_data),
            ..SlidingResponse::default()
        };
        for (room_id, before) in &told.rooms {
            if before.until.is_none() && !selection.rooms.contains_key(room_id) {
                let until = RoomTold { until: Some(told.upto), ..RoomTold::clone(before) };
                next.rooms.insert(room_id.clone(), Arc::new(until));
            }
        }
        for (room_id, wanted) in &selection.rooms {
            let mut news = teller.room(wanted, direct.contains(*room_id))?;
            teller.extend(wanted, &config, &mut news, &mut response.extensions);
            response.rooms.extend(news.body.map(|body| ((*room_id).clone(), body)));
            if told.rooms.get(*room_id).is_none_or(|before| **before != news.told) {
                next.rooms.insert((*room_id).clone(), Arc::new(news.told));
            }
        }
        let is_something =
            !response.rooms.is_empty() || !response.extensions.is_empty() || next.counts != told.counts;
        response.lists = selection.lists;
        Ok(Draft { response, told: next, is_something })
    }
}
