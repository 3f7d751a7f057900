//! The task that sends transactions to one application service
//! ([pushing events](https://spec.matrix.org/v1.19/application-service-api/#pushing-events)).
//!
//! The next transaction is made only after the last one was acknowledged with 200. Until then the same bytes are sent
//! again and again, after waits that double.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, RoomId, UInt};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Appservice, Appservices,
    interest::{EventFacts, RoomFacts},
    link::{Call, Link},
    queue::{Frozen, Queues},
};
use crate::{
    event::ClientFormat,
    room::Rooms,
    store::{StoreError, WriteSet},
};

/// How long an application service may take for one transaction.
const TIMEOUT: Duration = Duration::from_mins(1);
/// The longest wait between two attempts.
const MAX_PAUSE: Duration = Duration::from_secs(512);
/// The most ephemeral data that waits; the oldest is given up first, for it is stale.
const MAX_EPHEMERAL: usize = 1000;

/// What waits in memory for one application service, and the bell that wakes its task.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bell: Notify,
    ephemeral: Mutex<VecDeque<Box<RawValue>>>,
    closed: AtomicBool,
}

impl Outgoing {
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.bell.notify_one();
    }

    fn push_ephemeral(&self, edu: Box<RawValue>) {
        let mut waiting = self.ephemeral.lock();
        if waiting.len() >= MAX_EPHEMERAL {
            waiting.pop_front();
        }
        waiting.push_back(edu);
        drop(waiting);
        self.bell.notify_one();
    }
}

impl Appservices {
    /// Puts an event that is about to be stored in line for everybody who is interested.
    pub(super) fn stage(
        &self,
        event: EventFacts<'_>,
        number: u64,
        room: &dyn RoomFacts,
        writes: &mut WriteSet,
    ) {
        for appservice in &self.registered.read().all {
            if appservice.link.is_none() || !appservice.is_interested(event, room) {
                continue;
            }
            Queues::stage(writes, appservice.id(), number);
            let appservice = appservice.clone();
            writes.on_visible(move |_| appservice.outgoing.bell.notify_one());
        }
    }

    /// Hands ephemeral data of a room to everybody who is interested and wants such.
    pub(crate) fn push_ephemeral(&self, room_id: &RoomId, room: &dyn RoomFacts, edu: &serde_json::Value) {
        let edu = serde_json::value::to_raw_value(edu).expect("a value is JSON");
        for appservice in self.ephemeral_receivers() {
            if appservice.is_interested_in_room(room_id, room) {
                appservice.outgoing.push_ephemeral(edu.clone());
            }
        }
    }

    /// Those who want ephemeral data and can be reached.
    fn ephemeral_receivers(&self) -> Vec<Arc<Appservice>> {
        let mut receivers = self.all();
        receivers.retain(|appservice| appservice.link.is_some() && appservice.registration.receive_ephemeral);
        receivers
    }

    /// Whether anybody wants ephemeral data at all.
    pub(crate) fn wants_ephemeral(&self) -> bool {
        self.registered.read().all.iter().any(|appservice| appservice.registration.receive_ephemeral)
    }

    /// Hands somebody's presence to the application services that share a room with them.
    pub(crate) fn push_presence(&self, edu: &serde_json::Value, shares: impl Fn(&Appservice) -> bool) {
        let edu = serde_json::value::to_raw_value(edu).expect("a value is JSON");
        for appservice in self.ephemeral_receivers() {
            if shares(&appservice) {
                appservice.outgoing.push_ephemeral(edu.clone());
            }
        }
    }

    /// Somebody's aliases have changed.
    pub(crate) fn room_was_renamed(&self, room_id: &RoomId) {
        for appservice in &self.registered.read().all {
            appservice.forget_interest(room_id);
        }
    }

