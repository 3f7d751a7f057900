//! The task that sends transactions to one application service
//! ([pushing events](https://spec.matrix.org/v1.19/application-service-api/#pushing-events)).
//!
//! The next transaction is made only after the last one was acknowledged with 200. Until then the same bytes are sent
//! again and again, after waits that double. Events, messages to devices and counts of keys wait on disk, without a
//! limit: nothing of them is ever given up. Typing, receipts and presence wait in memory, and the oldest give way.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use matrix_appservice::transaction::DeviceLists;
use parking_lot::Mutex;
use ruma::{MilliSecondsSinceUnixEpoch, RoomId, UInt};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Appservice, Appservices, NamedRoom,
    devices::{ByDevice, DeviceNews, Sources},
    interest::{EventFacts, RoomFacts},
    link::{Call, Link},
    queue::{Frozen, MAX_EVENTS, Queues},
};
use crate::{
    directory::Directory,
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
    /// Ends the task.
    closed: CancellationToken,
}

impl Outgoing {
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    fn push_ephemeral(&self, edu: Box<RawValue>) {
        let mut waiting = self.ephemeral.lock();
        if waiting.len() >= MAX_EPHEMERAL {
            waiting.pop_front();
        }
        waiting.push_back(edu);
        drop(waiting);
        self.ring();
    }

    fn take_ephemeral(&self) -> Vec<Box<RawValue>> {
        let mut waiting = self.ephemeral.lock();
        let end = waiting.len().min(MAX_EVENTS);
        waiting.drain(..end).collect()
    }
}

impl Appservice {
    /// Wakes the task when what is being written can be seen.
    pub(super) fn ring_with(self: &Arc<Self>, writes: &mut WriteSet) {
        let appservice = self.clone();
        writes.on_visible(move |_| appservice.outgoing.ring());
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
            writes.on_visible(move |_| {
                appservice.delivery.waiting.inc();
                appservice.outgoing.ring();
            });
        }
    }

    /// Hands ephemeral data of a room to everybody who is interested and wants such.
    pub(crate) fn tell_room(
        &self,
        rooms: &Rooms,
        directory: &Directory,
        room_id: &RoomId,
        edu: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let receivers = self.ephemeral_receivers();
        if receivers.is_empty() {
            return Ok(());
        }
        let Some(room) = rooms.get(room_id)? else { return Ok(()) };
        let view = room.view();
        let named = NamedRoom { room_id, view: &view, directory };
        let edu = serde_json::value::to_raw_value(edu).expect("a value is JSON");
        for appservice in receivers {
            if appservice.is_interested_in_room(room_id, &named) {
                appservice.outgoing.push_ephemeral(edu.clone());
            }
        }
        Ok(())
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
        sources: Sources,
        first_pause: Duration,
        shutdown: CancellationToken,
        tracker: &TaskTracker,
    ) {
        if appservice.link.is_none() {
            return;
        }
        let closed = appservice.outgoing.closed.clone();
        let queues = self.queues.clone();
        let sender = Sender { queues, appservice, sources, first_pause, pause: first_pause };
        tracker.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = closed.cancelled() => {}
                () = sender.run() => {}
            }
        });
    }
}

struct Sender {
    queues: Queues,
    appservice: Arc<Appservice>,
    sources: Sources,
    first_pause: Duration,
    pause: Duration,
}

type Counts = BTreeMap<String, u64>;

