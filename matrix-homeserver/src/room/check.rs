//! The check at start: do the rows agree with each other?
//!
//! Rows that belong together are written together, so they can only disagree when the files are damaged. A
//! server that started on them would build new events on a wrong state and send them out; it is better not to
//! start.

use super::{
    load::{self, HeadRow},
    state_tree::{Root, StateTree},
};
use crate::store::{Position, Store, StoreError, Tree, key};

/// Checks that every room's head is where its timeline ends, that the state at the head can be read, and that
/// nothing lies beyond the stream. Looks at a few rows per room, whatever its length.
pub(super) fn check(store: &Store) -> Result<(), StoreError> {
    let frontier = store.frontier();
    for row in store.scan_prefix(Tree::Room, key(["head"])) {
        let (key, value) = row?;
        let number = Position::from_suffix(&key).ok_or_else(|| StoreError::damaged("the key of a room"))?.0;
        let head: HeadRow =
            serde_json::from_slice(&value).map_err(|_| StoreError::damaged("the head of a room"))?;
        check_room(store, number, &head, frontier).map_err(|problem| match problem {
            Problem::Store(error) => error,
            Problem::Disagrees(what) => StoreError::damaged(format!("room {}: {what}", head.room_id)),
        })?;
    }
    Ok(())
}

enum Problem {
    Store(StoreError),
    Disagrees(&'static str),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn check_room(store: &Store, number: u64, head: &HeadRow, frontier: Position) -> Result<(), Problem> {
    let last = store.scan_prefix(Tree::Timeline, load::timeline_key(number)).next_back();
    let (key, value) = last.ok_or(Problem::Disagrees("its timeline is empty"))??;
    let (position, last_event, state_after): (Position, u64, Root) = load::read_timeline(&key, &value)?;
    if position > frontier {
        return Err(Problem::Disagrees("its timeline goes beyond the stream"));
    }
    if state_after != head.state {
        return Err(Problem::Disagrees("its state is not that after its last event"));
    }
    if !store.contains(Tree::Event, last_event.to_be_bytes())? {
        return Err(Problem::Disagrees("its last event is missing"));
    }
    let mut ends_with_last = false;
    for extremity in &head.extremities {
        let index = store.get(Tree::EventId, extremity.event.event_id.as_bytes())?;
        let index = index.ok_or(Problem::Disagrees("an event at its end is missing"))?;
        ends_with_last |= Position::from_suffix(&index) == Some(position);
    }
    if !ends_with_last {
        return Err(Problem::Disagrees("its last event is not where its timeline ends"));
    }
    let create = StateTree::at(head.state).get(store, "m.room.create", "")?;
    let create = create.ok_or(Problem::Disagrees("its state has no create event"))?;
    if !store.contains(Tree::Event, create.to_be_bytes())? {
        return Err(Problem::Disagrees("its create event is missing"));
    }
    Ok(())
}
