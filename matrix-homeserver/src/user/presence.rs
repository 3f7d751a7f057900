//! Who is there ([presence](https://spec.matrix.org/v1.19/client-server-api/#presence)). States are in memory only; the
//! lists of whom users want to see are not.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};

use super::now_ms;
use crate::store::{Position, Store, StoreError, WriteSet};

mod list;

pub(crate) use self::list::{Invited, PresenceLists};

/// How long after their last action a user counts as active, in milliseconds.
const ACTIVE_MS: u64 = 60_000;

/// The states of today's specification, and the two more of 2014.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PresenceState {
    /// More willing to be spoken to than others who are online. Today: online.
    FreeForChat,
    Online,
    Unavailable,
    #[default]
    Offline,
    /// Offline to everybody but the user. Today: offline.
    Hidden,
}

impl PresenceState {
    /// Reads a state of either specification.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "free_for_chat" => Some(Self::FreeForChat),
            "online" => Some(Self::Online),
            "unavailable" => Some(Self::Unavailable),
            "offline" => Some(Self::Offline),
            "hidden" => Some(Self::Hidden),
            _ => None,
        }
    }

    /// The state in today's words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::FreeForChat | Self::Online => "online",
            Self::Unavailable => "unavailable",
            Self::Offline | Self::Hidden => "offline",
        }
    }

    /// The state in the words of 2014, to the user or to others.
    fn as_str_of_2014(self, to_others: bool) -> &'static str {
        match self {
            Self::FreeForChat => "free_for_chat",
            Self::Hidden if !to_others => "hidden",
            state => state.as_str(),
        }
    }

    /// How available somebody is; more is better.
    pub(crate) fn level(self) -> u8 {
        match self {
            Self::Offline | Self::Hidden => 0,
            Self::Unavailable => 1,
            Self::Online => 2,
            Self::FreeForChat => 3,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Status {
    state: PresenceState,
    message: Option<String>,
    last_active: u64,
    /// The hash of what the user's clients are capable of, where they say so (a draft of 2015).
    capabilities: Option<String>,
    changed: Position,
    /// How many requests wait for news.
    waiting: usize,
    /// When the last of them ended, or the user said something.
    seen: Option<Instant>,
}

/// A request that waits for news, by which its user is there; until it is dropped.
#[derive(Debug)]
pub(crate) struct Connected {
    users: Arc<Mutex<HashMap<OwnedUserId, Status>>>,
    user_id: OwnedUserId,
}

impl Drop for Connected {
    fn drop(&mut self) {
        if let Some(status) = self.users.lock().get_mut(&self.user_id) {
            status.waiting -= 1;
            status.seen = Some(Instant::now());
        }
    }
}

/// What users said about themselves since the server started, and whom they want to see.
#[derive(Debug)]
pub(crate) struct Presence {
    store: Store,
    users: Arc<Mutex<HashMap<OwnedUserId, Status>>>,
    pub(crate) lists: PresenceLists,
}

impl Presence {
    pub(super) fn open(store: Store) -> Result<Self, StoreError> {
        let lists = PresenceLists::open(store.clone())?;
        Ok(Self { store, users: Arc::default(), lists })
    }

    /// The user is in this state now, with this message if one is given. True if others should hear of it.
    ///
    /// Without a message it is not the user who says so, but a connection: the message stays, and so does a state that
    /// implies being connected.
    pub(crate) async fn set(
        &self,
        user_id: &UserId,
        state: PresenceState,
        message: Option<Option<String>>,
    ) -> Result<bool, StoreError> {
        let is_news = {
            let mut users = self.users.lock();
            let status = users.entry(user_id.to_owned()).or_default();
            let chosen = matches!(status.state, PresenceState::FreeForChat | PresenceState::Hidden);
            let state = if message.is_none() && state == PresenceState::Online && chosen {
                status.state
            } else {
                state
            };
            let message = message.unwrap_or_else(|| status.message.clone());
            let is_news = status.state != state || status.message != message;
            if state == PresenceState::Online || state.level() > status.state.level() {
                status.last_active = now_ms();
            }
            status.state = state;
            status.message = message;
            status.seen = Some(Instant::now());
            is_news
        };
        if is_news {
            self.publish(user_id).await?;
        }
        Ok(is_news)
    }

    /// What the user's clients are capable of, by hash, all together. True if that is news.
    pub(crate) async fn set_capabilities(
        &self,
        user_id: &UserId,
        hash: Option<String>,
    ) -> Result<bool, StoreError> {
        let is_news = {
            let mut users = self.users.lock();
            let status = users.entry(user_id.to_owned()).or_default();
            let is_news = status.capabilities != hash;
            status.capabilities = hash;
            is_news
        };
        if is_news {
            self.publish(user_id).await?;
        }
        Ok(is_news)
    }

    /// The user has done something that only somebody does who is there.
    pub(crate) fn acted(&self, user_id: &UserId) {
        if let Some(status) = self.users.lock().get_mut(user_id) {
            status.last_active = now_ms();
        }
    }

    /// Takes note that a user waits for news.
    pub(crate) fn connect(&self, user_id: &UserId) -> Connected {
        self.users.lock().entry(user_id.to_owned()).or_default().waiting += 1;
        Connected { users: self.users.clone(), user_id: user_id.to_owned() }
    }

    /// Those who are not offline, but have not been seen for this long.
    pub(crate) fn gone(&self, patience: Duration) -> Vec<OwnedUserId> {
        let users = self.users.lock();
        let gone = users.iter().filter(|(_, status)| {
            status.state.level() > PresenceState::Offline.level()
                && status.waiting == 0
                && status.seen.is_none_or(|seen| seen.elapsed() >= patience)
        });
        gone.map(|(user_id, _)| user_id.clone()).collect()
    }

    /// Whether the user is offline, or never said anything else.
    pub(crate) fn is_offline(&self, user_id: &UserId) -> bool {
        self.users.lock().get(user_id).is_none_or(|status| status.state == PresenceState::Offline)
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

    /// The content of the user's `m.presence` as clients of 2014 read it.
    pub(crate) fn content_of_2014(&self, user_id: &UserId, viewer: &UserId) -> Value {
        let mut content = self.content(user_id);
        let users = self.users.lock();
        if let Some(status) = users.get(user_id) {
            content["presence"] = status.state.as_str_of_2014(user_id != viewer).into();
        }
        content
    }

    /// Those of some users who ever said how present they are, with the content of their `m.presence`.
    pub(crate) fn of_those<'u>(
        &self,
        user_ids: impl IntoIterator<Item = &'u OwnedUserId>,
    ) -> Vec<(OwnedUserId, Value)> {
        let users = self.users.lock();
        let known = user_ids.into_iter().filter_map(|user_id| users.get_key_value(user_id));
        let said = known.filter(|(_, status)| status.changed > Position::ZERO);
        said.map(|(user_id, status)| (user_id.clone(), render(status))).collect()
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
    if let Some(hash) = &status.capabilities {
        content["capabilities"] = json!({"sha256": hash});
    }
    if status.last_active > 0 {
        let ago = now_ms().saturating_sub(status.last_active);
        content["last_active_ago"] = ago.into();
        if status.state.level() >= PresenceState::Online.level() {
            content["currently_active"] = (ago < ACTIVE_MS).into();
        }
    }
    content
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn presence() -> Presence {
        Presence::open(Store::temporary().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn what_only_2014_knows_is_shown_as_its_nearest_today() {
        let presence = presence();
        let (alice, bob) = (user_id!("@alice:hs.test"), user_id!("@bob:hs.test"));
        for (state, today, to_others, to_self) in [
            (PresenceState::FreeForChat, "online", "free_for_chat", "free_for_chat"),
            (PresenceState::Hidden, "offline", "offline", "hidden"),
            (PresenceState::Unavailable, "unavailable", "unavailable", "unavailable"),
        ] {
            presence.set(alice, state, Some(None)).await.unwrap();
            assert_eq!(presence.content(alice)["presence"], today);
            assert_eq!(presence.content_of_2014(alice, bob)["presence"], to_others);
            assert_eq!(presence.content_of_2014(alice, alice)["presence"], to_self);
        }
    }

    #[tokio::test]
    async fn connecting_does_not_undo_what_the_user_chose() {
        let presence = presence();
        let alice = user_id!("@alice:hs.test");
        presence.set(alice, PresenceState::Hidden, Some(None)).await.unwrap();
        assert!(!presence.set(alice, PresenceState::Online, None).await.unwrap());
        assert_eq!(presence.content_of_2014(alice, alice)["presence"], "hidden");
        assert!(presence.set(alice, PresenceState::Online, Some(None)).await.unwrap());
    }

    #[tokio::test]
    async fn who_waits_for_news_is_there_and_who_does_not_is_gone_after_a_while() {
        let presence = presence();
        let alice = user_id!("@alice:hs.test");
        presence.set(alice, PresenceState::Online, None).await.unwrap();
        let (one, two) = (presence.connect(alice), presence.connect(alice));
        drop(one);
        assert!(presence.gone(Duration::ZERO).is_empty());
        drop(two);
        assert!(presence.gone(Duration::from_mins(1)).is_empty());
        assert_eq!(presence.gone(Duration::ZERO), [alice]);
        presence.set(alice, PresenceState::Hidden, Some(None)).await.unwrap();
        assert!(presence.gone(Duration::ZERO).is_empty(), "nobody sees the difference");
    }

    #[tokio::test]
    async fn becoming_more_available_is_an_action_and_becoming_less_is_none() {
        let presence = presence();
        let alice = user_id!("@alice:hs.test");
        presence.set(alice, PresenceState::Hidden, Some(None)).await.unwrap();
        assert_eq!(presence.content(alice)["last_active_ago"], Value::Null);
        presence.acted(alice);
        assert!(presence.content(alice)["last_active_ago"].is_u64());
        let bob = user_id!("@bob:hs.test");
        presence.set(bob, PresenceState::Unavailable, Some(None)).await.unwrap();
        assert!(presence.content(bob)["last_active_ago"].is_u64());
        assert_eq!(presence.content(bob)["currently_active"], Value::Null);
    }
}
