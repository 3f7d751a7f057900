//! What relates to an event ([relationships]).
//!
//! [relationships]: https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events

use std::sync::Arc;

use ruma::{EventId, OwnedEventId, RoomId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Direction, RoomError, Rooms, Viewer, Visibility, stored::StoredEvent};
use crate::store::{KeyBuf, Position, StoreError, Tree, key};

/// An edit.
pub(super) const REPLACE: &str = "m.replace";
/// A part of a thread.
pub(super) const THREAD: &str = "m.thread";
/// Anything that has to do with another event.
pub(super) const REFERENCE: &str = "m.reference";
/// A reaction.
const ANNOTATION: &str = "m.annotation";
/// How far related events are followed to what relates to them.
const MAX_DEPTH: u64 = 3;

/// What an event says it relates to.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Relation {
    pub(super) rel_type: String,
    pub(super) event_id: OwnedEventId,
    /// What an annotation says.
    key: Option<String>,
}

/// What the content of an event says it relates to, if that is a relation: a plain reply is none.
pub(super) fn relation_of(content: &RawValue) -> Option<Relation> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: Relation,
    }
    // Most events relate to nothing, and are not parsed to find that out.
    if !content.get().contains("m.relates_to") {
        return None;
    }
    serde_json::from_str::<Content>(content.get()).ok().map(|content| content.relates_to)
}

/// The row that says that an event relates to another.
pub(super) fn relation_key(relation: &Relation, event: &StoredEvent) -> KeyBuf {
    let event_type = event.pdu.event_type.to_string();
    key([relation.event_id.as_str(), &relation.rel_type, &event_type]).number(event.number)
}

/// Which related events are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelationsRequest<'a> {
    pub(crate) rel_type: Option<&'a str>,
    pub(crate) event_type: Option<&'a str>,
    /// A position lies between events: behind the one that has it. The newest or oldest end where absent.
    pub(crate) from: Option<Position>,
    /// Where to stop.
    pub(crate) to: Option<Position>,
    pub(crate) direction: Direction,
    pub(crate) limit: usize,
    /// Also what relates to the related events.
    pub(crate) recurse: bool,
}

/// Related events as a client gets them.
#[derive(Debug)]
pub(crate) struct Relations {
    pub(crate) chunk: Vec<Box<RawValue>>,
    /// The `from` of the next page. Absent at the end.
    pub(crate) next: Option<Position>,
    /// How far related events were followed.
    pub(crate) depth: u64,
}

impl Rooms {
    /// The events that relate to an event, as far as the viewer sees them. Redacted ones relate to nothing any more.
    ///
    /// # Errors
    /// If the viewer does not see the event.
    pub(crate) fn relations(
        &self,
        room_id: &RoomId,
        viewer: &Viewer<'_>,
        event_id: &EventId,
        request: RelationsRequest<'_>,
    ) -> Result<Relations, RoomError> {
        let access = self.access(room_id, viewer.user_id)?;
        let (parent, _) = self.visible_event(&access, viewer.user_id, event_id)?;
        let mut visibility = self.visibility(&access, viewer.user_id)?;
        let (mut related, depth) = self.related(&parent, request, &mut visibility)?;
        related.sort_by_key(|(position, _)| *position);
        related.dedup_by_key(|(position, _)| *position);
        let RelationsRequest { from, to, limit, .. } = request;
        let forward = request.direction == Direction::Forward;
        if forward {
            related.retain(|(at, _)| from.is_none_or(|from| *at > from) && to.is_none_or(|to| *at <= to));
        } else {
            related.reverse();
            related.retain(|(at, _)| from.is_none_or(|from| *at <= from) && to.is_none_or(|to| *at > to));
        }
        let more = related.len() > limit;
        related.truncate(limit);
        // Behind the event when going forward, before it when going back.
        let next = related.last().filter(|_| more).map(|(at, _)| Position(at.0 - u64::from(!forward)));
        let mut chunk = Vec::with_capacity(related.len());
        for (_, event) in &related {
            chunk.push(self.show(event, viewer, &mut visibility)?);
        }
        Ok(Relations { chunk, next, depth })
    }

