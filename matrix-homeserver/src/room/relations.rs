//! What relates to an event ([relationships]).
//!
//! [relationships]: https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events

use ruma::{EventId, OwnedEventId, RoomId};
use serde_json::value::RawValue;

use super::{Direction, RoomError, Rooms, Viewer};
use crate::store::{KeyBuf, Position, StoreError, Tree, key};

/// How far related events are followed to what relates to them.
const MAX_DEPTH: u64 = 3;

/// Which related events are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelationsRequest<'a> {
    pub(crate) rel_type: Option<&'a str>,
    pub(crate) event_type: Option<&'a str>,
    /// Behind the related event with this number.
    pub(crate) from: Option<u64>,
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
    pub(crate) next: Option<u64>,
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
        self.visible_event(&access, viewer.user_id, event_id)?;
        let mut visibility = self.visibility(&access, viewer.user_id)?;
        let (mut related, mut depth) = (Vec::new(), 0);
        let mut parents: Vec<OwnedEventId> = vec![event_id.to_owned()];
        while !parents.is_empty() && depth < if request.recurse { MAX_DEPTH } else { 1 } {
            depth += 1;
            let mut children = Vec::new();
            for parent in &parents {
                for (number, matches) in self.related_to(parent, request)? {
                    let event = self.events().expect(number)?;
                    let position = self.events().locate(event.event_id())?.map(|(_, position)| position);
                    if event.pdu.room_id != room_id
                        || event.meta.redacted_by.is_some()
                        || position.is_none_or(|position: Position| position > access.upto)
                        || !visibility.sees(&event)?
                    {
                        continue;
                    }
                    children.push(event.event_id().to_owned());
                    if matches {
                        related.push(event);
                    }
                }
            }
            parents = children;
        }
        related.sort_by_key(|event| event.number);
        related.dedup_by_key(|event| event.number);
        match request.direction {
            Direction::Backward => {
                related.reverse();
                related.retain(|event| request.from.is_none_or(|from| event.number < from));
            }
            Direction::Forward => related.retain(|event| request.from.is_none_or(|from| event.number > from)),
        }
        let more = related.len() > request.limit;
        related.truncate(request.limit);
        let next = related.last().filter(|_| more).map(|event| event.number);
        let mut chunk = Vec::with_capacity(related.len());
        for event in &related {
            let membership = visibility.membership_at(event)?;
            chunk.push(self.render(event, viewer, membership)?);
        }
        Ok(Relations { chunk, next, depth })
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
}
