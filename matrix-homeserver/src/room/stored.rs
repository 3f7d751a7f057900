//! Events as they are kept.

use std::{fmt, sync::Arc};

use lru::LruCache;
use parking_lot::Mutex;
use ruma::{EventId, OwnedDeviceId, OwnedEventId, RoomVersionId, room_version_rules::RoomVersionRules};

use super::state_tree::Root;
use crate::{
    event::{Pdu, redact, redact_json},
    store::{Position, Store, StoreError, Tree, WriteSet},
};

/// How many events are kept in memory, over all rooms.
const CACHED_EVENTS: std::num::NonZeroUsize = std::num::NonZeroUsize::new(16_384).expect("not zero");
/// The layout of the header.
const HEADER_VERSION: u8 = 1;

/// An event with what this server knows about it.
#[derive(Debug)]
pub(crate) struct StoredEvent {
    /// Names the event within this server. In the order in which events were made, which is nearly that of the
    /// stream.
    pub(crate) number: u64,
    /// The event, already without what a redaction took away.
    pub(crate) pdu: Arc<Pdu>,
    pub(crate) meta: Meta,
}

/// What this server knows about an event beside the event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The state of the room before the event.
    pub(crate) state_before: Root,
    /// The state event that this one replaced.
    pub(crate) replaces: Option<u64>,
    /// The redaction of this event.
    pub(crate) redacted_by: Option<u64>,
    /// The request that made the event.
    pub(crate) sent_by: Option<SentBy>,
}

/// The request that made an event, as the device that sent it wants to know it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentBy {
    pub(crate) device_id: Option<OwnedDeviceId>,
    pub(crate) txn_id: String,
}

impl StoredEvent {
    pub(crate) fn event_id(&self) -> &EventId {
        &self.pdu.event_id
    }
}

/// The row of an event: a header, and the canonical JSON to the end.
pub(super) fn encode(version: &RoomVersionId, event_id: &EventId, meta: &Meta, json: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(json.len() + 160);
    row.push(HEADER_VERSION);
    row.extend_from_slice(&meta.state_before.0);
    row.extend_from_slice(&meta.replaces.unwrap_or_default().to_be_bytes());
    row.extend_from_slice(&meta.redacted_by.unwrap_or_default().to_be_bytes());
    put_text(&mut row, Some(version.as_str()));
    put_text(&mut row, Some(event_id.as_str()));
    put_text(&mut row, meta.sent_by.as_ref().map(|sent| sent.txn_id.as_str()));
    put_text(&mut row, meta.sent_by.as_ref().and_then(|sent| sent.device_id.as_ref()).map(AsRef::as_ref));
    row.extend_from_slice(json.as_bytes());
    row
}

/// A text of a header: its length, one more than it is so that zero says there is none, and its bytes.
fn put_text(row: &mut Vec<u8>, text: Option<&str>) {
    let text_len = text.map_or(0, |text| u16::try_from(text.len() + 1).unwrap_or(u16::MAX));
    row.extend_from_slice(&text_len.to_be_bytes());
    let kept = usize::from(text_len.saturating_sub(1));
    row.extend_from_slice(&text.unwrap_or_default().as_bytes()[..kept]);
}

/// What a row of an event holds.
struct Row<'a> {
    version: RoomVersionId,
    event_id: OwnedEventId,
    meta: Meta,
    json: &'a str,
}

fn decode(row: &[u8]) -> Option<Row<'_>> {
    let (&HEADER_VERSION, row) = row.split_first()? else { return None };
    let (state_before, row) = row.split_first_chunk::<16>()?;
    let (replaces, row) = row.split_first_chunk::<8>()?;
    let (redacted_by, mut row) = row.split_first_chunk::<8>()?;
    let number = |bytes: &[u8; 8]| Some(u64::from_be_bytes(*bytes)).filter(|number| *number != 0);
    let mut text = || {
        let (len, rest) = row.split_first_chunk::<2>()?;
        let len = u16::from_be_bytes(*len);
        let (text, rest) = rest.split_at_checked(usize::from(len.saturating_sub(1)))?;
        row = rest;
        Some((len > 0).then_some(std::str::from_utf8(text).ok()?))
    };
    let version = RoomVersionId::try_from(text()??).ok()?;
    let event_id = OwnedEventId::try_from(text()??).ok()?;
    let txn_id = text()?.map(str::to_owned);
    let device_id = text()?.map(OwnedDeviceId::from);
    let meta = Meta {
        state_before: Root(*state_before),
        replaces: number(replaces),
        redacted_by: number(redacted_by),
        sent_by: txn_id.map(|txn_id| SentBy { device_id, txn_id }),
    };
    Some(Row { version, event_id, meta, json: std::str::from_utf8(row).ok()? })
}

/// The events of all rooms: rows in the store, the most recently used ones in memory.
pub(crate) struct Events {
    store: Store,
    cache: Mutex<LruCache<u64, Arc<StoredEvent>>>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    pub(super) fn new(store: Store) -> Self {
        // Not with its capacity: the table would be allocated at once.
        let mut cache = LruCache::unbounded();
        cache.resize(CACHED_EVENTS);
        Self { store, cache: Mutex::new(cache) }
    }

