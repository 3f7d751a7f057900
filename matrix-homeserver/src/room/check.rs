//! The check at start: do the rows agree with each other?
//!
//! Rows that belong together are written together, so they can only disagree when the files are damaged. A
//! server that started on them would build new events on a wrong state and send them out; it is better not to
//! start.

use super::{
    load::{self, HeadRow},
    state_tree::{Root, StateTree},
    stored,
};
use crate::store::{Position, Store, StoreError, Tree, key};

/// Checks that every room's head is where its timeline ends, that the state at the head can be read, and that
/// nothing lies beyond the stream. Looks at a few rows per room, whatever its length.
pub(super) fn check(store: &Store) -> Result<(), StoreError> {
    match problems(store)?.into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(StoreError::damaged(problem)),
    }
}

/// What [`check`] finds wrong, room by room.
pub(crate) fn problems(store: &Store) -> Result<Vec<String>, StoreError> {
    let frontier = store.frontier();
    let mut problems = Vec::new();
    for row in store.scan_prefix(Tree::Room, key(["head"])) {
        let (key, value) = row?;
        let number = Position::from_suffix(&key).ok_or_else(|| StoreError::damaged("the key of a room"))?.0;
        let Ok(head) = serde_json::from_slice::<HeadRow>(&value) else {
            problems.push(format!("room number {number}: its head cannot be read"));
            continue;
        };
        match check_room(store, number, &head, frontier) {
            Ok(()) => {}
            Err(Problem::Disagrees(what)) => problems.push(format!("room {}: {what}", head.room_id)),
            Err(Problem::Store(StoreError::Damaged { what })) => {
                problems.push(format!("room {}: {what} is damaged", head.room_id));
            }
            Err(Problem::Store(error)) => return Err(error),
        }
    }
    Ok(problems)
}

/// What is wrong with the events: rows that cannot be read, and timelines that name an event that is not there. Looks at
/// every event.
pub(crate) fn problems_of_events(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut problems = Vec::new();
    for row in store.range::<&[u8]>(Tree::Event, ..) {
        let (key, value) = row?;
        let number = Position::from_suffix(&key).unwrap_or_default().0;
        if stored::read(number, &value).is_err() {
            problems.push(format!("event number {number} cannot be read"));
        }
    }
    for row in store.range::<&[u8]>(Tree::Timeline, ..) {
        let (key, value) = row?;
        match load::read_timeline(&key, &value) {
            Err(_) => problems.push("a row of a timeline cannot be read".to_owned()),
            Ok((position, event, _)) if !store.contains(Tree::Event, event.to_be_bytes())? => {
                problems.push(format!("event number {event}, at position {position}, is missing"));
            }
            Ok(_) => {}
        }
    }
    Ok(problems)
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
