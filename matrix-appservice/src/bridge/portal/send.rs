//! Requests to the network, from the call to the outcome.
//!
//! A request's key is the ID of the event that caused it. Its outcome may come in three ways: as the call's
//! return value, as a confirmation that was announced ([`Sent::PendingEcho`]), and, when the process
//! died in between, as the network's answer to [`Login::resolve_uncertain`](crate::bridge::Login::resolve_uncertain).

use std::{sync::Arc, time::Duration};

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId};

use super::{MatrixEvent, Portal, RoomError};
use crate::{
    bridge::{
        Certainty, Login, MatrixChange, OutgoingMessage, Resolution, SendError, Sent, UncertainSend,
        core::Core,
    },
    network_id::{LoginId, PartId, PortalKey, RemoteMessageId, TxnKey},
    service::Outcome,
    store::{Batch, MessageRow, PortalRow, ReactionTo, SendRow, SendState, StoreError},
};

/// A request whose call has not returned.
pub(super) struct InFlight {
    portal: PortalKey,
    /// What the network said before the call returned, with the journal rows that said so.
    confirmed: Vec<RemoteMessageId>,
    failed: Option<SendError>,
    rows: Vec<u64>,
}

/// A request to the network.
pub(super) enum Request {
    Message(Box<OutgoingMessage>),
    Change(Box<MatrixChange>, Traces),
}

/// What is remembered of a change when it is done.
#[derive(Clone)]
pub(super) enum Traces {
    /// The network's names for it lead to this event: the one that an edit replaced.
    SameAs(OwnedEventId),
    /// It is a reaction.
    Reaction(ReactionTo),
    /// It ended this reaction.
    Unreaction(Box<MessageRow>),
    /// Nothing.
    Nothing,
}

/// Where a request goes and where it came from.
pub(super) struct Delivery<'a> {
    pub(super) portal: &'a PortalRow,
    pub(super) event: &'a MatrixEvent,
    pub(super) login_id: &'a LoginId,
    pub(super) login: &'a Arc<dyn Login>,
    /// Whether an earlier process began it and its outcome is not known.
    pub(super) interrupted: bool,
}

impl Request {
    fn key(&self) -> &TxnKey {
        match self {
            Self::Message(message) => &message.key,
            Self::Change(change, _) => &change.key,
        }
    }

    fn traces(&self) -> Option<&Traces> {
        match self {
            Self::Message(_) => None,
            Self::Change(_, traces) => Some(traces),
        }
    }

    /// Whether doing it twice is the same as doing it once, so that doubt needs nobody's attention.
    fn is_repeatable(&self) -> bool {
        match self {
            Self::Message(_) => false,
            Self::Change(change, _) => change.kind.is_repeatable(),
        }
    }
}

impl Core {
    /// Calls the network and settles what comes of it.
    pub(super) async fn deliver(self: &Arc<Self>, delivery: Delivery<'_>, request: Request) -> Outcome {
        let key = request.key().clone();
        if delivery.interrupted && !request.is_repeatable() {
            match self.resolve(&delivery, &request).await {
                Ok(Resolution::NotSent) => {}
                Ok(Resolution::Arrived(ids)) => return self.done(&delivery, &request, ids, Vec::new()),
                Ok(Resolution::Unknown) => {
                    self.report_uncertain(delivery.portal, &delivery.event.event_id).await;
                    return Outcome::Done;
                }
                Err(error) => return retry_store(&error),
            }
        }
        self.portals.in_flight.lock().insert(
            key.clone(),
            InFlight {
                portal: delivery.portal.key.clone(),
                confirmed: Vec::new(),
                failed: None,
                rows: Vec::new(),
            },
        );
        let sent = match &request {
            Request::Message(message) => delivery.login.send((**message).clone()).await,
            Request::Change(change, _) => delivery.login.apply((**change).clone()).await,
        };
        self.settle_call(&delivery, &request, sent).await
    }

    async fn settle_call(
        self: &Arc<Self>,
        delivery: &Delivery<'_>,
        request: &Request,
        sent: Sent,
    ) -> Outcome {
        let key = request.key();
        let (error, journal) = {
            // Whoever confirms later finds what is written here, so both happen under the lock.
            let mut in_flight = self.portals.in_flight.lock();
            let Some(call) = in_flight.remove(key) else { return Outcome::Done };
            match sent {
                Sent::Acked(mut ids) => {
                    ids.extend(call.confirmed);
                    return self.done(delivery, request, ids, call.rows);
                }
                Sent::PendingEcho(_) => match call.failed {
                    Some(error) => (error, call.rows),
                    None if call.confirmed.is_empty() => {
                        let mut batch = Batch::default();
                        batch.put_send(&delivery.row(key, SendState::Pending));
                        self.apply(batch);
                        self.metrics.sends_pending.inc();
                        return Outcome::Done;
                    }
                    None => return self.done(delivery, request, call.confirmed, call.rows),
                },
                Sent::Failed(error) => (error, call.rows),
            }
        };
        self.failed(delivery, error, journal).await
    }

