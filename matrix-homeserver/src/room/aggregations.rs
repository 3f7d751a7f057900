//! What the server tells about an event from the events that relate to it ([aggregations]).
//!
//! [aggregations]: https://spec.matrix.org/v1.19/client-server-api/#aggregations-of-child-events

use std::sync::Arc;

use ruma::{EventId, events::TimelineEventType};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Rooms, Viewer, Visibility,
    relations::{REFERENCE, REPLACE, THREAD, relation_of},
    stored::StoredEvent,
    threads::Thread,
};
use crate::{
    event::{client_event, redact},
    store::{KeyBuf, Position, StoreError, Tree, key},
};

/// The value of `m.relations`.
#[derive(Debug, Default, Serialize)]
struct Bundle {
    /// The newest edit, whole.
    #[serde(rename = "m.replace", skip_serializing_if = "Option::is_none")]
    replace: Option<Box<RawValue>>,
    #[serde(rename = "m.thread", skip_serializing_if = "Option::is_none")]
    thread: Option<ThreadBody>,
    #[serde(rename = "m.reference", skip_serializing_if = "Option::is_none")]
    reference: Option<References>,
}

#[derive(Debug, Serialize)]
struct ThreadBody {
    latest_event: Box<RawValue>,
    count: usize,
    current_user_participated: bool,
}

#[derive(Debug, Serialize)]
struct References {
    chunk: Vec<Reference>,
}

#[derive(Debug, Serialize)]
struct Reference {
    event_id: ruma::OwnedEventId,
}

impl Rooms {
    /// An event as somebody sees it, with what is known from the events that relate to it.
    pub(crate) fn show(
        &self,
        event: &StoredEvent,
        viewer: &Viewer<'_>,
        visibility: &mut Visibility<'_>,
    ) -> Result<Box<RawValue>, StoreError> {
        let mut unsigned = self.unsigned_for(event, viewer)?;
        unsigned.membership = Some(visibility.told_membership_at(event)?.to_string());
        if visibility.is_erased(event)? {
            return Ok(client_event(&self.bare(event)?, &unsigned, viewer.format));
        }
        let bundle = self.bundle(event, viewer, visibility)?;
        unsigned.relations = bundle.map(|bundle| to_raw_value(&bundle).expect("a bundle is JSON"));
        Ok(client_event(&event.pdu, &unsigned, viewer.format))
    }

    /// The root of a thread as somebody sees it, who may not want to see who sent it.
    pub(super) fn show_root(
        &self,
        root: &StoredEvent,
        thread: &Thread,
        viewer: &Viewer<'_>,
        visibility: &mut Visibility<'_>,
    ) -> Result<Box<RawValue>, StoreError> {
        if !visibility.ignores(&root.pdu.sender) {
            return self.show(root, viewer, visibility);
        }
        let mut unsigned = self.unsigned_for(root, viewer)?;
        unsigned.membership = Some(visibility.told_membership_at(root)?.to_string());
        let thread = self.thread_body(thread, viewer, visibility)?;
        let bundle = Bundle { thread: Some(thread), ..Bundle::default() };
        unsigned.relations = Some(to_raw_value(&bundle).expect("a bundle is JSON"));
        Ok(client_event(&self.bare(root)?, &unsigned, viewer.format))
    }

    /// An event with nothing in it that a redaction takes away.
    fn bare(&self, event: &StoredEvent) -> Result<crate::event::Pdu, StoreError> {
        let room = self.get(&event.pdu.room_id)?.ok_or_else(|| StoreError::damaged("a room is missing"))?;
        Ok(redact(&event.pdu, &room.rules.redaction))
    }

