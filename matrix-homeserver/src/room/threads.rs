//! The threads of a room ([threads list]).
//!
//! [threads list]: https://spec.matrix.org/v1.19/client-server-api/#querying-threads-in-a-room

use std::sync::Arc;

use ruma::{EventId, OwnedEventId, RoomId, UserId};
use serde_json::value::RawValue;

use super::{
    RoomError, Rooms, Viewer, Visibility,
    relations::{THREAD, relation_key, relation_of},
    stored::StoredEvent,
};
use crate::store::{KeyBuf, Position, Rows, StoreError, Tree, WriteSet, key};

/// The rows that say where the newest event of a thread is.
const THREADS: &str = "threads";
/// The rows of the threads of a room in the order of their newest events.
const BY_NEWEST: &str = "threads_by_newest";
/// The rows that say how many of the replies in a thread are somebody's.
const REPLIES: &str = "replies";
/// The value in the row of a reply that does not count any more.
const GONE: &[u8] = b"gone";

// No event ID begins with a letter, so these rows are not found among those of an event.

fn thread_key(room_id: &RoomId, root: &EventId) -> KeyBuf {
    key([THREADS, room_id.as_str(), root.as_str()])
}

fn replies_key(room_id: &RoomId, root: &EventId) -> KeyBuf {
    key([REPLIES, room_id.as_str(), root.as_str()])
}

/// A thread as somebody sees it.
#[derive(Debug)]
pub(super) struct Thread {
    pub(super) latest: Arc<StoredEvent>,
    pub(super) count: usize,
    pub(super) participated: bool,
}

/// Which threads are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreadsRequest {
    /// Only those that the viewer has a part in.
    pub(crate) participated: bool,
    /// Whose newest event is at or before this position.
    pub(crate) from: Option<Position>,
    pub(crate) limit: usize,
}

/// The roots of threads as a client gets them.
#[derive(Debug)]
pub(crate) struct Threads {
    pub(crate) chunk: Vec<Box<RawValue>>,
    /// The `from` of the next page. Absent at the end.
    pub(crate) next: Option<Position>,
}

impl Rooms {
    /// The threads of a room as far as the viewer sees them, the one with the newest event first.
    pub(crate) fn threads(
        &self,
        room_id: &RoomId,
        viewer: &Viewer<'_>,
        request: ThreadsRequest,
    ) -> Result<Threads, RoomError> {
        let access = self.access(room_id, viewer.user_id)?;
        let mut visibility = self.visibility(&access, viewer.user_id)?;
        let mut threads = Threads { chunk: Vec::new(), next: None };
        let order = key([BY_NEWEST, room_id.as_str()]);
        let range = order.clone()..=order.position(request.from.unwrap_or(Position::MAX));
        for row in self.store().range(Tree::Relation, range).rev() {
            let (row_key, root_id) = row?;
            let (position, root_id) = read_order(&row_key, &root_id)?;
            let Some((root, _)) = self.events().by_id(&root_id)? else { continue };
            if root.pdu.room_id != room_id || !visibility.may_see(&root)? || !visibility.reaches(&root)? {
                continue;
            }
            if request.participated && !self.has_part(&root, viewer.user_id)? {
                continue;
            }
            let Some(thread) = self.thread(&root, viewer.user_id, &mut visibility)? else { continue };
            if request.participated && !thread.participated {
                continue;
            }
            if threads.chunk.len() == request.limit {
                threads.next = Some(position);
                break;
            }
            threads.chunk.push(self.show_root(&root, &thread, viewer, &mut visibility)?);
        }
        Ok(threads)
    }

    /// The thread that starts at an event. What relates to something itself starts none.
    pub(super) fn thread(
        &self,
        root: &StoredEvent,
        user_id: &UserId,
        visibility: &mut Visibility<'_>,
    ) -> Result<Option<Thread>, StoreError> {
        let exists = self.store().contains(Tree::Relation, thread_key(&root.pdu.room_id, root.event_id()))?;
        if !exists || relation_of(&root.pdu.content).is_some() {
            return Ok(None);
        }
        let Some(latest) = self.newest_reply(root, visibility)? else { return Ok(None) };
        let (count, own) = if visibility.sees_all_from(root)? {
            self.count_by_sender(root, user_id, visibility)?
        } else {
            self.count_one_by_one(root, user_id, visibility)?
        };
        let participated = own || root.pdu.sender == user_id;
        Ok(Some(Thread { latest, count, participated }))
    }

    /// Whether somebody started a thread or ever replied in it.
    fn has_part(&self, root: &StoredEvent, user_id: &UserId) -> Result<bool, StoreError> {
        let replies = replies_key(&root.pdu.room_id, root.event_id()).text(user_id.as_str());
        Ok(root.pdu.sender == user_id || self.store().contains(Tree::Relation, replies)?)
    }