    /// The network has it.
    fn done(
        &self,
        delivery: &Delivery<'_>,
        request: &Request,
        ids: Vec<RemoteMessageId>,
        journal: Vec<u64>,
    ) -> Outcome {
        let event = delivery.event;
        let mut batch = Batch::default();
        let row = MessageRow {
            portal: delivery.portal.key.clone(),
            ids,
            part: PartId::default(),
            event_id: event.event_id.clone(),
            sender: event.sender.clone(),
            author: None,
            timestamp: event.origin_server_ts,
            reaction: None,
        };
        match request.traces() {
            None => batch.put_message(&row),
            Some(Traces::Reaction(reaction)) => {
                batch.put_message(&MessageRow { reaction: Some(reaction.clone()), ..row });
            }
            Some(Traces::SameAs(target)) => batch.put_message_names(&row.portal, &row.ids, target),
            Some(Traces::Unreaction(reaction)) => batch.delete_reaction(reaction),
            Some(Traces::Nothing) => {}
        }
        for number in journal {
            batch.delete_journal(number);
        }
        batch.delete_send(request.key());
        self.apply(batch);
        self.metrics.sends.inc();
        Outcome::Done
    }

    /// The network does not have it, or may not.
    async fn failed(
        self: &Arc<Self>,
        delivery: &Delivery<'_>,
        error: SendError,
        journal: Vec<u64>,
    ) -> Outcome {
        let mut batch = Batch::default();
        for number in journal {
            batch.delete_journal(number);
        }
        self.apply(batch);
        if let (Certainty::NotSent, Some(after)) = (error.certainty, error.retry) {
            return Outcome::Retry { after, reason: error.text };
        }
        self.report_failed(delivery.portal, &delivery.event.event_id, &error).await;
        Outcome::Reject { reason: error.text, notify: false }
    }

    /// Finds out what became of a request that an earlier process began.
    async fn resolve(&self, delivery: &Delivery<'_>, request: &Request) -> Result<Resolution, StoreError> {
        if let Some(ids) = self.store.confirmed_early(request.key())? {
            return Ok(Resolution::Arrived(ids));
        }
        let message = match request {
            Request::Message(message) => Some(message.clone()),
            Request::Change(..) => None,
        };
        let send = delivery.row(request.key(), SendState::Sending).uncertain(message);
        Ok(delivery.login.resolve_uncertain(send).await)
    }

    /// The portal of a request whose call has not returned.
    pub(crate) fn portal_of_call(&self, key: &TxnKey) -> Option<PortalKey> {
        self.portals.in_flight.lock().get(key).map(|call| call.portal.clone())
    }

    /// The network has what was sent under `key`.
    ///
    /// Written together with `batch` when the call returns, flushed when the future completes.
    pub(crate) fn confirm(
        &self,
        key: &TxnKey,
        ids: &[RemoteMessageId],
        mut batch: Batch,
    ) -> Result<impl Future<Output = Result<(), StoreError>> + Send + use<>, StoreError> {
        let mut in_flight = self.portals.in_flight.lock();
        if let Some(call) = in_flight.get_mut(key) {
            call.confirmed.extend_from_slice(ids);
            // Should the process die before the call returns, this says that it arrived.
            batch.put_confirmed_early(key, &call.confirmed);
            return Ok(self.store.commit(batch));
        }
        let known = match ruma::EventId::parse(key.as_str()) {
            Ok(event_id) => self.store.message_by_event(&event_id)?,
            Err(_) => None,
        };
        let pending = self.store.send(key)?;
        match (known, &pending) {
            (Some(mut row), _) => {
                for id in ids {
                    if !row.ids.contains(id) {
                        row.ids.push(id.clone());
                    }
                }
                batch.put_message(&row);
            }
            (None, Some(row)) => batch.put_message(&row.message(ids)),
            // The call may have been cut short by a crash, and the event is about to come again.
            (None, None) => batch.put_confirmed_early(key, ids),
        }
        if pending.is_some() {
            batch.delete_send(key);
            self.metrics.sends_pending.dec();
            self.metrics.sends.inc();
        }
        Ok(self.store.commit(batch))
    }

    /// The network refused what was sent under `key`.
    pub(super) async fn fail_pending(
        self: &Arc<Self>,
        key: &TxnKey,
        error: &SendError,
        number: Option<u64>,
    ) -> Result<(), RoomError> {
        if let Some(call) = self.portals.in_flight.lock().get_mut(key) {
            call.failed = Some(error.clone());
            call.rows.extend(number);
            return Ok(());
        }
        let Some(row) = self.store.send(key)? else {
            self.let_go(number);
            return Ok(());
        };
        self.metrics.sends_pending.dec();
        let mut batch = Batch::default();
        if let Some(number) = number {
            batch.delete_journal(number);
        }
        if let (Certainty::NotSent, Some(after)) = (error.certainty, error.retry) {
            let row = SendRow { state: SendState::Again, ..row };
            batch.put_send(&row);
            self.apply(batch);
            self.send_again_after(after, row);
            return Ok(());
        }
        if let Some(portal) = self.store.portal(&row.portal)? {
            self.report_failed(&portal, &row.event_id, error).await;
        }
        batch.delete_send(key);
        self.apply(batch);
        Ok(())
    }

