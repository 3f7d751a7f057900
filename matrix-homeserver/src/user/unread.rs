//! How much of a room a user has not read ([receiving notifications]).
//!
//! Counted when somebody asks, event by event from where the count stopped the last time: what is sent to a room of
//! thousands costs nothing for those who do not look.
//!
//! [receiving notifications]: https://spec.matrix.org/v1.19/client-server-api/#receiving-notifications

use std::{
    collections::{BTreeMap, HashSet},
    num::NonZeroUsize,
    sync::Arc,
};

use lru::LruCache;
use parking_lot::Mutex;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UInt, UserId,
    events::{
        StateEventType,
        room::{
            member::MembershipState,
            power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource},
        },
    },
    push::{Action, PushConditionRoomCtx},
    state_res::events::RoomCreateEvent,
};
use serde::Deserialize;

use self::rater::Rater;
use super::Users;
use crate::{
    room::{Room, RoomError, Rooms, StoredEvent, TimelineEntry, UserRoom, membership_of},
    store::Position,
    sync::Unread,
};

mod rater;

/// The kinds of receipts that say how far somebody has read.
const READ: [&str; 2] = ["m.read", "m.read.private"];
/// The thread of what is in no thread.
const MAIN: &str = "main";
/// How many events are looked at when nothing is known yet.
const MAX_SCANNED: usize = 2_000;
/// How many counts are kept.
const KEPT: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// How far a user has read a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Read {
    /// Everything up to here.
    all: Position,
    /// In one thread, or outside of threads.
    threads: BTreeMap<String, Position>,
}

impl Read {
    fn covers(&self, thread: &str, position: Position) -> bool {
        position <= self.all || self.threads.get(thread).is_some_and(|read| position <= *read)
    }
}

/// A count, and what it holds for.
#[derive(Debug, Clone)]
struct Counted {
    read: Read,
    /// [`Users::push_rules_revision`].
    rules: u64,
    ignored: Arc<HashSet<OwnedUserId>>,
    upto: Position,
    unread: Unread,
}

/// An event that a user is to be notified of.
#[derive(Debug, Clone)]
pub(crate) struct Notification {
    pub(crate) position: Position,
    pub(crate) room_id: OwnedRoomId,
    pub(crate) event: Arc<StoredEvent>,
    pub(crate) actions: Vec<Action>,
    pub(crate) read: bool,
}

/// Counts what is unread.
#[derive(Debug)]
pub(crate) struct UnreadCounter {
    users: Arc<Users>,
    rooms: Rooms,
    counted: Mutex<LruCache<(OwnedUserId, OwnedRoomId), Counted>>,
}

impl UnreadCounter {
    pub(crate) fn new(users: Arc<Users>, rooms: Rooms) -> Self {
        let mut counted = LruCache::unbounded();
        counted.resize(KEPT);
        Self { users, rooms, counted: Mutex::new(counted) }
    }

    /// How much of a room that a user is in is unread.
    pub(crate) fn count(&self, user_id: &UserId, room_id: &RoomId) -> Result<Unread, RoomError> {
        let Some(room) = self.rooms.get(room_id)? else { return Ok(Unread::default()) };
        let upto = room.position();
        let read = self.read(user_id, room_id)?;
        let rules = self.users.push_rules_revision(user_id);
        let ignored = self.users.ignored(user_id)?;
        let key = (user_id.to_owned(), room_id.to_owned());
        let known = self.counted.lock().get(&key).cloned();
        let known = known.filter(|known| {
            known.read == read
                && known.rules == rules
                && Arc::ptr_eq(&known.ignored, &ignored)
                && known.upto <= upto
        });
        let mut counted = known.unwrap_or_else(|| Counted {
            upto: read.all.min(upto),
            read,
            rules,
            ignored,
            unread: Unread::default(),
        });
        if counted.upto < upto {
            self.continue_count(user_id, &room, upto, &mut counted)?;
            self.counted.lock().put(key, counted.clone());
        }
        Ok(counted.unread)
    }