    fn bundle(
        &self,
        event: &StoredEvent,
        viewer: &Viewer<'_>,
        visibility: &mut Visibility<'_>,
    ) -> Result<Option<Bundle>, StoreError> {
        if event.pdu.state_key.is_some() {
            return Ok(None);
        }
        let event_id = event.event_id().as_str();
        if self.store().scan_prefix(Tree::Relation, key([event_id])).next().transpose()?.is_none() {
            return Ok(None);
        }
        let event_type = event.pdu.event_type.to_string();
        let edits = self.relating(key([event_id, REPLACE, &event_type]))?;
        let mut bundle = Bundle::default();
        if let Some(edit) = self.newest_edit(event, &edits, visibility)? {
            let mut unsigned = self.unsigned_for(&edit, viewer)?;
            unsigned.membership = Some(visibility.told_membership_at(&edit)?.to_string());
            bundle.replace = Some(client_event(&edit.pdu, &unsigned, viewer.format));
        }
        if let Some(thread) = self.thread(event, viewer.user_id, visibility)? {
            bundle.thread = Some(self.thread_body(&thread, viewer, visibility)?);
        }
        let mut chunk = Vec::new();
        for number in self.relating(key([event_id, REFERENCE]))? {
            if let Some(child) = self.valid_child(event, number, visibility)? {
                chunk.push(Reference { event_id: child.pdu.event_id.clone() });
            }
        }
        bundle.reference = (!chunk.is_empty()).then_some(References { chunk });
        let something = bundle.replace.is_some() || bundle.thread.is_some() || bundle.reference.is_some();
        Ok(something.then_some(bundle))
    }

    /// The numbers of the events of some kinds that relate to an event.
    fn relating(&self, kinds: KeyBuf) -> Result<Vec<u64>, StoreError> {
        let rows = self.store().scan_prefix(Tree::Relation, kinds);
        let number = |row_key: &[u8]| Position::from_suffix(row_key).map(|number| number.0);
        rows.map(|row| number(&row?.0).ok_or_else(|| StoreError::damaged("a relation"))).collect()
    }

    /// An event that relates to another, unless it was redacted, is of another room, or is not for this viewer.
    pub(super) fn valid_child(
        &self,
        parent: &StoredEvent,
        number: u64,
        visibility: &mut Visibility<'_>,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let child = self.events().expect(number)?;
        let valid = child.pdu.room_id == parent.pdu.room_id
            && child.meta.redacted_by.is_none()
            && visibility.sees(&child)?
            && visibility.reaches(&child)?;
        Ok(valid.then_some(child))
    }

    /// The edit that counts ([validity of replacement events]).
    ///
    /// [validity of replacement events]: https://spec.matrix.org/v1.19/client-server-api/#validity-of-replacement-events
    fn newest_edit(
        &self,
        event: &StoredEvent,
        edits: &[u64],
        visibility: &mut Visibility<'_>,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let is_edit = relation_of(&event.pdu.content).is_some_and(|relation| relation.rel_type == REPLACE);
        if edits.is_empty() || event.meta.redacted_by.is_some() || is_edit {
            return Ok(None);
        }
        let encrypted = event.pdu.event_type == TimelineEventType::RoomEncrypted;
        let mut newest: Option<Arc<StoredEvent>> = None;
        for number in edits {
            let Some(edit) = self.valid_child(event, *number, visibility)? else { continue };
            if edit.pdu.sender != event.pdu.sender
                || edit.pdu.state_key.is_some()
                || !(encrypted || edit.pdu.content.get().contains("m.new_content"))
            {
                continue;
            }
            let age = |edit: &StoredEvent| (edit.pdu.origin_server_ts, edit.pdu.event_id.clone());
            if newest.as_ref().is_none_or(|newest| age(&edit) > age(newest)) {
                newest = Some(edit);
            }
        }
        Ok(newest)
    }

    fn thread_body(
        &self,
        thread: &Thread,
        viewer: &Viewer<'_>,
        visibility: &mut Visibility<'_>,
    ) -> Result<ThreadBody, StoreError> {
        Ok(ThreadBody {
            // This goes no deeper: what is in a thread starts none.
            latest_event: self.show(&thread.latest, viewer, visibility)?,
            count: thread.count,
            current_user_participated: thread.participated,
        })
    }

    /// The root of the thread that an event of a room is in: by relating to it, or to what is in it; else none.
    pub(crate) fn thread_root_of(
        &self,
        event: &StoredEvent,
    ) -> Result<Option<ruma::OwnedEventId>, StoreError> {
        let mut relation = relation_of(&event.pdu.content);
        // What relates to an event of a thread (a reaction, an edit) is read with it.
        for _ in 0..2 {
            match relation {
                Some(found) if found.rel_type == THREAD => return Ok(Some(found.event_id)),
                Some(found) => relation = self.relation_of_event(&found.event_id)?,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    fn relation_of_event(
        &self,
        event_id: &EventId,
    ) -> Result<Option<super::relations::Relation>, StoreError> {
        Ok(self.events().by_id(event_id)?.and_then(|(event, _)| relation_of(&event.pdu.content)))
    }
}