    /// An event by its number.
    pub(crate) fn get(&self, number: u64) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        if let Some(event) = self.cache.lock().get(&number) {
            return Ok(Some(event.clone()));
        }
        let Some(row) = self.store.get(Tree::Event, number.to_be_bytes())? else { return Ok(None) };
        let event = Arc::new(read(number, &row)?);
        // What came into memory meanwhile may have been redacted after the row was read.
        Ok(Some(self.cache.lock().get_or_insert(number, || event).clone()))
    }

    /// An event that some row names, and that is there unless the store is damaged.
    pub(crate) fn expect(&self, number: u64) -> Result<Arc<StoredEvent>, StoreError> {
        self.get(number)?.ok_or_else(|| StoreError::damaged(format!("event {number} is missing")))
    }

    /// Where an event is: its number, and its position in the stream.
    pub(crate) fn locate(&self, event_id: &EventId) -> Result<Option<(u64, Position)>, StoreError> {
        let Some(row) = self.store.get(Tree::EventId, event_id.as_bytes())? else { return Ok(None) };
        let number = row.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes));
        number
            .zip(Position::from_suffix(&row))
            .map(Some)
            .ok_or_else(|| StoreError::damaged("the index of an event"))
    }

    /// An event by its ID, with its position.
    pub(crate) fn by_id(
        &self,
        event_id: &EventId,
    ) -> Result<Option<(Arc<StoredEvent>, Position)>, StoreError> {
        match self.locate(event_id)? {
            None => Ok(None),
            Some((number, position)) => Ok(Some((self.expect(number)?, position))),
        }
    }

    /// Keeps an event that is being written, so that it is found before it is.
    pub(super) fn keep(&self, event: Arc<StoredEvent>) {
        self.cache.lock().put(event.number, event);
    }

    /// Marks an event as redacted: what is read from now on, and the row. Returns the redacted event.
    pub(super) fn redact(
        &self,
        event: &StoredEvent,
        redaction: u64,
        rules: &RoomVersionRules,
        set: &mut WriteSet,
    ) -> Result<Arc<StoredEvent>, StoreError> {
        let row = self
            .store
            .get(Tree::Event, event.number.to_be_bytes())?
            .ok_or_else(|| StoreError::damaged("an event to redact is missing"))?;
        let Row { version, event_id, mut meta, json } =
            decode(&row).ok_or_else(|| StoreError::damaged("an event"))?;
        meta.redacted_by = Some(redaction);
        set.put(Tree::Event, event.number.to_be_bytes(), encode(&version, &event_id, &meta, json));
        let redacted =
            StoredEvent { number: event.number, pdu: Arc::new(redact(&event.pdu, &rules.redaction)), meta };
        Ok(Arc::new(redacted))
    }

    /// Forgets what is in memory, after a write failed.
    pub(super) fn forget_cached(&self) {
        self.cache.lock().clear();
    }
}

pub(super) fn read(number: u64, row: &[u8]) -> Result<StoredEvent, StoreError> {
    let damaged = || StoreError::damaged(format!("event {number}"));
    let Row { version, event_id, meta, json } = decode(row).ok_or_else(damaged)?;
    let rules = version.rules().ok_or_else(damaged)?;
    let mut pdu = Pdu::from_json(event_id, json, &rules).map_err(|_| damaged())?;
    if meta.redacted_by.is_some() {
        pdu = redact(&pdu, &rules.redaction);
    }
    Ok(StoredEvent { number, pdu: Arc::new(pdu), meta })
}

/// The complete JSON of an event, with hashes and signatures. Of an event that was redacted, and of any other if `bare`,
/// without what a redaction takes away.
pub(super) fn full_json(store: &Store, number: u64, bare: bool) -> Result<Option<String>, StoreError> {
    let damaged = || StoreError::damaged(format!("event {number}"));
    let Some(row) = store.get(Tree::Event, number.to_be_bytes())? else { return Ok(None) };
    let Row { version, meta, json, .. } = decode(&row).ok_or_else(damaged)?;
    if !bare && meta.redacted_by.is_none() {
        return Ok(Some(json.to_owned()));
    }
    let rules = version.rules().ok_or_else(damaged)?;
    redact_json(json, &rules.redaction).map(Some).ok_or_else(damaged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::event_id;

    use super::*;

    proptest! {
        #[test]
        fn a_row_reads_as_what_was_written(
            state in any::<[u8; 16]>(), replaces in proptest::option::of(1_u64..), redacted in proptest::option::of(1_u64..),
            txn in proptest::option::of(("\\PC{0,40}", proptest::option::of("[A-Z]{1,10}"))), json in "\\PC{0,200}",
        ) {
            let meta = Meta {
                state_before: Root(state),
                replaces,
                redacted_by: redacted,
                sent_by: txn.map(|(txn_id, device)| SentBy { txn_id, device_id: device.map(OwnedDeviceId::from) }),
            };
            let bytes = encode(&RoomVersionId::V11, event_id!("$abc"), &meta, &json);
            let row = decode(&bytes).unwrap();
            prop_assert_eq!(row.meta, meta);
            prop_assert_eq!(row.event_id.as_str(), "$abc");
            prop_assert_eq!(row.json, json);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
