//! How an event gets into a room.

use std::sync::Arc;

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;

use super::{
    Append, RoomError, Rooms,
    live::{Authorities, Head, Room, RoomState},
    load,
    state_tree::StateTree,
    stored::{SentBy, StoredEvent},
    txn::Known,
};
use crate::{
    event::{Pdu, canonical_content},
    store::{Pending, StoreError, WriteSet},
};

mod build;
mod insert;
mod redact;
mod resolve;

#[cfg(test)]
pub(super) use self::insert::member_of;

/// How often a write is built again that was built on one that failed.
pub(super) const ATTEMPTS: usize = 3;

/// What somebody wants to say, before it has a place in the graph.
pub(super) struct Proposal {
    pub(super) sender: OwnedUserId,
    pub(super) event_type: TimelineEventType,
    pub(super) state_key: Option<String>,
    pub(super) content: Box<RawValue>,
    pub(super) origin_server_ts: Option<MilliSecondsSinceUnixEpoch>,
    pub(super) redacts: Option<OwnedEventId>,
    pub(super) sent_by: Option<SentBy>,
}

/// An event that is allowed, on its way into a room.
pub(super) struct Signed {
    pub(super) pdu: Pdu,
    /// Its complete canonical JSON.
    pub(super) json: String,
    pub(super) sent_by: Option<SentBy>,
    /// The state before it.
    pub(super) before: StateTree,
}

/// What became of a proposal.
pub(super) enum Outcome {
    /// It was staged.
    Staged(OwnedEventId, Pending),
    /// It is there already.
    There(OwnedEventId),
}

impl Rooms {
    /// Sends an event. A request with a known transaction ID answers with the event that it made.
    ///
    /// # Errors
    /// If the sender may not send it, if it is malformed or too large, or if it could not be written.
    pub(crate) async fn append(&self, request: Append) -> Result<OwnedEventId, RoomError> {
        let room = self.get(&request.room_id)?.ok_or_else(RoomError::not_in_room)?;
        let Append { sender, event_type, state_key, content, origin_server_ts, redacts, txn, .. } = request;
        let sent_by =
            txn.as_ref().map(|txn| SentBy { device_id: txn.device_id.clone(), txn_id: txn.txn_id.clone() });
        let proposal =
            Proposal { sender, event_type, state_key, content, origin_server_ts, redacts, sent_by };
        self.write(&room, txn.as_ref(), |rooms, _| {
            let event_type = proposal.event_type.to_string();
            rooms.check_relation(&room.room_id, &proposal.sender, &event_type, &proposal.content)?;
            Ok(proposal.clone())
        })
        .await
    }