    /// How many replies are in a thread whose every event the viewer may see, and whether some are the user's.
    fn count_by_sender(
        &self,
        root: &StoredEvent,
        user_id: &UserId,
        visibility: &Visibility<'_>,
    ) -> Result<(usize, bool), StoreError> {
        let (mut count, mut own) = (0, false);
        let damaged = || StoreError::damaged("a number of replies");
        let replies = replies_key(&root.pdu.room_id, root.event_id());
        for row in self.store().scan_prefix(Tree::Relation, replies) {
            let (row_key, value) = row?;
            let [_, _, _, sender] = KeyBuf::read(&row_key).ok_or_else(damaged)?;
            let sender = <&UserId>::try_from(sender).map_err(|_| damaged())?;
            if !visibility.ignores(sender) {
                let Position(replies) = Position::from_suffix(&value).ok_or_else(damaged)?;
                count += usize::try_from(replies).unwrap_or(usize::MAX);
                own |= sender == user_id;
            }
        }
        Ok((count, own))
    }

    /// How many replies the viewer sees, and whether some are the user's.
    fn count_one_by_one(
        &self,
        root: &StoredEvent,
        user_id: &UserId,
        visibility: &mut Visibility<'_>,
    ) -> Result<(usize, bool), StoreError> {
        let (mut count, mut own) = (0, false);
        for row in self.store().scan_prefix(Tree::Relation, key([root.event_id().as_str(), THREAD])) {
            let Position(number) =
                Position::from_suffix(&row?.0).ok_or_else(|| StoreError::damaged("a relation"))?;
            if let Some(reply) = self.valid_child(root, number, visibility)? {
                count += 1;
                own |= reply.pdu.sender == user_id;
            }
        }
        Ok((count, own))
    }

    /// The newest reply in a thread that the viewer sees. The rows are in order for each type of event; few types are in
    /// a thread.
    fn newest_reply(
        &self,
        root: &StoredEvent,
        visibility: &mut Visibility<'_>,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let damaged = || StoreError::damaged("a relation");
        let replies = key([root.event_id().as_str(), THREAD]);
        let end = [replies.as_ref(), &[0xff; 2]].concat();
        let mut newest: Option<Arc<StoredEvent>> = None;
        let mut from: Vec<u8> = replies.into();
        while let Some(row) = self.store().range(Tree::Relation, from..end.clone()).next() {
            let (row_key, _) = row?;
            let [_, _, event_type] = KeyBuf::read::<3>(&row_key).ok_or_else(damaged)?;
            let of_type = key([root.event_id().as_str(), THREAD, event_type]);
            for row in self.store().scan_prefix(Tree::Relation, of_type.clone()).rev() {
                let (row_key, value) = row?;
                let Position(number) = Position::from_suffix(&row_key).ok_or_else(damaged)?;
                if newest.as_ref().is_some_and(|newest| newest.number > number) {
                    break;
                }
                if *value == *GONE {
                    continue;
                }
                if let Some(reply) = self.valid_child(root, number, visibility)? {
                    newest = Some(reply);
                    break;
                }
            }
            from = of_type.position(Position::MAX).into();
        }
        Ok(newest)
    }
}

/// Where the newest event of a thread is, and the root.
fn read_order(row_key: &[u8], root: &[u8]) -> Result<(Position, OwnedEventId), StoreError> {
    let root = std::str::from_utf8(root).ok().and_then(|root| OwnedEventId::try_from(root).ok());
    Position::from_suffix(row_key).zip(root).ok_or_else(|| StoreError::damaged("a thread"))
}

/// Writes that an event, which has taken its position, is the newest of a thread, and counts it.
pub(super) fn put_reply(event: &StoredEvent, root: &EventId, set: &mut WriteSet) {
    let (room_id, root) = (event.pdu.room_id.clone(), root.to_owned());
    let replies = replies_key(&room_id, &root).text(event.pdu.sender.as_str());
    set.at_last_position(move |position, rows| {
        count(replies, 1, rows);
        let thread = thread_key(&room_id, &root);
        rows.change(Tree::Relation, thread.clone(), move |before, rows| {
            let order = key([BY_NEWEST, room_id.as_str()]);
            if let Some(before) = before.and_then(Position::from_suffix) {
                rows.delete(Tree::Relation, order.clone().position(before));
            }
            rows.put(Tree::Relation, order.position(position), root.as_bytes());
            rows.put(Tree::Relation, thread, position.to_bytes());
        });
    });
}

/// Writes that an event that is redacted does not count in its thread, if it is in one and counted.
pub(super) fn take_reply_back(event: &StoredEvent, set: &mut WriteSet) {
    let Some(relation) = relation_of(&event.pdu.content).filter(|relation| relation.rel_type == THREAD)
    else {
        return;
    };
    let replies = replies_key(&event.pdu.room_id, &relation.event_id).text(event.pdu.sender.as_str());
    let row_key = relation_key(&relation, event);
    set.change(Tree::Relation, row_key.clone(), move |value, rows| {
        // Of two redactions at the same time, one finds that the other was faster.
        if value.is_some_and(|value| value != GONE) {
            rows.put(Tree::Relation, row_key, GONE);
            count(replies, -1, rows);
        }
    });
}

/// Adds to the number in a row; there is no row for zero.
fn count(row_key: KeyBuf, more: i64, rows: &mut Rows) {
    rows.change(Tree::Relation, row_key.clone(), move |before, rows| {
        let Position(before) = before.and_then(Position::from_suffix).unwrap_or_default();
        match before.saturating_add_signed(more) {
            0 => rows.delete(Tree::Relation, row_key),
            now => rows.put(Tree::Relation, row_key, now.to_be_bytes()),
        }
    });
}
