//! Who is there ([presence](https://spec.matrix.org/v1.19/client-server-api/#presence)). In memory only.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};

use super::now_ms;
use crate::store::{Position, Store, StoreError, WriteSet};

/// How long after their last action a user counts as active, in milliseconds.
const ACTIVE_MS: u64 = 60_000;

/// The states of today's specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PresenceState {
    Online,
    Unavailable,
    #[default]
    Offline,
}

impl PresenceState {
    /// Reads a state. The two more that the 2014 specification had mean the nearest of today's.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "online" | "free_for_chat" => Some(Self::Online),
            "unavailable" => Some(Self::Unavailable),
            "offline" | "hidden" => Some(Self::Offline),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Unavailable => "unavailable",
            Self::Offline => "offline",
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Status {
    state: PresenceState,
    message: Option<String>,
    last_active: u64,
    changed: Position,
}

/// What users said about themselves since the server started.
#[derive(Debug)]
pub(crate) struct Presence {
    store: Store,
    users: Arc<Mutex<HashMap<OwnedUserId, Status>>>,
}

impl Presence {
    pub(super) fn new(store: Store) -> Self {
        Self { store, users: Arc::default() }
    }

    /// The user is in this state now, with this message if one is given, else with the one before. True if others
    /// should hear of it.
    pub(crate) async fn set(
        &self,
        user_id: &UserId,
        state: PresenceState,
        message: Option<Option<String>>,
    ) -> Result<bool, StoreError> {
        let is_news = {
            let mut users = self.users.lock();
            let status = users.entry(user_id.to_owned()).or_default();
            let message = message.unwrap_or_else(|| status.message.clone());
            let is_news = status.state != state || status.message != message;
            status.state = state;
            status.message = message;
            if state == PresenceState::Online {
                status.last_active = now_ms();
            }
            is_news
        };
        if is_news {
            self.publish(user_id).await?;
        }
        Ok(is_news)
    }

    async fn publish(&self, user_id: &UserId) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        writes.positioned(|_, _| {});
        let (users, user_id) = (self.users.clone(), user_id.to_owned());
        writes.on_commit(move |position| {
            users.lock().entry(user_id).or_default().changed = position;
        });
        self.store.commit(writes).await.map(drop)
    }

    /// The content of the user's `m.presence`.
    pub(crate) fn content(&self, user_id: &UserId) -> Value {
        let users = self.users.lock();
        users.get(user_id).map_or_else(|| json!({"presence": "offline"}), render)
    }

    /// Users whose presence changed after one position and not after another, with its content.
    pub(crate) fn changed_between(&self, after: Position, until: Position) -> Vec<(OwnedUserId, Value)> {
        let users = self.users.lock();
        let fresh = users.iter().filter(|(_, status)| status.changed > after && status.changed <= until);
        fresh.map(|(user_id, status)| (user_id.clone(), render(status))).collect()
    }
}

fn render(status: &Status) -> Value {
    let mut content = json!({"presence": status.state.as_str()});
    if let Some(message) = &status.message {
        content["status_msg"] = message.as_str().into();
    }
    if status.last_active > 0 {
        let ago = now_ms().saturating_sub(status.last_active);
        content["last_active_ago"] = ago.into();
        content["currently_active"] = (status.state == PresenceState::Online && ago < ACTIVE_MS).into();
    }
    content
}
