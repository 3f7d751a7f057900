//! Adding an event to a room: everything that it writes and shows.

use std::sync::{Arc, OnceLock};

use ruma::{
    OwnedUserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;

use super::Signed;
use crate::{
    room::{
        RoomError, Rooms, Staged,
        live::{Authorities, Extremity, Head, Member, Room, RoomState, TimelineEntry},
        load::{self, Times},
        relations::{THREAD, relation_key, relation_of},
        stored::{self, Meta, StoredEvent},
        threads::put_reply,
        times::{Newest, late_key, sent_at},
        user_rooms::{self, UserRoom},
    },
    store::{Position, Tree, WriteSet},
};

/// The fields of a member event that are kept beside the room.
#[derive(Deserialize)]
struct MemberContent {
    membership: MembershipState,
    #[serde(default)]
    displayname: serde_json::Value,
    #[serde(default)]
    avatar_url: serde_json::Value,
}

impl Rooms {
    /// Adds an accepted event to the room and to the set.
    pub(in crate::room) fn insert(
        &self,
        room: &Arc<Room>,
        head: &mut Head,
        after: &mut RoomState,
        signed: Signed,
        set: &mut WriteSet,
    ) -> Result<Arc<StoredEvent>, RoomError> {
        let Signed { pdu, json, sent_by, before } = signed;
        let store = &self.inner.store;
        let number = store.event_number();
        let event_type = pdu.event_type.to_string();
        let mut meta = Meta { state_before: before.root(), sent_by, ..Meta::default() };
        let state_after = match &pdu.state_key {
            None => before,
            Some(state_key) => {
                meta.replaces = before.get(store, &event_type, state_key)?;
                before.with(store, &event_type, state_key, number, set)?
            }
        };
        set.put(
            Tree::Event,
            number.to_be_bytes(),
            stored::encode(&room.version, &pdu.event_id, &meta, &json),
        );
        let event = Arc::new(StoredEvent { number, pdu: Arc::new(pdu), meta });
        self.inner.events.keep(event.clone());

        let prev_events = &event.pdu.prev_events;
        let linear = prev_events.len() == after.extremities.len()
            && after.extremities.iter().all(|extremity| prev_events.contains(&extremity.event.event_id));
        after.extremities.retain(|extremity| !prev_events.contains(&extremity.event.event_id));
        after.extremities.push(Extremity {
            event: event.pdu.reference(),
            depth: event.pdu.depth,
            state_after: state_after.root(),
        });
        let old = std::mem::replace(&mut after.state, state_after);
        if !linear {
            after.state = self.resolve(room, after, set)?;
        }
        let position = put_timeline(room, &event, after, set);
        if linear {
            head.authorities.update(&event);
            self.take_member(room, after, &event, set);
        } else {
            head.authorities = Authorities::default();
            self.take_resolved(room, after, &old, set)?;
        }
        put_relation(&event, set);
        self.inner.observer.stage(&Staged { event: &event, after }, set);

        let (shown, view) = (room.clone(), after.clone());
        let entry = (event.clone(), after.state.root());
        let count = self.inner.counts.of(&event.pdu);
        set.on_commit(move |_| {
            count.inc();
            let position = position.get().copied().unwrap_or_default();
            shown.publish(view, TimelineEntry { position, event: entry.0, state_after: entry.1 });
        });
        Ok(event)
    }

    /// Takes over the membership that a member event gives, after the event has taken its position.
    pub(super) fn take_member(
        &self,
        room: &Room,
        after: &mut RoomState,
        event: &StoredEvent,
        set: &mut WriteSet,
    ) {
        let Some((user_id, member)) = member_of(event) else { return };
        load::put_member(set, room.number, &user_id, &member);
        let user_room = UserRoom {
            membership: member.membership.clone(),
            number: event.number,
            position: Position::ZERO,
            forgotten: false,
        };
        after.set_member(user_id.clone(), member);
        self.put_user_room(room, user_id, user_room, set);
    }

    /// Writes a room of a user, with the position that was taken last.
    fn put_user_room(&self, room: &Room, user_id: OwnedUserId, user_room: UserRoom, set: &mut WriteSet) {
        let position = Arc::new(OnceLock::new());
        let (row, given) = (user_room.clone(), position.clone());
        let row_key = user_rooms::row_key(&user_id, &room.room_id);
        set.at_last_position(move |position, rows| {
            let _ = given.set(position);
            rows.put(Tree::Member, row_key, user_rooms::encode(&UserRoom { position, ..row }));
        });
        let (users, wakers, room_id) =
            (self.inner.users.clone(), self.inner.wakers.clone(), room.room_id.clone());
        let woken = user_id.clone();
        set.on_commit(move |_| {
            let position = position.get().copied().unwrap_or_default();
            users.update(&user_id, &room_id, UserRoom { position, ..user_room });
        });
        // Who has left for good is not woken with the room.
        set.on_visible(move |_| wakers.wake(&woken));
    }
}

/// Whose membership a member event gives, and which.
pub(in crate::room) fn member_of(event: &StoredEvent) -> Option<(OwnedUserId, Member)> {
    if event.pdu.event_type != TimelineEventType::RoomMember {
        return None;
    }
    let user_id = event.pdu.state_key.as_deref()?.try_into().ok()?;
    let content: MemberContent = serde_json::from_str(event.pdu.content.get()).ok()?;
    let text = |value: serde_json::Value| value.as_str().map(Into::into);
    let member = Member {
        membership: content.membership,
        number: event.number,
        displayname: text(content.displayname),
        avatar_url: text(content.avatar_url),
    };
    Some((user_id, member))
}

/// Writes that an event relates to another. The event has taken its position.
fn put_relation(event: &StoredEvent, set: &mut WriteSet) {
    let Some(relation) = relation_of(&event.pdu.content) else { return };
    set.put(Tree::Relation, relation_key(&relation, event), Vec::new());
    if relation.rel_type == THREAD {
        put_reply(event, &relation.event_id, set);
    }
}

/// Writes where an event is, and when it was sent. The position is in the cell when the set is staged.
fn put_timeline(
    room: &Room,
    event: &StoredEvent,
    after: &mut RoomState,
    set: &mut WriteSet,
) -> Arc<OnceLock<Position>> {
    let cell = Arc::new(OnceLock::new());
    let sent = sent_at(event);
    let is_late = sent < after.newest.time;
    if !is_late {
        after.newest = Newest { time: sent, position: cell.clone() };
    }
    let (newest, state_after) = (after.newest.clone(), after.state.root());
    let (given, number, room) = (cell.clone(), event.number, room.number);
    let event_id = event.pdu.event_id.clone();
    set.positioned(move |position, rows| {
        let _ = given.set(position);
        // What is built on another set is placed after it.
        let newest_at = newest.position.get().copied().unwrap_or(position);
        let times = Times { newest: newest.time, newest_at };
        rows.put(
            Tree::Timeline,
            load::timeline_key(room).position(position),
            load::timeline_value(number, state_after, times),
        );
        if is_late {
            rows.put(Tree::Room, late_key(room, sent).position(position), number.to_be_bytes());
        }
        let index = [number.to_be_bytes(), position.to_bytes()].concat();
        rows.put(Tree::EventId, event_id.as_bytes(), index);
    });
    cell
}
