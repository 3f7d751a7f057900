//! Taking away what a redaction names.

use std::sync::Arc;

use ruma::{
    EventId,
    events::{StateEventType, TimelineEventType},
    state_res::events::RoomPowerLevelsIntField,
};

use crate::{
    event::Pdu,
    room::{
        RoomError, Rooms,
        live::{Head, Room, RoomState},
        stored::StoredEvent,
        threads::take_reply_back,
    },
    rules::PowerLevels,
    store::{StoreError, WriteSet},
};

impl Rooms {
    /// The event that a redaction takes effect on: the sender's own, or with the power to redact.
    ///
    /// An event that this server does not know is not refused; there is nothing to take away then.
    pub(super) fn redactable(
        &self,
        room: &Room,
        head: &mut Head,
        state: &RoomState,
        redaction: &Pdu,
        target: &EventId,
    ) -> Result<Option<Arc<StoredEvent>>, RoomError> {
        let target = match self.staged_or_stored(room, target)? {
            None => return Ok(None),
            Some(event) if event.pdu.room_id == room.room_id => event,
            Some(_) => {
                return Err(RoomError::InvalidParam("the event to redact is in another room".to_owned()));
            }
        };
        if target.pdu.event_type == TimelineEventType::RoomCreate {
            return Err(RoomError::forbidden("a create event is not redacted"));
        }
        if target.pdu.sender != redaction.sender {
            let create = self.authority(head, state, &StateEventType::RoomCreate, "")?;
            let levels = self.authority(head, state, &StateEventType::RoomPowerLevels, "")?;
            let create =
                create.ok_or_else(|| RoomError::Internal("a room has no create event".to_owned()))?;
            let levels = levels.as_ref().map(|event| &*event.pdu);
            let may = PowerLevels::new(&room.rules.authorization, &create.pdu, levels)
                .and_then(|levels| levels.may(&redaction.sender, RoomPowerLevelsIntField::Redact))
                .map_err(|denied| RoomError::Forbidden(denied.0))?;
            if !may {
                return Err(RoomError::forbidden("you may not redact other users' events in this room"));
            }
        }
        Ok(target.meta.redacted_by.is_none().then_some(target))
    }

    /// An event of the room by its ID, also one that is not written yet: it is waited for by the next batch.
    fn staged_or_stored(
        &self,
        room: &Room,
        event_id: &EventId,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let (_, recent) = room.recent();
        if let Some(entry) = recent.iter().rev().find(|entry| entry.event.pdu.event_id == event_id) {
            return Ok(Some(entry.event.clone()));
        }
        Ok(self.inner.events.by_id(event_id)?.map(|(event, _)| event))
    }

    pub(super) fn apply_redaction(
        &self,
        room: &Arc<Room>,
        target: &StoredEvent,
        redaction: u64,
        set: &mut WriteSet,
    ) -> Result<(), RoomError> {
        take_reply_back(target, set);
        let redacted = self.inner.events.redact(target, redaction, &room.rules, set)?;
        let (room, events) = (room.clone(), self.inner.events.clone());
        set.on_commit(move |_| {
            room.replace(&redacted);
            events.keep(redacted);
        });
        Ok(())
    }
}
