//! A door for tests into the graph: events with chosen parents, as another server would make them.

use ruma::EventId;

use super::*;
use crate::{
    event::canonical_content,
    room::{
        live::{Authorities, Extremity, RoomState},
        write::{self, Proposal, Signed},
    },
};

impl Fixture {
    /// Sends an event as if its sender's server knew nothing after `parents`.
    pub(crate) async fn send_after(
        &self,
        room_id: &OwnedRoomId,
        parents: &[&EventId],
        sender: &str,
        event_type: &str,
        state_key: Option<&str>,
        content: Value,
    ) -> Result<OwnedEventId, RoomError> {
        let rooms = &self.rooms;
        let room = rooms.get(room_id)?.unwrap();
        let mut set = WriteSet::new();
        let then = self.state_after(&room, parents, &mut set)?;
        let proposal = Proposal {
            sender: user(sender),
            event_type: event_type.into(),
            state_key: state_key.map(str::to_owned),
            content: raw(&content),
            origin_server_ts: None,
            redacts: None,
            sent_by: None,
        };
        let (event_id, pending) = {
            let mut guard = room.writer.lock().await;
            let head = &mut *guard;
            // What is kept there is of the head, not of the parents.
            head.authorities = Authorities::default();
            let body = canonical_content(&proposal.content)?;
            let (pdu, json) = rooms.build(&room, head, &then, proposal, body)?;
            let allowed = rooms.authorize(&room, head, &then, &pdu);
            head.authorities = Authorities::default();
            allowed?;
            let mut after = head.state.clone();
            let signed = Signed { pdu, json, sent_by: None, before: then.state };
            let event = rooms.insert(&room, head, &mut after, signed, &mut set)?;
            (event.pdu.event_id.clone(), rooms.stage(&room, head, after, set))
        };
        pending.await?;
        Ok(event_id)
    }

    /// The room as it is for a server that knows these events and what they follow.
    fn state_after(
        &self,
        room: &Room,
        parents: &[&EventId],
        set: &mut WriteSet,
    ) -> Result<RoomState, RoomError> {
        let mut then = RoomState::empty();
        for parent in parents {
            let (parent, _) = self.rooms.events().by_id(parent)?.unwrap();
            let mut after = StateTree::at(parent.meta.state_before);
            if let Some(key) = &parent.pdu.state_key {
                after =
                    after.with(&self.store, &parent.pdu.event_type.to_string(), key, parent.number, set)?;
            }
            then.extremities.push(Extremity {
                event: parent.pdu.reference(),
                depth: parent.pdu.depth,
                state_after: after.root(),
            });
            then.state = after;
        }
        then.state = self.rooms.resolve(room, &then, set)?;
        for entry in then.state.entries(&self.store)? {
            let event = self.rooms.events().expect(entry.number)?;
            if let Some((user_id, member)) = write::member_of(&event) {
                then.set_member(user_id, member);
            }
        }
        Ok(then)
    }
}