    fn continue_count(
        &self,
        user_id: &UserId,
        room: &Room,
        upto: Position,
        counted: &mut Counted,
    ) -> Result<(), RoomError> {
        let entries = self.entries(room, counted.upto, upto)?;
        // Where nothing is to be rated, the rules are not read.
        let mut rater = None;
        for entry in entries {
            if entry.event.pdu.sender == user_id || counted.ignored.contains(&entry.event.pdu.sender) {
                continue;
            }
            let thread = thread_of(&entry.event);
            if counted.read.covers(thread.as_deref().unwrap_or(MAIN), entry.position) {
                continue;
            }
            let rater = match &mut rater {
                Some(rater) => rater,
                none => none.insert(self.rater(user_id, room)?),
            };
            let actions = rater.rate(&entry.event);
            let (notifies, highlights) = (
                u64::from(actions.iter().any(Action::should_notify)),
                u64::from(actions.iter().any(Action::is_highlight)),
            );
            let unread = &mut counted.unread;
            match thread {
                None => {
                    unread.notifications += notifies;
                    unread.highlights += highlights;
                }
                Some(root) if notifies + highlights > 0 => {
                    let of_thread = unread.threads.entry(root).or_default();
                    of_thread.0 += notifies;
                    of_thread.1 += highlights;
                }
                Some(_) => {}
            }
        }
        counted.upto = upto;
        Ok(())
    }

    /// The events of a room in `(after, upto]`, the newest of them where there are very many.
    fn entries(&self, room: &Room, after: Position, upto: Position) -> Result<Vec<TimelineEntry>, RoomError> {
        let (complete_after, mut recent) = room.recent();
        if complete_after <= after {
            recent.retain(|entry| entry.position > after && entry.position <= upto);
            return Ok(recent);
        }
        let rows = self.rooms.timeline_rows(room, after, upto).rev().take(MAX_SCANNED);
        let mut entries = rows.collect::<Result<Vec<_>, _>>()?;
        entries.reverse();
        Ok(entries)
    }

    /// How much of all rooms that a user is in is unread.
    pub(crate) fn total(&self, user_id: &UserId) -> Result<u64, RoomError> {
        let mut total = 0;
        for room_id in self.rooms.joined_rooms(user_id)? {
            let unread = self.count(user_id, &room_id)?;
            total += unread.notifications;
            total += unread.threads.values().map(|(notifications, _)| notifications).sum::<u64>();
        }
        Ok(total)
    }

    /// What happened in `(after, upto]` that a user is to be notified of and has not read, the oldest first.
    /// Invitations are part of it.
    pub(crate) fn fresh(
        &self,
        user_id: &UserId,
        after: Position,
        upto: Position,
    ) -> Result<Vec<Notification>, RoomError> {
        let ignored = self.users.ignored(user_id)?;
        let wanted =
            |event: &StoredEvent| event.pdu.sender != user_id && !ignored.contains(&event.pdu.sender);
        let mut found = Vec::new();
        let mut find = |rater: &Rater, position, event: Arc<StoredEvent>| {
            let actions = rater.rate(&event).to_vec();
            if actions.iter().any(Action::should_notify) {
                let room_id = rater.room_id().to_owned();
                found.push(Notification { position, room_id, event, actions, read: false });
            }
        };
        for (room_id, mine) in &self.rooms.of_user(user_id)? {
            let Some(room) = self.rooms.get(room_id)? else { continue };
            match mine.membership {
                MembershipState::Join if room.position() > after => {
                    let (read, rater) = (self.read(user_id, room_id)?, self.rater(user_id, &room)?);
                    for entry in self.entries(&room, after.max(self.joined_at(mine)?), upto)? {
                        let thread = thread_of(&entry.event);
                        let is_read = read.covers(thread.as_deref().unwrap_or(MAIN), entry.position);
                        if !is_read && wanted(&entry.event) {
                            find(&rater, entry.position, entry.event);
                        }
                    }
                }
                MembershipState::Invite if mine.position > after && mine.position <= upto => {
                    let event = self.rooms.events().expect(mine.number)?;
                    if wanted(&event) {
                        find(&self.rater(user_id, &room)?, mine.position, event);
                    }
                }
                _ => {}
            }
        }
        found.sort_by_key(|notification| notification.position);
        Ok(found)
    }

    /// How far a user has read a room: by the receipts, at least to where the user joined.
    fn read(&self, user_id: &UserId, room_id: &RoomId) -> Result<Read, RoomError> {
        let mut read = Read::default();
        let mut receipts = self.users.receipts.latest(room_id, user_id)?;
        receipts.retain(|receipt| READ.contains(&receipt.kind.as_str()));
        for receipt in receipts {
            let Some((_, position)) = self.rooms.events().locate(&receipt.event_id)? else { continue };
            let place = match receipt.thread_id {
                None => &mut read.all,
                Some(thread) => read.threads.entry(thread).or_default(),
            };
            *place = position.max(*place);
        }
        if read.all == Position::ZERO
            && let Some(mine) = self.rooms.of_user(user_id)?.get(room_id)
        {
            read.all = self.joined_at(mine)?;
        }
        Ok(read)
    }