    /// The events that relate to an event with their positions, and how far they were followed.
    #[expect(clippy::type_complexity, reason = "a list, and a number about it")]
    fn related(
        &self,
        event: &StoredEvent,
        request: RelationsRequest<'_>,
        visibility: &mut Visibility<'_>,
    ) -> Result<(Vec<(Position, Arc<StoredEvent>)>, u64), StoreError> {
        let (mut related, mut depth) = (Vec::new(), 0);
        let mut parents: Vec<OwnedEventId> = vec![event.pdu.event_id.clone()];
        while !parents.is_empty() && depth < if request.recurse { MAX_DEPTH } else { 1 } {
            depth += 1;
            let mut children = Vec::new();
            for parent in &parents {
                for (number, matches) in self.related_to(parent, request)? {
                    let Some(child) = self.valid_child(event, number, visibility)? else { continue };
                    let Some((_, position)) = self.events().locate(child.event_id())? else { continue };
                    children.push(child.pdu.event_id.clone());
                    if matches {
                        related.push((position, child));
                    }
                }
            }
            parents = children;
        }
        Ok((related, depth))
    }

    /// The numbers of the events that relate to an event directly, and whether they are of the kind that is asked for.
    fn related_to(
        &self,
        parent: &EventId,
        request: RelationsRequest<'_>,
    ) -> Result<Vec<(u64, bool)>, StoreError> {
        let mut found = Vec::new();
        for row in self.store().scan_prefix(Tree::Relation, key([parent.as_str()])) {
            let (row_key, _) = row?;
            let damaged = || StoreError::damaged("a relation");
            let [_, rel_type, event_type] = KeyBuf::read::<3>(&row_key).ok_or_else(damaged)?;
            let matches = request.rel_type.is_none_or(|wanted| wanted == rel_type)
                && request.event_type.is_none_or(|wanted| wanted == event_type);
            let number = Position::from_suffix(&row_key).ok_or_else(damaged)?.0;
            if matches || request.recurse {
                found.push((number, matches));
            }
        }
        Ok(found)
    }

    /// Refuses what no client may add to an event: the same annotation twice ([duplicate annotations]), and a thread
    /// from what is itself related to something ([threading]).
    ///
    /// [duplicate annotations]: https://spec.matrix.org/v1.19/client-server-api/#avoiding-duplicate-annotations
    /// [threading]: https://spec.matrix.org/v1.19/client-server-api/#threading
    pub(super) fn check_relation(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        event_type: &str,
        content: &RawValue,
    ) -> Result<(), RoomError> {
        let Some(relation) = relation_of(content) else { return Ok(()) };
        match relation.rel_type.as_str() {
            ANNOTATION => self.check_annotation(sender, event_type, &relation),
            THREAD => match self.events().by_id(&relation.event_id)? {
                Some((root, _))
                    if root.pdu.room_id == room_id && relation_of(&root.pdu.content).is_some() =>
                {
                    Err(RoomError::InvalidThread)
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn check_annotation(
        &self,
        sender: &UserId,
        event_type: &str,
        relation: &Relation,
    ) -> Result<(), RoomError> {
        let Some(said) = &relation.key else { return Ok(()) };
        let prefix = key([relation.event_id.as_str(), ANNOTATION, event_type]);
        for row in self.store().scan_prefix(Tree::Relation, prefix) {
            let number = Position::from_suffix(&row?.0).ok_or_else(|| StoreError::damaged("a relation"))?.0;
            let other = self.events().expect(number)?;
            let is_same = other.pdu.sender == sender
                && other.meta.redacted_by.is_none()
                && relation_of(&other.pdu.content).is_some_and(|other| other.key.as_ref() == Some(said));
            if is_same {
                return Err(RoomError::DuplicateAnnotation);
            }
        }
        Ok(())
    }
}
