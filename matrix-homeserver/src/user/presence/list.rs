//! Presence lists (specification of 2014, "Presence List"): whom a user wants to see, and who lets them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::RwLock;
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    store::{KeyBuf, Position, Store, StoreError, Tree, WriteSet, key},
    user::parse_row,
};

/// How many users a list holds at most.
const MAX_ENTRIES: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Awaited,
    Accepted,
    Denied,
}

/// One user on the list of another.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Entry {
    answer: Answer,
    /// When it became so.
    position: Position,
}

/// What became of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invited {
    /// The other user has to answer.
    Awaited,
    /// The other user let this one see them before, or asks for the same.
    Accepted,
    /// The list is full.
    Full,
}

/// Observer → observed.
type Lists = HashMap<OwnedUserId, BTreeMap<OwnedUserId, Entry>>;

#[derive(Debug, Default)]
struct Memory {
    lists: Lists,
    /// The same the other way round: observed → observer.
    observers: Lists,
}

/// The presence lists of all users, all in memory and all on disk.
#[derive(Debug)]
pub(crate) struct PresenceLists {
    store: Store,
    memory: Arc<RwLock<Memory>>,
    /// Changes pass one after the other: the answer to one depends on the one before.
    changing: tokio::sync::Mutex<()>,
}

impl Memory {
    fn entry(&self, observer: &UserId, observed: &UserId) -> Option<Entry> {
        self.lists.get(observer)?.get(observed).copied()
    }

    fn insert(&mut self, observer: &UserId, observed: &UserId, entry: Entry) {
        self.lists.entry(observer.to_owned()).or_default().insert(observed.to_owned(), entry);
        self.observers.entry(observed.to_owned()).or_default().insert(observer.to_owned(), entry);
    }

    fn remove(&mut self, observer: &UserId, observed: &UserId) {
        for (lists, of, other) in
            [(&mut self.lists, observer, observed), (&mut self.observers, observed, observer)]
        {
            if let Some(list) = lists.get_mut(of) {
                list.remove(other);
                if list.is_empty() {
                    lists.remove(of);
                }
            }
        }
    }
}

impl PresenceLists {
    pub(super) fn open(store: Store) -> Result<Self, StoreError> {
        let mut memory = Memory::default();
        for row in store.scan_prefix(Tree::Account, key(["presence_list"])) {
            let (row_key, row) = row?;
            let damaged = || StoreError::damaged("a presence list");
            let [_, observer, observed] = KeyBuf::read::<3>(&row_key).ok_or_else(damaged)?;
            let observer = UserId::parse(observer).map_err(|_| damaged())?;
            let observed = UserId::parse(observed).map_err(|_| damaged())?;
            memory.insert(&observer, &observed, parse_row(&row)?);
        }
        Ok(Self { store, memory: Arc::new(RwLock::new(memory)), changing: tokio::sync::Mutex::default() })
    }

    /// Whether somebody let a user see them.
    pub(crate) fn may_see(&self, observer: &UserId, observed: &UserId) -> bool {
        let entry = self.memory.read().entry(observer, observed);
        entry.is_some_and(|entry| entry.answer == Answer::Accepted)
    }

    /// Whom a user wants to see, and whether they have agreed. Those who have denied it are on no list.
    pub(crate) fn of(&self, observer: &UserId) -> Vec<(OwnedUserId, bool)> {
        let memory = self.memory.read();
        let list = memory.lists.get(observer).into_iter().flatten();
        list.filter(|(_, entry)| entry.answer != Answer::Denied)
            .map(|(observed, entry)| (observed.clone(), entry.answer == Answer::Accepted))
            .collect()
    }

    /// Who sees a user because of a list.
    pub(crate) fn watchers(&self, observed: &UserId) -> Vec<OwnedUserId> {
        let memory = self.memory.read();
        let observers = memory.observers.get(observed).into_iter().flatten();
        observers
            .filter(|(_, entry)| entry.answer == Answer::Accepted)
            .map(|(observer, _)| observer.clone())
            .collect()
    }

    /// Asks to see somebody. Who has asked for, or been granted, the same the other way round agrees by that.
    pub(crate) async fn invite(&self, observer: &UserId, observed: &UserId) -> Result<Invited, StoreError> {
        let _turn = self.changing.lock().await;
        let (there, reverse, size) = {
            let memory = self.memory.read();
            let size = memory.lists.get(observer).map_or(0, BTreeMap::len);
            (memory.entry(observer, observed), memory.entry(observed, observer), size)
        };
        match there.map(|entry| entry.answer) {
            Some(Answer::Accepted) => return Ok(Invited::Accepted),
            Some(Answer::Awaited) => return Ok(Invited::Awaited),
            None if size >= MAX_ENTRIES => return Ok(Invited::Full),
            None | Some(Answer::Denied) => {}
        }
        match reverse.map(|entry| entry.answer) {
            None | Some(Answer::Denied) => {
                self.put(&[(observer, observed, Answer::Awaited)]).await?;
                Ok(Invited::Awaited)
            }
            Some(Answer::Accepted) => {
                self.put(&[(observer, observed, Answer::Accepted)]).await?;
                Ok(Invited::Accepted)
            }
            Some(Answer::Awaited) => {
                let both = [(observer, observed, Answer::Accepted), (observed, observer, Answer::Accepted)];
                self.put(&both).await?;
                Ok(Invited::Accepted)
            }
        }
    }

