//! What clients know, connection by connection.
//!
//! An answer belongs to a position of its connection, under which the server remembers what the client knows that has
//! this answer. The client names the last answer that it has with its next request: then what is older is forgotten. Until then
//! it may ask again from the same position, and is answered from there as before.
//!
//! All of it is in memory, and bounded: a user has at most [`MOST_OF_A_USER`] connections and the server [`MOST`], of
//! which the one that was least recently used goes first. Whoever comes with a position that is gone begins again.

use std::{fmt, sync::Arc};

use imbl::{OrdMap, OrdSet};
use lru::LruCache;
use parking_lot::Mutex;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};

use super::required::RequiredState;
use crate::store::Position;

/// How many connections are kept.
const MOST: usize = 4096;
/// How many of one user.
const MOST_OF_A_USER: usize = 32;
/// How many answers to requests from the same position are kept: a client gives up a request by sending another.
const MOST_ANSWERS: usize = 4;

/// Names a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ConnectionKey {
    pub(super) user_id: OwnedUserId,
    pub(super) device_id: Option<OwnedDeviceId>,
    pub(super) conn_id: Option<String>,
}

/// What a client knows at a position of its connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// Everything up to here, of what it asked for.
    pub(super) upto: Position,
    pub(super) rooms: OrdMap<OwnedRoomId, Arc<RoomTold>>,
    /// How many rooms are in which list.
    pub(super) counts: Arc<Vec<(String, usize)>>,
    /// Also global account data.
    pub(super) account_data: bool,
}

/// What a client knows of a room.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RoomTold {
    /// Up to where, if the room was not asked for in the last request.
    pub(super) until: Option<Position>,
    /// How many of the last events, without a gap.
    pub(super) events: usize,
    pub(super) required: Arc<RequiredState>,
    /// Members whom it was told of only because they were needed.
    pub(super) members: OrdSet<OwnedUserId>,
    /// Notifications and highlights.
    pub(super) unread: (u64, u64),
    pub(super) is_dm: bool,
    pub(super) account_data: bool,
    pub(super) receipts: bool,
}

/// An answer that was given, and by which the client may go on.
struct Answer {
    serial: u64,
    /// The answer that was named in the request.
    after: Option<u64>,
    told: Arc<Told>,
}

/// Every connection.
pub(super) struct Connections {
    kept: Mutex<Kept>,
}

struct Kept {
    connections: LruCache<ConnectionKey, Vec<Answer>>,
    next: u64,
}

impl Connections {
    /// None yet. Serials begin anywhere, so that none of an earlier run of the server is taken for one of this run.
    pub(super) fn new() -> Self {
        // Not with its capacity: the table would be allocated at once.
        let kept = Kept { connections: LruCache::unbounded(), next: rand::random::<u32>().into() };
        Self { kept: Mutex::new(Kept { next: kept.next << 31, ..kept }) }
    }

    /// What a client knows that names an answer, if that is remembered. Older answers are forgotten.
    pub(super) fn resume(&self, key: &ConnectionKey, serial: u64) -> Option<Arc<Told>> {
        let mut kept = self.kept.lock();
        let answers = kept.connections.get_mut(key)?;
        let told = answers.iter().find(|answer| answer.serial == serial)?.told.clone();
        answers.retain(|answer| answer.serial == serial || answer.after == Some(serial));
        Some(told)
    }

    /// Remembers an answer, and gives it its serial. One without another before it begins the connection anew.
    pub(super) fn answer(&self, key: ConnectionKey, after: Option<u64>, told: Told) -> u64 {
        let mut kept = self.kept.lock();
        let serial = kept.next;
        kept.next += 1;
        if kept.connections.peek(&key).is_none() {
            if after.is_some() {
                // Forgotten while the client waited: the next request begins again.
                return serial;
            }
            kept.make_room(&key.user_id);
        }
        let answers = kept.connections.get_or_insert_mut(key, Vec::new);
        match after {
            None => answers.retain(|answer| answer.after.is_none()),
            Some(after) if !answers.iter().any(|answer| answer.serial == after) => return serial,
            Some(_) => {}
        }
        let siblings = answers.iter().filter(|answer| answer.after == after).count();
        if siblings >= MOST_ANSWERS
            && let Some(oldest) = answers.iter().position(|answer| answer.after == after)
        {
            answers.remove(oldest);
        }
        answers.push(Answer { serial, after, told: Arc::new(told) });
        serial
    }
}

