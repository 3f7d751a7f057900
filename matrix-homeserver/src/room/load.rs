//! Rooms in the store: their rows, and reading them.

use std::sync::Arc;

use imbl::OrdMap;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId, events::room::member::MembershipState};
use serde::{Deserialize, Serialize};

use super::{
    live::{Authorities, Extremity, Head, Member, Room, RoomState},
    state_tree::{Root, StateTree},
    times::Newest,
};
use crate::store::{KeyBuf, Position, Store, StoreError, Tree, WriteSet, key};

/// The row that says where a room's next event goes.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeadRow {
    pub(super) room_id: OwnedRoomId,
    version: RoomVersionId,
    pub(super) extremities: Vec<Extremity>,
    pub(super) state: Root,
}

/// The row of a member of a room.
#[derive(Debug, Serialize, Deserialize)]
struct MemberRow {
    membership: MembershipState,
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    displayname: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<Arc<str>>,
}

fn id_key(room_id: &RoomId) -> KeyBuf {
    key(["id", room_id.as_str()])
}

fn head_key(room: u64) -> KeyBuf {
    key(["head"]).number(room)
}

/// The rows of a room's timeline.
pub(super) fn timeline_key(room: u64) -> KeyBuf {
    KeyBuf::default().number(room)
}

/// The times that are in a row of a room's timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// The newest time of an event up to here, in milliseconds.
    pub(super) newest: u64,
    /// Where the last event is that was not sent before any that precedes it: here, or before.
    pub(super) newest_at: Position,
}

/// The value in a room's timeline: the event, the state of the room from it on, and times.
pub(super) fn timeline_value(number: u64, state_after: Root, times: Times) -> Vec<u8> {
    let Times { newest, newest_at } = times;
    [&number.to_be_bytes()[..], &state_after.0, &newest.to_be_bytes(), &newest_at.to_bytes()].concat()
}

/// Reads the times in the value of a room's timeline.
pub(super) fn read_times(value: &[u8]) -> Result<Times, StoreError> {
    let times = value.get(24..).and_then(|times| times.split_first_chunk::<8>());
    let times = times.and_then(|(newest, newest_at)| {
        let newest = u64::from_be_bytes(*newest);
        Some(Times {
            newest,
            newest_at: newest_at.first_chunk::<8>().map(|at| Position(u64::from_be_bytes(*at)))?,
        })
    });
    times.ok_or_else(|| StoreError::damaged("the times of a timeline"))
}

/// Reads a row of a room's timeline.
pub(super) fn read_timeline(key: &[u8], value: &[u8]) -> Result<(Position, u64, Root), StoreError> {
    let read = || {
        let (number, root) = value.split_first_chunk::<8>()?;
        let root = root.first_chunk::<16>()?;
        Some((Position::from_suffix(key)?, u64::from_be_bytes(*number), Root(*root)))
    };
    read().ok_or_else(|| StoreError::damaged("a row of a timeline"))
}

/// Writes that a room exists.
pub(super) fn put_room(set: &mut WriteSet, room_id: &RoomId, number: u64) {
    set.put(Tree::Room, id_key(room_id), number.to_be_bytes());
}

/// Writes where the room's next event goes.
pub(super) fn put_head(set: &mut WriteSet, room: &Room, state: &RoomState) {
    let row = HeadRow {
        room_id: room.room_id.clone(),
        version: room.version.clone(),
        extremities: state.extremities.clone(),
        state: state.state.root(),
    };
    let row = serde_json::to_vec(&row).expect("a head is made of texts and numbers");
    set.put(Tree::Room, head_key(room.number), row);
}

/// Writes a member of a room.
pub(super) fn put_member(set: &mut WriteSet, room: u64, user_id: &UserId, member: &Member) {
    let row = MemberRow {
        membership: member.membership.clone(),
        number: member.number,
        displayname: member.displayname.clone(),
        avatar_url: member.avatar_url.clone(),
    };
    let row = serde_json::to_vec(&row).expect("a member is made of texts and numbers");
    set.put(Tree::Member, key(["room"]).number(room).text(user_id.as_str()), row);
}

/// Whether there is a room with this ID.
pub(super) fn exists(store: &Store, room_id: &RoomId) -> Result<bool, StoreError> {
    store.contains(Tree::Room, id_key(room_id))
}

/// How many rooms there are.
pub(super) fn count(store: &Store) -> usize {
    store.scan_prefix(Tree::Room, key(["id"])).count()
}

/// Every room.
pub(super) fn all(store: &Store) -> Result<Vec<OwnedRoomId>, StoreError> {
    let read =
        |row_key: &[u8]| KeyBuf::read(row_key).and_then(|[_, room_id]| OwnedRoomId::try_from(room_id).ok());
    let rows = store.scan_prefix(Tree::Room, key(["id"]));
    rows.map(|row| read(&row?.0).ok_or_else(|| StoreError::damaged("the key of a room"))).collect()
}

/// Reads a room.
pub(super) fn load(store: &Store, room_id: &RoomId) -> Result<Option<Room>, StoreError> {
    let Some(row) = store.get(Tree::Room, id_key(room_id))? else { return Ok(None) };
    let number = Position::from_suffix(&row).ok_or_else(|| StoreError::damaged("a room's number"))?.0;
    let (version, head) = load_head(store, number)?;
    let rules = version.rules().ok_or_else(|| StoreError::damaged("a room's version"))?;
    Ok(Some(Room::new(room_id.to_owned(), number, version, rules, head)))
}

/// Reads where a room's next event goes.
pub(super) fn load_head(store: &Store, number: u64) -> Result<(RoomVersionId, Head), StoreError> {
    // Before the rows: what is written later is not in them for sure.
    let generation = store.generation();
    let row = store
        .get(Tree::Room, head_key(number))?
        .ok_or_else(|| StoreError::damaged(format!("room {number} has no head")))?;
    let head: HeadRow =
        serde_json::from_slice(&row).map_err(|_| StoreError::damaged("the head of a room"))?;
    let (position, newest) = last_of(store, number)?;
    let mut state = RoomState {
        extremities: head.extremities,
        state: StateTree::at(head.state),
        members: OrdMap::new(),
        joined: 0,
        invited: 0,
        position,
        newest,
    };
    let prefix = key(["room"]).number(number);
    let prefix = prefix.as_ref();
    for row in store.scan_prefix(Tree::Member, prefix) {
        let (key, value) = row?;
        let (user_id, member) =
            read_member(&key[prefix.len()..], &value).ok_or_else(|| StoreError::damaged("a member"))?;
        state.set_member(user_id, member);
    }
    Ok((head.version, Head { generation, state, authorities: Authorities::default() }))
}

fn read_member(user_id: &[u8], value: &[u8]) -> Option<(OwnedUserId, Member)> {
    let [user_id] = KeyBuf::read(user_id)?;
    let MemberRow { membership, number, displayname, avatar_url } = serde_json::from_slice(value).ok()?;
    Some((user_id.try_into().ok()?, Member { membership, number, displayname, avatar_url }))
}

/// Where the timeline of a room ends, and the newest time in it.
fn last_of(store: &Store, room: u64) -> Result<(Position, Newest), StoreError> {
    match store.scan_prefix(Tree::Timeline, timeline_key(room)).next_back() {
        None => Ok((Position::ZERO, Newest::default())),
        Some(row) => {
            let (key, value) = row?;
            let Times { newest, newest_at } = read_times(&value)?;
            let newest = Newest { time: newest, position: Arc::new(newest_at.into()) };
            Ok((read_timeline(&key, &value)?.0, newest))
        }
    }
}