    fn let_go(&self, number: Option<u64>) {
        let mut batch = Batch::default();
        if let Some(number) = number {
            batch.delete_journal(number);
        }
        self.apply(batch);
    }

    /// Sends what the network did not take once more, as the event that it was.
    fn send_again_after(self: &Arc<Self>, after: Duration, row: SendRow) {
        let core = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut pause = after;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = core.shutdown.cancelled() => return,
                }
                match core.send_again(&row).await {
                    Outcome::Retry { after, .. } => pause = after,
                    _ => return,
                }
            }
        });
    }

    async fn send_again(self: &Arc<Self>, row: &SendRow) -> Outcome {
        // Should the process die in the midst of it, nobody knows whether it arrived this time.
        let mut batch = Batch::default();
        batch.put_send(&SendRow { state: SendState::Sending, ..row.clone() });
        if let Err(error) = self.store.commit(batch).await {
            return retry_store(&error);
        }
        let outcome = match serde_json::from_value::<MatrixEvent>(row.event.clone()) {
            Ok(event) => self.portal_event(&event, 1, false).await,
            Err(_) => Outcome::Done,
        };
        let mut batch = Batch::default();
        match &outcome {
            Outcome::Retry { .. } => batch.put_send(row),
            // Another row was written if it is pending again; one that still says "sending" is done.
            _ if matches!(self.store.send(&row.key), Ok(Some(now)) if now.state == SendState::Sending) => {
                batch.delete_send(&row.key);
            }
            _ => {}
        }
        self.apply(batch);
        outcome
    }

    /// Notes what earlier processes left open. Called before anything is sent.
    pub(crate) fn load_open_sends(&self) -> Result<(), StoreError> {
        let mut left_open = self.portals.left_open.lock();
        for row in self.store.sends()? {
            left_open.entry(row.login.clone()).or_default().push(row);
        }
        Ok(())
    }

    /// Finds out about what earlier processes left open, as soon as its login is open.
    pub(crate) async fn resolve_pending(self: &Arc<Self>, login_id: &LoginId, login: &Arc<dyn Login>) {
        let rows = self.portals.left_open.lock().remove(login_id).unwrap_or_default();
        for row in rows {
            if row.state == SendState::Again {
                self.send_again_after(Duration::ZERO, row);
                continue;
            }
            let message = serde_json::from_value::<MatrixEvent>(row.event.clone())
                .ok()
                .and_then(|event| Portal::plain_message(self, &row.portal, &event, 1));
            match login.resolve_uncertain(row.uncertain(message.map(Box::new))).await {
                Resolution::Arrived(ids) => {
                    let mut batch = Batch::default();
                    batch.put_message(&row.message(&ids));
                    batch.delete_send(&row.key);
                    self.apply(batch);
                }
                Resolution::NotSent => self.send_again_after(Duration::ZERO, row),
                Resolution::Unknown => {
                    if let Some(portal) = crate::bridge::core::or_report(self.store.portal(&row.portal)) {
                        self.report_uncertain(&portal, &row.event_id).await;
                    }
                    let mut batch = Batch::default();
                    batch.delete_send(&row.key);
                    self.apply(batch);
                }
            }
        }
    }
}

impl Delivery<'_> {
    fn row(&self, key: &TxnKey, state: SendState) -> SendRow {
        SendRow {
            key: key.clone(),
            portal: self.portal.key.clone(),
            login: self.login_id.clone(),
            event_id: self.event.event_id.clone(),
            sender: self.event.sender.clone(),
            begun: MilliSecondsSinceUnixEpoch::now(),
            state,
            event: serde_json::to_value(self.event).unwrap_or_default(),
            ids: Vec::new(),
        }
    }
}

impl SendRow {
    fn uncertain(&self, message: Option<Box<OutgoingMessage>>) -> UncertainSend {
        UncertainSend {
            key: self.key.clone(),
            portal: self.portal.clone(),
            event_id: self.event_id.clone(),
            sender: self.sender.clone(),
            begun: self.begun,
            message,
        }
    }

    fn message(&self, ids: &[RemoteMessageId]) -> MessageRow {
        MessageRow {
            portal: self.portal.clone(),
            ids: ids.to_vec(),
            part: PartId::default(),
            event_id: self.event_id.clone(),
            sender: self.sender.clone(),
            author: None,
            timestamp: self.begun,
            reaction: None,
        }
    }
}

/// The store cannot be read: the event waits.
pub(super) fn retry_store(error: &StoreError) -> Outcome {
    Outcome::Retry { after: Duration::from_secs(5), reason: error.to_string() }
}
