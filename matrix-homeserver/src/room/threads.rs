//! The threads of a room ([threads list]).
//!
//! [threads list]: https://spec.matrix.org/v1.19/client-server-api/#querying-threads-in-a-room

use std::cmp::Reverse;

use ruma::{EventId, OwnedEventId, RoomId};
use serde_json::value::RawValue;

use super::{RoomError, Rooms, Viewer};
use crate::store::{KeyBuf, Position, StoreError, Tree, WriteSet, key};

/// The rows that say where the newest event of a thread is.
const THREADS: &str = "threads";

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
        let mut found = self.thread_rows(room_id)?;
        found.retain(|(position, _)| request.from.is_none_or(|from| *position <= from));
        found.sort_by_key(|(position, _)| Reverse(*position));
        let mut threads = Threads { chunk: Vec::new(), next: None };
        for (position, root_id) in found {
            let Some((root, _)) = self.events().by_id(&root_id)? else { continue };
            if root.pdu.room_id != room_id || !visibility.may_see(&root)? || !visibility.reaches(&root)? {
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

    /// Every root of a thread in a room, with the position of the newest event that was put into the thread.
    fn thread_rows(&self, room_id: &RoomId) -> Result<Vec<(Position, OwnedEventId)>, StoreError> {
        let mut found = Vec::new();
        for row in self.store().scan_prefix(Tree::Relation, key([THREADS, room_id.as_str()])) {
            let (row_key, value) = row?;
            let root = KeyBuf::read(&row_key).and_then(|[_, _, root]| OwnedEventId::try_from(root).ok());
            let row = Position::from_suffix(&value).zip(root);
            found.push(row.ok_or_else(|| StoreError::damaged("a thread"))?);
        }
        Ok(found)
    }
}

/// Writes that an event with the position that was taken last is the newest of a thread.
pub(super) fn put_thread(room_id: &RoomId, root: &EventId, set: &mut WriteSet) {
    // No event ID begins with a letter, so these rows are not found among those of an event.
    let row_key = key([THREADS, room_id.as_str(), root.as_str()]);
    set.at_last_position(move |position, rows| rows.put(Tree::Relation, row_key, position.to_bytes()));
}