/// The body of a transaction. What has a stable and an unstable name goes under both, since receivers look for one or
/// the other.
#[derive(Serialize)]
struct Body<'a> {
    events: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral: Option<&'a [Box<RawValue>]>,
    #[serde(rename = "de.sorunome.msc2409.ephemeral", skip_serializing_if = "Option::is_none")]
    unstable_ephemeral: Option<&'a [Box<RawValue>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_device: Option<&'a [Box<RawValue>]>,
    #[serde(rename = "de.sorunome.msc2409.to_device", skip_serializing_if = "Option::is_none")]
    unstable_to_device: Option<&'a [Box<RawValue>]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_lists: Option<&'a DeviceLists>,
    #[serde(rename = "org.matrix.msc3202.device_lists", skip_serializing_if = "Option::is_none")]
    unstable_device_lists: Option<&'a DeviceLists>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_one_time_keys_count: Option<&'a ByDevice<Counts>>,
    #[serde(
        rename = "org.matrix.msc3202.device_one_time_keys_count",
        skip_serializing_if = "Option::is_none"
    )]
    unstable_one_time_keys: Option<&'a ByDevice<Counts>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_unused_fallback_key_types: Option<&'a ByDevice<Vec<String>>>,
    #[serde(
        rename = "org.matrix.msc3202.device_unused_fallback_key_types",
        skip_serializing_if = "Option::is_none"
    )]
    unstable_fallback_keys: Option<&'a ByDevice<Vec<String>>>,
}

impl<'a> Body<'a> {
    fn new(events: Vec<Box<RawValue>>, ephemeral: &'a [Box<RawValue>], devices: &'a DeviceNews) -> Self {
        let ephemeral = (!ephemeral.is_empty()).then_some(ephemeral);
        let to_device = (!devices.to_device.is_empty()).then_some(&*devices.to_device);
        let lists = (!devices.lists.is_empty()).then_some(&devices.lists);
        let one_time_keys = (!devices.one_time_keys.is_empty()).then_some(&devices.one_time_keys);
        let fallback_keys = (!devices.fallback_keys.is_empty()).then_some(&devices.fallback_keys);
        Self {
            events,
            ephemeral,
            unstable_ephemeral: ephemeral,
            to_device,
            unstable_to_device: to_device,
            device_lists: lists,
            unstable_device_lists: lists,
            device_one_time_keys_count: one_time_keys,
            unstable_one_time_keys: one_time_keys,
            device_unused_fallback_key_types: fallback_keys,
            unstable_fallback_keys: fallback_keys,
        }
    }
}

impl Sender {
    async fn run(mut self) {
        let id = self.appservice.id().to_owned();
        // Whoever was registered with this ID before has let go of the queue.
        let turn = self.queues.turn(&id);
        let _turn = turn.lock().await;
        self.appservice.delivery.waiting.set(i64::try_from(self.queues.len(&id)).unwrap_or(i64::MAX));
        if let Err(error) = self.queues.begin_lists(&id).await {
            tracing::error!(appservice = id, %error, "the queue of an application service failed");
        }
        loop {
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
            None => match self.freeze_next().await? {
                Some(frozen) => frozen,
                None => return Ok(false),
            },
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
            self.appservice.delivery.failures.inc();
            self.wait().await;
        }
        self.pause = self.first_pause;
        self.queues.acknowledge(self.appservice.id(), &frozen).await?;
        let delivery = &self.appservice.delivery;
        delivery.transactions.inc();
        delivery.events.inc_by(frozen.len() as u64);
        delivery.waiting.dec_by(i64::try_from(frozen.len()).unwrap_or(i64::MAX));
        Ok(true)
    }

    async fn freeze_next(&self) -> Result<Option<Frozen>, StoreError> {
        let id = self.appservice.id();
        let waiting = self.queues.waiting(id)?;
        let devices = self.sources.device_news(&self.appservice, &waiting)?;
        let ephemeral = self.appservice.outgoing.take_ephemeral();
        self.queues.freeze(id, waiting, devices, ephemeral).await
    }

    /// The bytes to send; the same ones for the same transaction.
    fn render(&self, frozen: &Frozen) -> Result<Bytes, StoreError> {
        let now = MilliSecondsSinceUnixEpoch(UInt::new_saturating(frozen.frozen_at));
        let rooms = &self.sources.rooms;
        let mut events = Vec::new();
        for number in self.queues.events(self.appservice.id(), frozen)? {
            if let Some(event) = rooms.events().get(number)? {
                events.push(rooms.render_for_service(&event, ClientFormat::Legacy, now)?);
            }
        }
        let body = Body::new(events, &frozen.ephemeral, &frozen.devices);
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
