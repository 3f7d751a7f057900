//! What logins see, written down before it counts as received.

use std::sync::Arc;

use parking_lot::Mutex;
use ruma::EventId;

use super::{
    Journalled, LoginState, RemoteEvent, RemoteEventKind, SendError, SinkError,
    core::{Core, or_report},
    portal::Entry,
    sink::SinkPort,
};
use crate::{
    network_id::{LoginId, PortalKey, RemoteMessageId, TxnKey},
    store::{Batch, JournalEntry, JournalRow, StoreError},
};

/// The order of everything that logins see.
///
/// The number, the place in the store's commit queue and the place in the portal's queue are
/// taken under one lock, so all three orders are the same.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    next: Mutex<u64>,
}

impl Core {
    /// Takes up what the last process left. Called once, before any login is open.
    pub(crate) fn replay_journal(self: &Arc<Self>) -> Result<usize, StoreError> {
        let rows = self.store.journal()?;
        let mut next = self.journal.next.lock();
        *next = rows.last().map_or(0, |(number, _)| number + 1);
        let count = rows.len();
        for (number, row) in rows {
            drop(self.portals.enqueue(self, Entry::new(Some(number), row.login, row.portal, row.entry)));
        }
        Ok(count)
    }

    /// Journals an entry and puts it into its portal's queue. Handling does not wait for the disk: what it
    /// does is repeatable, and the caller learns of the event's safety only after the flush.
    fn accept(self: &Arc<Self>, login: &LoginId, portal: PortalKey, entry: JournalEntry) -> Journalled {
        if self.shutdown.is_cancelled() {
            return Journalled::now(Err(SinkError::Stopping));
        }
        let row = JournalRow { login: login.clone(), portal: portal.clone(), entry };
        let (done, journalled) = Journalled::later();
        let (flushed, room) = {
            let mut next = self.journal.next.lock();
            let number = *next;
            *next += 1;
            let mut batch = Batch::default();
            batch.put_journal(number, &row);
            let flushed = self.store.commit(batch);
            let entry = Entry::new(Some(number), row.login, portal, row.entry);
            (flushed, self.portals.enqueue(self, entry))
        };
        let metrics = self.metrics.clone();
        self.tasks.spawn(async move {
            let result = flushed.await.map_err(|error| {
                tracing::error!(%error, "could not journal an event of the network");
                SinkError::Storage
            });
            if result.is_ok() {
                metrics.journalled.inc();
            }
            room.wait().await;
            // Whoever dropped the future did not want to know.
            let _ = done.send(result);
        });
        journalled
    }

    fn portal_of_send(&self, key: &TxnKey) -> Option<PortalKey> {
        if let Some(portal) = self.portal_of_call(key) {
            return Some(portal);
        }
        if let Some(row) = or_report(self.store.send(key)) {
            return Some(row.portal);
        }
        let event_id = EventId::parse(key.as_str()).ok()?;
        or_report(self.store.message_by_event(&event_id)).map(|row| row.portal)
    }
}

/// The core as a sink sees it.
pub(crate) struct Sink(pub(crate) Arc<Core>);

impl SinkPort for Sink {
    fn push(&self, login: &LoginId, event: RemoteEvent) -> Journalled {
        let portal = event.portal.clone();
        if matches!(event.kind, RemoteEventKind::Typing { .. } | RemoteEventKind::Receipt { .. }) {
            let entry = Entry::new(None, login.clone(), portal, JournalEntry::Event(event));
            drop(self.0.portals.enqueue(&self.0, entry));
            return Journalled::now(Ok(()));
        }
        self.0.accept(login, portal, JournalEntry::Event(event))
    }

    fn confirm(&self, login: &LoginId, key: &TxnKey, ids: Vec<RemoteMessageId>) -> Journalled {
        // No queue: what is said about the message afterwards must find its names.
        let confirmed = match self.0.confirm(key, &ids, Batch::default()) {
            Ok(confirmed) => confirmed,
            Err(error) => {
                tracing::error!(%login, %error, "could not note what the network confirmed");
                return Journalled::now(Err(SinkError::Storage));
            }
        };
        let (done, journalled) = Journalled::later();
        self.0.tasks.spawn(async move {
            // Whoever dropped the future did not want to know.
            let _ = done.send(confirmed.await.map_err(|_| SinkError::Storage));
        });
        journalled
    }

    fn fail(&self, login: &LoginId, key: &TxnKey, error: SendError) -> Journalled {
        match self.0.portal_of_send(key) {
            Some(portal) => self.0.accept(login, portal, JournalEntry::Fail { key: key.clone(), error }),
            None => {
                tracing::debug!(%login, "the network refused something that is not open");
                Journalled::now(Ok(()))
            }
        }
    }

    fn state(&self, login: &LoginId, state: LoginState) {
        self.0.login_state(login, &state);
    }
}