    /// Where a user who is in a room came in. The member events since then only tell of a new name or avatar.
    fn joined_at(&self, mine: &UserRoom) -> Result<Position, RoomError> {
        let events = self.rooms.events();
        let mut event = events.expect(mine.number)?;
        while let Some(number) = event.meta.replaces {
            let before = events.expect(number)?;
            if membership_of(&before) != Some(MembershipState::Join) {
                break;
            }
            event = before;
        }
        if event.number == mine.number {
            return Ok(mine.position);
        }
        Ok(events.locate(event.event_id())?.map_or(mine.position, |(_, position)| position))
    }

    fn rater(&self, user_id: &UserId, room: &Room) -> Result<Rater, RoomError> {
        Ok(Rater::new(self.users.push_rules(user_id)?, self.context(user_id, room)?))
    }

    /// What the rules ask about a room and its reader.
    fn context(&self, user_id: &UserId, room: &Room) -> Result<PushConditionRoomCtx, RoomError> {
        let view = room.view();
        let name = view.members.get(user_id).and_then(|member| member.displayname.clone());
        let name = name.map_or_else(|| user_id.localpart().to_owned(), |name| name.to_string());
        let members = UInt::new_saturating(u64::try_from(view.joined).unwrap_or(u64::MAX));
        let context = PushConditionRoomCtx::new(room.room_id.clone(), members, user_id.to_owned(), name);
        let state = |kind| self.rooms.current_state_event(&room.room_id, &kind, "");
        let Some(create) = state(StateEventType::RoomCreate)? else { return Ok(context) };
        let authorization = &room.rules.authorization;
        let Ok(creators) = RoomCreateEvent::new(&*create.pdu).creators(authorization) else {
            return Ok(context);
        };
        let levels = state(StateEventType::RoomPowerLevels)?;
        let levels = levels.and_then(|event| {
            serde_json::from_str::<RoomPowerLevelsEventContent>(event.pdu.content.get()).ok()
        });
        let source = levels.map_or(RoomPowerLevelsSource::None, RoomPowerLevelsSource::Original);
        let levels = RoomPowerLevels::new(source, authorization, creators);
        Ok(context.with_power_levels(levels.into()))
    }

    /// The newest events before a position that a user is to be notified of, the newest first.
    pub(crate) fn notifications(
        &self,
        user_id: &UserId,
        before: Option<Position>,
        limit: usize,
        only_highlights: bool,
    ) -> Result<Vec<Notification>, RoomError> {
        let ignored = self.users.ignored(user_id)?;
        let mut found = Vec::new();
        for (room_id, mine) in &self.rooms.of_user(user_id)? {
            if mine.membership != MembershipState::Join {
                continue;
            }
            let Some(room) = self.rooms.get(room_id)? else { continue };
            let upto = before.map_or(room.position(), |before| Position(before.0.saturating_sub(1)));
            let read = self.read(user_id, room_id)?;
            let rater = self.rater(user_id, &room)?;
            let mut here = 0;
            let joined = self.joined_at(mine)?;
            for entry in self.rooms.timeline_rows(&room, joined, upto).rev().take(MAX_SCANNED) {
                let entry = entry?;
                // As in the count: one's own words are no news.
                let sender = &entry.event.pdu.sender;
                if sender == user_id || ignored.contains(sender) {
                    continue;
                }
                let actions = rater.rate(&entry.event);
                let wanted = if only_highlights { Action::is_highlight } else { Action::should_notify };
                if !actions.iter().any(wanted) {
                    continue;
                }
                let thread = thread_of(&entry.event);
                found.push(Notification {
                    position: entry.position,
                    room_id: room_id.clone(),
                    read: read.covers(thread.as_deref().unwrap_or(MAIN), entry.position),
                    actions: actions.to_vec(),
                    event: entry.event,
                });
                here += 1;
                if here == limit {
                    break;
                }
            }
        }
        found.sort_by_key(|notification| std::cmp::Reverse(notification.position));
        found.truncate(limit);
        Ok(found)
    }
}

/// The root of the thread that an event is in.
fn thread_of(event: &StoredEvent) -> Option<String> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: Relation,
    }
    #[derive(Deserialize)]
    struct Relation {
        rel_type: String,
        event_id: String,
    }
    let content = event.pdu.content.get();
    if !content.contains("m.thread") {
        return None;
    }
    let content: Content = serde_json::from_str(content).ok()?;
    (content.relates_to.rel_type == "m.thread").then_some(content.relates_to.event_id)
}
