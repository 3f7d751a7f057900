//! Events as a client gets them, with what the server tells beside them.

use ruma::{MilliSecondsSinceUnixEpoch, events::room::member::MembershipState};
use serde_json::value::RawValue;

use super::{
    Rooms, Viewer, Visibility,
    stored::{self, StoredEvent},
};
use crate::{
    event::{ClientFormat, Unsigned, client_event},
    store::StoreError,
};

impl Rooms {
    /// An event as somebody sees it, without what is known from other events. `membership` is the viewer's when the
    /// event was sent, where it is told.
    pub(crate) fn render(
        &self,
        event: &StoredEvent,
        viewer: &Viewer<'_>,
        membership: Option<MembershipState>,
    ) -> Result<Box<RawValue>, StoreError> {
        let mut unsigned = self.unsigned_for(event, viewer)?;
        unsigned.membership = membership.map(|membership| membership.to_string());
        Ok(client_event(&event.pdu, &unsigned, viewer.format))
    }

    /// What somebody is told beside an event, which is more for the device that sent it.
    pub(super) fn unsigned_for(
        &self,
        event: &StoredEvent,
        viewer: &Viewer<'_>,
    ) -> Result<Unsigned, StoreError> {
        let mut unsigned = self.unsigned(event, viewer.format, self.now())?;
        let sent_by = event.meta.sent_by.as_ref().filter(|sent| {
            event.pdu.sender == viewer.user_id && sent.device_id.as_deref() == viewer.device_id
        });
        unsigned.transaction_id = sent_by.map(|sent| sent.txn_id.clone());
        Ok(unsigned)
    }

    /// An event as an application service gets it, whose reader is nobody in particular. Its age is reckoned
    /// from `now`, so that it can be rendered again to the same bytes.
    pub(crate) fn render_for_service(
        &self,
        event: &StoredEvent,
        format: ClientFormat,
        now: MilliSecondsSinceUnixEpoch,
    ) -> Result<Box<RawValue>, StoreError> {
        Ok(client_event(&event.pdu, &self.unsigned(event, format, now)?, format))
    }

    /// The complete event with hashes and signatures, as servers exchange it; as somebody sees it, where it is told who.
    pub(crate) fn full_json(
        &self,
        event: &StoredEvent,
        visibility: Option<&mut Visibility<'_>>,
    ) -> Result<Box<RawValue>, StoreError> {
        let damaged = || StoreError::damaged(format!("event {}", event.number));
        let bare = match visibility {
            Some(visibility) => visibility.is_erased(event)?,
            None => false,
        };
        let json = stored::full_json(&self.inner.store, event.number, bare)?.ok_or_else(damaged)?;
        RawValue::from_string(json).map_err(|_| damaged())
    }

    fn unsigned(
        &self,
        event: &StoredEvent,
        format: ClientFormat,
        now: MilliSecondsSinceUnixEpoch,
    ) -> Result<Unsigned, StoreError> {
        let sent = i64::from(event.pdu.origin_server_ts.0);
        let mut unsigned =
            Unsigned { age: Some(i64::from(now.0).saturating_sub(sent)), ..Unsigned::default() };
        if let Some(replaced) = event.meta.replaces {
            let replaced = self.inner.events.expect(replaced)?;
            unsigned.prev_content = Some(replaced.pdu.content.clone());
            unsigned.prev_sender = Some(replaced.pdu.sender.to_string());
            unsigned.replaces_state = Some(replaced.pdu.event_id.clone());
        }
        if let Some(redaction) = event.meta.redacted_by {
            let redaction = self.inner.events.expect(redaction)?;
            let sent = i64::from(redaction.pdu.origin_server_ts.0);
            let beside = Unsigned { age: Some(i64::from(now.0).saturating_sub(sent)), ..Unsigned::default() };
            unsigned.redacted_because = Some(client_event(&redaction.pdu, &beside, format));
        }
        Ok(unsigned)
    }
}