    /// Starts the task of one application service. It ends with `shutdown`, or when the application service is removed.
    pub(crate) fn start_sender(
        &self,
        appservice: Arc<Appservice>,
        rooms: Rooms,
        first_pause: Duration,
        shutdown: CancellationToken,
        tracker: &TaskTracker,
    ) {
        if appservice.link.is_none() {
            return;
        }
        let sender =
            Sender { queues: self.queues.clone(), appservice, rooms, first_pause, pause: first_pause };
        tracker.spawn(async move {
            shutdown.run_until_cancelled(sender.run()).await;
        });
    }
}

struct Sender {
    queues: Queues,
    appservice: Arc<Appservice>,
    rooms: Rooms,
    first_pause: Duration,
    pause: Duration,
}

/// The body of a transaction. Ephemeral data goes under its stable and its unstable name, since receivers look for one
/// or the other.
#[derive(Serialize)]
struct Body<'a> {
    events: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral: Option<&'a [Box<RawValue>]>,
    #[serde(rename = "de.sorunome.msc2409.ephemeral", skip_serializing_if = "Option::is_none")]
    unstable_ephemeral: Option<&'a [Box<RawValue>]>,
}

impl Sender {
    async fn run(mut self) {
        let id = self.appservice.id().to_owned();
        while !self.appservice.outgoing.closed.load(Ordering::Acquire) {
            match self.deliver_next().await {
                Ok(true) => {}
                Ok(false) => self.appservice.outgoing.bell.notified().await,
                Err(error) => {
                    tracing::error!(appservice = id, %error, "the queue of an application service failed");
                    self.wait().await;
                }
            }
        }
    }

    /// Delivers one transaction; false if there is nothing to deliver.
    async fn deliver_next(&mut self) -> Result<bool, StoreError> {
        let id = self.appservice.id();
        let frozen = match self.queues.frozen(id)? {
            Some(frozen) => frozen,
            None => {
                let ephemeral = self.appservice.outgoing.ephemeral.lock().drain(..).collect();
                match self.queues.freeze(id, ephemeral).await? {
                    Some(frozen) => frozen,
                    None => return Ok(false),
                }
            }
        };
        let body = self.render(&frozen)?;
        let path = format!("/_matrix/app/v1/transactions/{}", frozen.txn_id);
        let legacy = format!("/transactions/{}", frozen.txn_id);
        let call = Call {
            method: Method::PUT,
            path: &path,
            legacy: Some(&legacy),
            query: None,
            body: Some(body),
            timeout: TIMEOUT,
        };
        while !self.attempt(&call, frozen.txn_id).await {
            if self.appservice.outgoing.closed.load(Ordering::Acquire) {
                return Ok(false);
            }
            self.wait().await;
        }
        self.pause = self.first_pause;
        self.queues.acknowledge(self.appservice.id(), &frozen).await?;
        Ok(true)
    }

    /// The bytes to send; the same ones for the same transaction.
    fn render(&self, frozen: &Frozen) -> Result<Bytes, StoreError> {
        let now = MilliSecondsSinceUnixEpoch(UInt::new_saturating(frozen.frozen_at));
        let mut events = Vec::new();
        for number in self.queues.events(self.appservice.id(), frozen)? {
            if let Some(event) = self.rooms.events().get(number)? {
                events.push(self.rooms.render_for_service(&event, ClientFormat::Legacy, now)?);
            }
        }
        let ephemeral = (!frozen.ephemeral.is_empty()).then_some(&*frozen.ephemeral);
        let body = Body { events, ephemeral, unstable_ephemeral: ephemeral };
        let body = serde_json::to_vec(&body).map_err(|_| StoreError::damaged("an event is not JSON"))?;
        Ok(body.into())
    }

    /// Sends a transaction once; true if it was acknowledged.
    async fn attempt(&self, call: &Call<'_>, txn_id: u64) -> bool {
        let Some(link) = self.appservice.link() else { return false };
        let appservice = self.appservice.id();
        match Link::call(link, call).await {
            Ok(answer) if answer.status == StatusCode::OK => return true,
            Ok(answer) => {
                tracing::warn!(appservice, txn_id, status = %answer.status, "a transaction was refused");
            }
            Err(error) => tracing::warn!(appservice, txn_id, %error, "a transaction was not delivered"),
        }
        false
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
    }
}