    /// Builds an event on the head of a room and writes it; again, if what it was built on failed.
    pub(super) async fn write(
        &self,
        room: &Arc<Room>,
        txn: Option<&super::TxnKey>,
        propose: impl Fn(&Self, &mut Head) -> Result<Proposal, RoomError>,
    ) -> Result<OwnedEventId, RoomError> {
        for _ in 0..ATTEMPTS {
            let outcome = {
                let mut head = room.writer.lock().await;
                self.refresh(room, &mut head)?;
                match txn.map(|txn| self.inner.transactions.lookup(txn)).transpose()? {
                    Some(Known::Answered(event_id)) => Outcome::There(answered(event_id)?),
                    Some(Known::InFlight(event_id)) => {
                        let written = self.inner.store.stage_barrier(head.generation);
                        Outcome::Staged(answered(event_id)?, written)
                    }
                    Some(Known::No) | None => {
                        let proposal = propose(self, &mut head)?;
                        self.write_one(room, &mut head, proposal, txn)?
                    }
                }
            };
            match outcome {
                Outcome::There(event_id) => return Ok(event_id),
                Outcome::Staged(event_id, pending) => match pending.await {
                    Ok(_) => return Ok(event_id),
                    Err(StoreError::Superseded) => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Err(StoreError::Superseded.into())
    }

    fn write_one(
        &self,
        room: &Arc<Room>,
        head: &mut Head,
        proposal: Proposal,
        txn: Option<&super::TxnKey>,
    ) -> Result<Outcome, RoomError> {
        if let Some(event_id) = self.same_state(head, &proposal)? {
            let located = self.inner.events.locate(&event_id)?;
            let is_written = located.is_some_and(|(_, at)| at <= self.inner.store.frontier());
            return Ok(if is_written {
                Outcome::There(event_id)
            } else {
                Outcome::Staged(event_id, self.inner.store.stage_barrier(head.generation))
            });
        }
        let mut set = WriteSet::new();
        let mut after = head.state.clone();
        let event = self
            .add(room, head, &mut after, proposal, &mut set)
            // Some of what is kept may be of the state that does not come about.
            .inspect_err(|_| head.authorities = Authorities::default())?;
        if let Some(txn) = txn {
            self.inner.transactions.record(txn, event.pdu.event_id.as_str(), &mut set);
        }
        let pending = self.stage(room, head, after, set);
        Ok(Outcome::Staged(event.pdu.event_id.clone(), pending))
    }

    /// Reads the head again, when a write has failed since it was read.
    pub(super) fn refresh(&self, room: &Room, head: &mut Head) -> Result<(), StoreError> {
        if head.generation != self.inner.store.generation() {
            self.inner.events.forget_cached();
            *head = load::load_head(&self.inner.store, room.number)?.1;
            room.reset(head.state.clone());
        }
        Ok(())
    }

    /// Puts what was added to a room in line to be written, and makes it the room's head.
    pub(super) fn stage(
        &self,
        room: &Arc<Room>,
        head: &mut Head,
        after: RoomState,
        mut set: WriteSet,
    ) -> Pending {
        load::put_head(&mut set, room, &after);
        set.built_on(head.generation);
        let (wakers, observer, woken) =
            (self.inner.wakers.clone(), self.inner.observer.clone(), room.clone());
        set.on_visible(move |position| {
            wakers.wake_room(&woken.view());
            observer.committed(&woken.room_id, position);
        });
        head.state = after;
        self.inner.store.stage(set)
    }

    /// The state event in place, if the proposal is the same again from the same sender.
    fn same_state(&self, head: &Head, proposal: &Proposal) -> Result<Option<OwnedEventId>, RoomError> {
        let Some(state_key) = &proposal.state_key else { return Ok(None) };
        let event_type = StateEventType::from(proposal.event_type.to_string());
        let Some(event) = self.state_event_in(&head.state.state, &event_type, state_key)? else {
            return Ok(None);
        };
        if event.pdu.sender != proposal.sender {
            return Ok(None);
        }
        let same = canonical_content(&event.pdu.content)? == canonical_content(&proposal.content)?;
        Ok(same.then(|| event.pdu.event_id.clone()))
    }

    /// Makes an event of a proposal, checks it against the head, and adds everything that it changes to the
    /// room and to the set. The head itself is not changed but for what it keeps in memory.
    pub(super) fn add(
        &self,
        room: &Arc<Room>,
        head: &mut Head,
        after: &mut RoomState,
        proposal: Proposal,
        set: &mut WriteSet,
    ) -> Result<Arc<StoredEvent>, RoomError> {
        let content = canonical_content(&proposal.content)?;
        let redacts = proposal.redacts.clone();
        let sent_by = proposal.sent_by.clone();
        let (pdu, json) = self.build(room, head, after, proposal, content)?;
        self.authorize(room, head, after, &pdu)?;
        let redacted = redacts.map(|id| self.redactable(room, head, after, &pdu, &id)).transpose()?.flatten();
        if let Some(target) = &redacted {
            after.forget_profile(target);
        }
        let before = after.state.clone();
        let event = self.insert(room, head, after, Signed { pdu, json, sent_by, before }, set)?;
        if let Some(target) = redacted {
            self.apply_redaction(room, &target, event.number, set)?;
        }
        Ok(event)
    }
}

impl Clone for Proposal {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            event_type: self.event_type.clone(),
            state_key: self.state_key.clone(),
            content: self.content.clone(),
            origin_server_ts: self.origin_server_ts,
            redacts: self.redacts.clone(),
            sent_by: self.sent_by.clone(),
        }
    }
}

fn answered(event_id: String) -> Result<OwnedEventId, StoreError> {
    event_id.try_into().map_err(|_| StoreError::damaged("the answer to a request"))
}