impl Kept {
    /// Makes room for one more connection of a user.
    fn make_room(&mut self, user_id: &OwnedUserId) {
        let mut oldest = None;
        let mut count = 0;
        // From the one that was used last.
        for (key, _) in self.connections.iter().filter(|(key, _)| key.user_id == *user_id) {
            count += 1;
            oldest = Some(key.clone());
        }
        if let Some(oldest) = oldest.filter(|_| count >= MOST_OF_A_USER) {
            self.connections.pop(&oldest);
        }
        while self.connections.len() >= MOST {
            self.connections.pop_lru();
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("kept", &self.kept.lock().connections.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn key(user_id: &ruma::UserId, name: &str) -> ConnectionKey {
        ConnectionKey { user_id: user_id.to_owned(), device_id: None, conn_id: Some(name.to_owned()) }
    }

    fn told(upto: u64) -> Told {
        Told { upto: Position(upto), ..Told::default() }
    }

    #[test]
    fn a_client_goes_on_from_the_last_answer_that_it_has() {
        let connections = Connections::new();
        let key = key(user_id!("@a:b"), "x");
        let first = connections.answer(key.clone(), None, told(1));
        assert_eq!(connections.resume(&key, first).unwrap().upto, Position(1));
        let second = connections.answer(key.clone(), Some(first), told(2));
        // The answer was lost, and the request comes again.
        assert_eq!(connections.resume(&key, first).unwrap().upto, Position(1));
        let again = connections.answer(key.clone(), Some(first), told(3));
        assert_eq!(connections.resume(&key, again).unwrap().upto, Position(3));
        for gone in [first, second] {
            assert!(connections.resume(&key, gone).is_none());
        }
    }

    #[test]
    fn a_request_without_a_position_begins_the_connection_anew() {
        let connections = Connections::new();
        let key = key(user_id!("@a:b"), "x");
        let first = connections.answer(key.clone(), None, told(1));
        connections.resume(&key, first).unwrap();
        let second = connections.answer(key.clone(), Some(first), told(2));
        let anew = connections.answer(key.clone(), None, told(3));
        assert!(connections.resume(&key, second).is_none());
        assert!(connections.resume(&key, anew).is_some());
        // Who waited all the while on the connection that was does not come between.
        let late = connections.answer(key.clone(), Some(second), told(4));
        assert!(connections.resume(&key, late).is_none());
        assert!(connections.resume(&key, anew).is_some());
    }

    #[test]
    fn requests_that_are_given_up_leave_little_behind() {
        let connections = Connections::new();
        let key = key(user_id!("@a:b"), "x");
        let first = connections.answer(key.clone(), None, told(0));
        let answers: Vec<_> =
            (1..100).map(|upto| connections.answer(key.clone(), Some(first), told(upto))).collect();
        assert!(connections.kept.lock().connections.peek(&key).unwrap().len() <= MOST_ANSWERS + 1);
        assert!(connections.resume(&key, *answers.last().unwrap()).is_some());
    }

    #[test]
    fn a_user_has_only_so_many_connections_and_others_keep_theirs() {
        let connections = Connections::new();
        let other = key(user_id!("@other:b"), "x");
        let others = connections.answer(other.clone(), None, told(0));
        let name = |number: usize| key(user_id!("@a:b"), &number.to_string());
        let serials: Vec<_> =
            (0..=MOST_OF_A_USER).map(|number| connections.answer(name(number), None, told(0))).collect();
        assert!(connections.resume(&name(0), serials[0]).is_none());
        assert!(connections.resume(&name(1), serials[1]).is_some());
        assert!(connections.resume(&other, others).is_some());
    }
}
