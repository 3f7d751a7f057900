//! What users have reported to the administrators
//! ([reporting content](https://spec.matrix.org/v1.19/client-server-api/#reporting-content)).

use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{Users, now_ms, parse_row};
use crate::store::{StoreError, Tree, WriteSet, key};

/// Something that a user found should be looked at: an event, a room or a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// Who reported it.
    pub reporter: OwnedUserId,
    /// Milliseconds since 1970.
    pub received_ts: u64,
    /// The room, also that of an event.
    pub room_id: Option<OwnedRoomId>,
    /// The event.
    pub event_id: Option<OwnedEventId>,
    /// The user, also the sender of an event.
    pub user_id: Option<OwnedUserId>,
    /// Why.
    pub reason: Option<String>,
    /// How bad it is, from -100 (worst) to 0, as clients of older versions of the specification say.
    pub score: Option<i64>,
}

impl Report {
    /// A report about nothing yet.
    pub(crate) fn by(reporter: &UserId) -> Self {
        Self {
            reporter: reporter.to_owned(),
            received_ts: now_ms(),
            room_id: None,
            event_id: None,
            user_id: None,
            reason: None,
            score: None,
        }
    }
}

impl Users {
    /// Keeps a report.
    pub(crate) async fn report(&self, report: Report) -> Result<(), StoreError> {
        tracing::info!(
            reporter = %report.reporter, room_id = ?report.room_id, event_id = ?report.event_id,
            user_id = ?report.user_id, "something was reported",
        );
        let row = serde_json::to_vec(&report).expect("a report is made of texts and numbers");
        let mut writes = WriteSet::new();
        writes.positioned(move |position, rows| {
            rows.put(Tree::Account, key(["report"]).position(position), row);
        });
        self.store.commit(writes).await.map(drop)
    }

    /// Everything that was reported, the oldest first.
    pub(crate) fn reports(&self) -> Result<Vec<Report>, StoreError> {
        self.store.scan_prefix(Tree::Account, key(["report"])).map(|row| parse_row(&row?.1)).collect()
    }
}