    /// Answers an invitation, or takes back an answer. False if there is none from this observer.
    pub(crate) async fn answer(
        &self,
        observed: &UserId,
        observer: &UserId,
        accept: bool,
    ) -> Result<bool, StoreError> {
        let _turn = self.changing.lock().await;
        let answer = if accept { Answer::Accepted } else { Answer::Denied };
        let there = self.memory.read().entry(observer, observed);
        match there {
            None => Ok(false),
            Some(entry) if entry.answer == answer => Ok(true),
            Some(_) => {
                self.put(&[(observer, observed, answer)]).await?;
                Ok(true)
            }
        }
    }

    /// Takes somebody off a list. False if they were not on it.
    pub(crate) async fn remove(&self, observer: &UserId, observed: &UserId) -> Result<bool, StoreError> {
        let _turn = self.changing.lock().await;
        if self.memory.read().entry(observer, observed).is_none() {
            return Ok(false);
        }
        let mut writes = WriteSet::new();
        writes.delete(Tree::Account, row_key(observer, observed));
        let (memory, observer, observed) = (self.memory.clone(), observer.to_owned(), observed.to_owned());
        writes.on_commit(move |_| memory.write().remove(&observer, &observed));
        self.store.commit(writes).await?;
        Ok(true)
    }

    async fn put(&self, changes: &[(&UserId, &UserId, Answer)]) -> Result<(), StoreError> {
        let mut writes = WriteSet::new();
        for &(observer, observed, answer) in changes {
            let row = row_key(observer, observed);
            writes.positioned(move |position, rows| {
                let entry = serde_json::to_vec(&Entry { answer, position });
                rows.put(Tree::Account, row, entry.expect("an entry is made of texts and numbers"));
            });
            let (memory, observer, observed) =
                (self.memory.clone(), observer.to_owned(), observed.to_owned());
            // The last position of the set is close enough: both are told at once.
            writes.on_commit(move |position| {
                memory.write().insert(&observer, &observed, Entry { answer, position });
            });
        }
        self.store.commit(writes).await.map(drop)
    }

    /// What a user is to hear of invitations after one position and not after another: those that await an answer, and
    /// the answers to the user's own.
    pub(crate) fn news(&self, user_id: &UserId, after: Position, until: Position) -> Vec<Value> {
        let memory = self.memory.read();
        let fresh = |entry: &Entry| entry.position > after && entry.position <= until;
        let event = |kind: &str, observer: &UserId, observed: &UserId| json!({"type": kind, "content": {"observer_user": observer, "observed_user": observed}});
        let mut events = Vec::new();
        for (observer, entry) in memory.observers.get(user_id).into_iter().flatten() {
            if entry.answer == Answer::Awaited && fresh(entry) {
                events.push(event("m.presence_invite", observer, user_id));
            }
        }
        for (observed, entry) in memory.lists.get(user_id).into_iter().flatten() {
            match entry.answer {
                Answer::Accepted if fresh(entry) => {
                    events.push(event("m.presence_accept", user_id, observed));
                }
                Answer::Denied if fresh(entry) => events.push(event("m.presence_deny", user_id, observed)),
                _ => {}
            }
        }
        events
    }

    /// Those who let a user see them after one position and not after another.
    pub(crate) fn granted_between(
        &self,
        observer: &UserId,
        after: Position,
        until: Position,
    ) -> Vec<OwnedUserId> {
        let memory = self.memory.read();
        let list = memory.lists.get(observer).into_iter().flatten();
        list.filter(|(_, entry)| {
            entry.answer == Answer::Accepted && entry.position > after && entry.position <= until
        })
        .map(|(observed, _)| observed.clone())
        .collect()
    }
}

fn row_key(observer: &UserId, observed: &UserId) -> KeyBuf {
    key(["presence_list", observer.as_str(), observed.as_str()])
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[tokio::test]
    async fn who_is_asked_is_seen_only_after_agreeing() {
        let store = Store::temporary().unwrap();
        let lists = PresenceLists::open(store.clone()).unwrap();
        let (alice, bob) = (user_id!("@alice:hs.test"), user_id!("@bob:hs.test"));
        assert!(!lists.answer(bob, alice, true).await.unwrap(), "nobody has asked");
        assert_eq!(lists.invite(alice, bob).await.unwrap(), Invited::Awaited);
        assert!(!lists.may_see(alice, bob));
        assert_eq!(lists.of(alice), [(bob.to_owned(), false)]);
        assert_eq!(lists.news(bob, Position::ZERO, Position::MAX)[0]["type"], "m.presence_invite");
        assert!(lists.answer(bob, alice, true).await.unwrap());
        assert!(lists.may_see(alice, bob) && !lists.may_see(bob, alice));
        assert_eq!(lists.watchers(bob), [alice]);
        assert!(lists.answer(bob, alice, false).await.unwrap());
        assert!(!lists.may_see(alice, bob) && lists.of(alice).is_empty());
        assert_eq!(lists.news(alice, Position::ZERO, Position::MAX)[0]["type"], "m.presence_deny");
    }

    #[tokio::test]
    async fn two_who_ask_each_other_agree_by_that_and_stay_so() {
        let store = Store::temporary().unwrap();
        let (alice, bob) = (user_id!("@alice:hs.test"), user_id!("@bob:hs.test"));
        {
            let lists = PresenceLists::open(store.clone()).unwrap();
            lists.invite(alice, bob).await.unwrap();
            assert_eq!(lists.invite(bob, alice).await.unwrap(), Invited::Accepted);
        }
        let lists = PresenceLists::open(store).unwrap();
        assert!(lists.may_see(alice, bob) && lists.may_see(bob, alice));
        assert!(lists.remove(alice, bob).await.unwrap());
        assert!(!lists.remove(alice, bob).await.unwrap());
        assert!(!lists.may_see(alice, bob) && lists.may_see(bob, alice));
        assert_eq!(lists.invite(alice, bob).await.unwrap(), Invited::Accepted, "the other way is open");
    }
}
