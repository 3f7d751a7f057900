//! How an event gets into a room.

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
};

use ruma::{
    CanonicalJsonObject, EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
    state_res::events::RoomPowerLevelsIntField,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Append, RoomError, Rooms, Staged,
    live::{Authorities, Extremity, Head, Member, Room, RoomState, TimelineEntry},
    load,
    state_tree::{Root, StateTree},
    stored::{self, Meta, SentBy, StoredEvent},
    txn::Known,
    user_rooms::{self, UserRoom},
};
use crate::{
    event::{Draft, Pdu, canonical_content},
    rules::{self, PowerLevels, StateIds},
    store::{Pending, Position, StoreError, Tree, WriteSet, key},
};

/// How often a write is built again that was built on one that failed.
const ATTEMPTS: usize = 3;
/// How many member events are kept beside a room for authorisation.
const KEPT_MEMBERS: usize = 1024;

/// What somebody wants to say, before it has a place in the graph.
pub(super) struct Proposal {
    pub(super) sender: OwnedUserId,
    pub(super) event_type: TimelineEventType,
    pub(super) state_key: Option<String>,
    pub(super) content: Box<RawValue>,
    pub(super) origin_server_ts: Option<MilliSecondsSinceUnixEpoch>,
    pub(super) redacts: Option<OwnedEventId>,
    pub(super) sent_by: Option<SentBy>,
}

/// An event that is allowed, on its way into a room.
pub(super) struct Signed {
    pub(super) pdu: Pdu,
    /// Its complete canonical JSON.
    pub(super) json: String,
    pub(super) sent_by: Option<SentBy>,
    /// The state before it.
    pub(super) before: StateTree,
}

/// What became of a proposal.
pub(super) enum Outcome {
    /// It was staged.
    Staged(OwnedEventId, Pending),
    /// It is there already.
    There(OwnedEventId),
}

/// The fields of a member event that are kept beside the room.
#[derive(Deserialize)]
struct MemberContent {
    membership: MembershipState,
    #[serde(default)]
    displayname: serde_json::Value,
    #[serde(default)]
    avatar_url: serde_json::Value,
}

/// What an event says it relates to.
#[derive(Deserialize)]
struct RelatesTo {
    #[serde(rename = "m.relates_to")]
    relates_to: Option<Relation>,
}

#[derive(Deserialize)]
struct Relation {
    rel_type: Option<String>,
    event_id: Option<OwnedEventId>,
}

impl Rooms {
    /// Sends an event. A request with a known transaction ID answers with the event that it made.
    ///
    /// # Errors
    /// If the sender may not send it, if it is malformed or too large, or if it could not be written.
    pub(crate) async fn append(&self, request: Append) -> Result<OwnedEventId, RoomError> {
        let room = self.get(&request.room_id)?.ok_or_else(RoomError::not_in_room)?;
        let Append { sender, event_type, state_key, content, origin_server_ts, redacts, txn, .. } = request;
        let sent_by =
            txn.as_ref().map(|txn| SentBy { device_id: txn.device_id.clone(), txn_id: txn.txn_id.clone() });
        let proposal =
            Proposal { sender, event_type, state_key, content, origin_server_ts, redacts, sent_by };
        self.write(&room, txn.as_ref(), |_, _| Ok(proposal.clone())).await
    }

    /// Builds an event on the head of a room and writes it; again, if what it was built on failed.
    pub(super) async fn write(
        &self,
        room: &Arc<Room>,
        txn: Option<&super::TxnKey>,
        propose: impl Fn(&Self, &mut Head) -> Result<Proposal, RoomError>,
    ) -> Result<OwnedEventId, RoomError> {
        for _ in 0..ATTEMPTS {
            let outcome = {
                let mut head = room.writer.lock().await;
                self.refresh(room, &mut head)?;
                match txn.map(|txn| self.inner.transactions.lookup(txn)).transpose()? {
                    Some(Known::Answered(event_id)) => Outcome::There(answered(event_id)?),
                    Some(Known::InFlight(event_id)) => {
                        let barrier = self.inner.store.stage(WriteSet::new());
                        Outcome::Staged(answered(event_id)?, barrier)
                    }
                    Some(Known::No) | None => {
                        let proposal = propose(self, &mut head)?;
                        self.write_one(room, &mut head, proposal, txn)?
                    }
                }
            };
            match outcome {
                Outcome::There(event_id) => return Ok(event_id),
                Outcome::Staged(event_id, pending) => match pending.await {
                    Ok(_) => return Ok(event_id),
                    Err(StoreError::Superseded) => {}
                    Err(error) => return Err(error.into()),
                },
            }
        }
        Err(StoreError::Superseded.into())
    }

    fn write_one(
        &self,
        room: &Arc<Room>,
        head: &mut Head,
        proposal: Proposal,
        txn: Option<&super::TxnKey>,
    ) -> Result<Outcome, RoomError> {
        if let Some(event_id) = self.same_state(head, &proposal)? {
            return Ok(Outcome::There(event_id));
        }
        let mut set = WriteSet::new();
        let mut after = head.state.clone();
        let event = self
            .add(room, head, &mut after, proposal, &mut set)
            // Some of what is kept may be of the state that does not come about.
            .inspect_err(|_| head.authorities = Authorities::default())?;
        if let Some(txn) = txn {
            self.inner.transactions.record(txn, event.pdu.event_id.as_str(), &mut set);
        }
        let pending = self.stage(room, head, after, set);
        Ok(Outcome::Staged(event.pdu.event_id.clone(), pending))
    }

    /// Reads the head again, when a write has failed since it was read.
    pub(super) fn refresh(&self, room: &Room, head: &mut Head) -> Result<(), StoreError> {
        if head.generation != self.inner.store.generation() {
            self.inner.events.forget_cached();
            *head = load::load_head(&self.inner.store, room.number)?.1;
            room.reset(head.state.clone());
        }
        Ok(())
    }

    /// Puts what was added to a room in line to be written, and makes it the room's head.
    pub(super) fn stage(
        &self,
        room: &Arc<Room>,
        head: &mut Head,
        after: RoomState,
        mut set: WriteSet,
    ) -> Pending {
        load::put_head(&mut set, room, &after);
        set.built_on(head.generation);
        let (wakers, observer, woken) =
            (self.inner.wakers.clone(), self.inner.observer.clone(), room.clone());
        set.on_visible(move |position| {
            wakers.wake_room(&woken.view());
            observer.committed(&woken.room_id, position);
        });
        head.state = after;
        self.inner.store.stage(set)
    }

    /// The state event in place, if the proposal is the same again from the same sender.
    fn same_state(&self, head: &Head, proposal: &Proposal) -> Result<Option<OwnedEventId>, RoomError> {
        let Some(state_key) = &proposal.state_key else { return Ok(None) };
        let event_type = StateEventType::from(proposal.event_type.to_string());
        let Some(event) = self.state_event_in(&head.state.state, &event_type, state_key)? else {
            return Ok(None);
        };
        if event.pdu.sender != proposal.sender {
            return Ok(None);
        }
        let same = canonical_content(&event.pdu.content)? == canonical_content(&proposal.content)?;
        Ok(same.then(|| event.pdu.event_id.clone()))
    }

    /// Makes an event of a proposal, checks it against the head, and adds everything that it changes to the
    /// room and to the set. The head itself is not changed but for what it keeps in memory.
    pub(super) fn add(
        &self,
        room: &Arc<Room>,
        head: &mut Head,
        after: &mut RoomState,
        proposal: Proposal,
        set: &mut WriteSet,
    ) -> Result<Arc<StoredEvent>, RoomError> {
        let content = canonical_content(&proposal.content)?;
        let redacts = proposal.redacts.clone();
        let sent_by = proposal.sent_by.clone();
        let (pdu, json) = self.build(room, head, after, proposal, content)?;
        self.authorize(room, head, after, &pdu)?;
        let redacted = redacts.map(|id| self.redactable(room, head, after, &pdu, &id)).transpose()?.flatten();
        let before = after.state.clone();
        let event = self.insert(room, head, after, Signed { pdu, json, sent_by, before }, set)?;
        if let Some(target) = redacted {
            self.apply_redaction(room, &target, event.number, set)?;
        }
        Ok(event)
    }

    /// Gives a proposal its place in the graph, hashes and signs it.
    pub(super) fn build(
        &self,
        room: &Room,
        head: &mut Head,
        state: &RoomState,
        proposal: Proposal,
        content: CanonicalJsonObject,
    ) -> Result<(Pdu, String), RoomError> {
        let selection = rules::auth_selection(
            &room.rules,
            &proposal.event_type,
            &proposal.sender,
            proposal.state_key.as_deref(),
            &proposal.content,
        )
        .map_err(|denied| RoomError::BadJson(denied.0))?;
        let mut auth_events = Vec::with_capacity(selection.len());
        for (event_type, state_key) in &selection {
            if let Some(event) = self.authority(head, state, event_type, state_key)? {
                auth_events.push(event.pdu.reference());
            }
        }
        let is_create = proposal.event_type == TimelineEventType::RoomCreate;
        let without_id = is_create && room.rules.authorization.room_create_event_id_as_room_id;
        let depth = state.extremities.iter().map(|extremity| extremity.depth).max().unwrap_or_default();
        let draft = Draft {
            room_id: (!without_id).then(|| room.room_id.clone()),
            sender: proposal.sender,
            event_type: proposal.event_type,
            state_key: proposal.state_key,
            content,
            origin_server_ts: proposal.origin_server_ts.unwrap_or_else(|| self.now()),
            redacts: proposal.redacts,
            prev_events: state.extremities.iter().map(|extremity| extremity.event.clone()).collect(),
            auth_events,
            depth: depth + 1,
        };
        Ok(draft.sign(&room.rules, &self.inner.config.key)?)
    }

    /// Checks an event against the state that it is added to.
    pub(super) fn authorize(
        &self,
        room: &Room,
        head: &mut Head,
        state: &RoomState,
        pdu: &Pdu,
    ) -> Result<(), RoomError> {
        if pdu.event_type == TimelineEventType::RoomCreate {
            return rules::check_auth_events(&room.rules, pdu, |_| None)
                .map_err(|denied| RoomError::Forbidden(denied.0));
        }
        let failed: Cell<Option<StoreError>> = Cell::new(None);
        let head = std::cell::RefCell::new(head);
        let verdict = rules::authorize(&room.rules, pdu, |event_type, state_key| {
            self.authority(&mut head.borrow_mut(), state, event_type, state_key)
                .unwrap_or_else(|error| {
                    failed.set(Some(error));
                    None
                })
                .map(|event| event.pdu.clone())
        });
        match failed.into_inner() {
            Some(error) => Err(error.into()),
            None => verdict.map_err(|denied| RoomError::Forbidden(denied.0)),
        }
    }

    /// A state event that the authorisation rules ask for; the next time from memory.
    fn authority(
        &self,
        head: &mut Head,
        state: &RoomState,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let kept = &mut head.authorities;
        let slot = match event_type {
            StateEventType::RoomCreate if state_key.is_empty() => &mut kept.create,
            StateEventType::RoomPowerLevels if state_key.is_empty() => &mut kept.power_levels,
            StateEventType::RoomJoinRules if state_key.is_empty() => &mut kept.join_rules,
            StateEventType::RoomMember => return self.member_event(head, state, state_key),
            _ => return self.state_event_in(&state.state, event_type, state_key),
        };
        if slot.is_none() {
            *slot = self.state_event_in(&state.state, event_type, state_key)?;
        }
        Ok(slot.clone())
    }

    fn member_event(
        &self,
        head: &mut Head,
        state: &RoomState,
        user_id: &str,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let Ok(user_id) = <&UserId>::try_from(user_id) else { return Ok(None) };
        let Some(member) = state.members.get(user_id) else { return Ok(None) };
        if let Some(event) = head.authorities.members.get(user_id)
            && event.number == member.number
        {
            return Ok(Some(event.clone()));
        }
        let event = self.inner.events.expect(member.number)?;
        if head.authorities.members.len() >= KEPT_MEMBERS {
            head.authorities.members.clear();
        }
        head.authorities.members.insert(user_id.to_owned(), event.clone());
        Ok(Some(event))
    }

    /// The state event in a place of a state.
    pub(crate) fn state_event_in(
        &self,
        state: &StateTree,
        event_type: &StateEventType,
        state_key: &str,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let event_type = event_type.to_string();
        match state.get(&self.inner.store, &event_type, state_key)? {
            None => Ok(None),
            Some(number) => self.inner.events.expect(number).map(Some),
        }
    }

    /// Adds an accepted event to the room and to the set.
    pub(super) fn insert(
        &self,
        room: &Arc<Room>,
        head: &mut Head,
        after: &mut RoomState,
        signed: Signed,
        set: &mut WriteSet,
    ) -> Result<Arc<StoredEvent>, RoomError> {
        let Signed { pdu, json, sent_by, before } = signed;
        let store = &self.inner.store;
        let number = store.event_number();
        let event_type = pdu.event_type.to_string();
        let mut meta = Meta { state_before: before.root(), sent_by, ..Meta::default() };
        let state_after = match &pdu.state_key {
            None => before,
            Some(state_key) => {
                meta.replaces = before.get(store, &event_type, state_key)?;
                before.with(store, &event_type, state_key, number, set)?
            }
        };
        set.put(
            Tree::Event,
            number.to_be_bytes(),
            stored::encode(&room.version, &pdu.event_id, &meta, &json),
        );
        let event = Arc::new(StoredEvent { number, pdu: Arc::new(pdu), meta });
        self.inner.events.keep(event.clone());

        let prev_events = &event.pdu.prev_events;
        let linear = prev_events.len() == after.extremities.len()
            && after.extremities.iter().all(|extremity| prev_events.contains(&extremity.event.event_id));
        after.extremities.retain(|extremity| !prev_events.contains(&extremity.event.event_id));
        after.extremities.push(Extremity {
            event: event.pdu.reference(),
            depth: event.pdu.depth,
            state_after: state_after.root(),
        });
        let old = std::mem::replace(&mut after.state, state_after);
        if !linear {
            after.state = self.resolve(room, after, set)?;
        }
        let position = put_timeline(room, &event, after.state.root(), set);
        if linear {
            head.authorities.update(&event);
            self.take_member(room, after, &event, set);
        } else {
            head.authorities = Authorities::default();
            self.take_resolved(room, after, &old, set)?;
        }
        put_relation(&event, set);
        self.inner.observer.stage(&Staged { event: &event, after }, set);

        let (shown, view) = (room.clone(), after.clone());
        let entry = (event.clone(), after.state.root());
        set.on_commit(move |_| {
            let position = position.get().copied().unwrap_or_default();
            shown.publish(view, TimelineEntry { position, event: entry.0, state_after: entry.1 });
        });
        Ok(event)
    }

    /// Takes over the membership that a member event gives, after the event has taken its position.
    fn take_member(&self, room: &Room, after: &mut RoomState, event: &StoredEvent, set: &mut WriteSet) {
        let Some((user_id, member)) = member_of(event) else { return };
        load::put_member(set, room.number, &user_id, &member);
        let user_room = UserRoom {
            membership: member.membership.clone(),
            number: event.number,
            position: Position::ZERO,
            forgotten: false,
        };
        after.set_member(user_id.clone(), member);
        self.put_user_room(room, user_id, user_room, set);
    }

    /// Writes a room of a user, with the position that was taken last.
    fn put_user_room(&self, room: &Room, user_id: OwnedUserId, user_room: UserRoom, set: &mut WriteSet) {
        let position = Arc::new(OnceLock::new());
        let (row, given) = (user_room.clone(), position.clone());
        let row_key = user_rooms::row_key(&user_id, &room.room_id);
        set.at_last_position(move |position, rows| {
            let _ = given.set(position);
            rows.put(Tree::Member, row_key, user_rooms::encode(&UserRoom { position, ..row }));
        });
        let (users, wakers, room_id) =
            (self.inner.users.clone(), self.inner.wakers.clone(), room.room_id.clone());
        let woken = user_id.clone();
        set.on_commit(move |_| {
            let position = position.get().copied().unwrap_or_default();
            users.update(&user_id, &room_id, UserRoom { position, ..user_room });
        });
        // Who has left for good is not woken with the room.
        set.on_visible(move |_| wakers.wake(&woken));
    }

    /// The state that holds now that the graph of a room has several ends.
    fn resolve(&self, room: &Room, after: &RoomState, set: &mut WriteSet) -> Result<StateTree, RoomError> {
        match after.extremities.as_slice() {
            [_] => Ok(after.state.clone()),
            _ => self.resolve_several(room, after, &after.state, set),
        }
    }

    fn resolve_several(
        &self,
        room: &Room,
        after: &RoomState,
        newest: &StateTree,
        set: &mut WriteSet,
    ) -> Result<StateTree, RoomError> {
        let store = &self.inner.store;
        let mut numbers = std::collections::HashMap::new();
        let mut states: Vec<StateIds> = Vec::new();
        for extremity in &after.extremities {
            let tree = if extremity.state_after == newest.root() {
                newest.clone()
            } else {
                StateTree::at(extremity.state_after)
            };
            let mut state = StateIds::new();
            for entry in tree.entries(store)? {
                let event = self.inner.events.expect(entry.number)?;
                let key = (StateEventType::from(&*entry.event_type), entry.state_key.to_string());
                state.insert(key, event.pdu.event_id.clone());
                numbers.insert(event.pdu.event_id.clone(), event.number);
            }
            states.push(state);
        }
        let fetch = |id: &EventId| {
            let event = match numbers.get(id) {
                Some(number) => self.inner.events.get(*number).ok().flatten(),
                None => self.inner.events.by_id(id).ok().flatten().map(|(event, _)| event),
            };
            event.map(|event| event.pdu.clone())
        };
        let resolved = rules::resolve(&room.rules, &states, fetch)
            .map_err(|error| RoomError::Internal(error.to_string()))?;
        let mut tree = StateTree::default();
        for ((event_type, state_key), id) in &resolved {
            let number = match numbers.get(id) {
                Some(number) => Some(*number),
                None => self.inner.events.locate(id)?.map(|(number, _)| number),
            };
            let number = number.ok_or_else(|| StoreError::damaged("an event of the resolved state"))?;
            tree = tree.with(store, &event_type.to_string(), state_key, number, set)?;
        }
        Ok(tree)
    }

    /// Takes over the memberships that the resolution of states has changed.
    fn take_resolved(
        &self,
        room: &Room,
        after: &mut RoomState,
        old: &StateTree,
        set: &mut WriteSet,
    ) -> Result<(), RoomError> {
        let store = &self.inner.store;
        for entry in old.changed_since(store, &after.state)? {
            let gone = after.state.get(store, &entry.event_type, &entry.state_key)?.is_none();
            if gone && let Some((user_id, _)) = member_of(&*self.inner.events.expect(entry.number)?) {
                // The resolved state does not know the user: the same as having left.
                let left = Member {
                    membership: MembershipState::Leave,
                    number: entry.number,
                    displayname: None,
                    avatar_url: None,
                };
                load::put_member(set, room.number, &user_id, &left);
                after.set_member(user_id, left);
            }
        }
        let mut changed = after.state.changed_since(store, old)?;
        changed.sort_by_key(|entry| entry.number);
        for entry in changed {
            let event = self.inner.events.expect(entry.number)?;
            self.take_member(room, after, &event, set);
        }
        Ok(())
    }

    /// The event that a redaction takes effect on: the sender's own, or with the power to redact.
    ///
    /// An event that this server does not know is not refused; there is nothing to take away then.
    fn redactable(
        &self,
        room: &Room,
        head: &mut Head,
        state: &RoomState,
        redaction: &Pdu,
        target: &EventId,
    ) -> Result<Option<Arc<StoredEvent>>, RoomError> {
        let target = match self.staged_or_stored(room, target)? {
            None => return Ok(None),
            Some(event) if event.pdu.room_id == room.room_id => event,
            Some(_) => {
                return Err(RoomError::InvalidParam("the event to redact is in another room".to_owned()));
            }
        };
        if target.pdu.event_type == TimelineEventType::RoomCreate {
            return Err(RoomError::forbidden("a create event is not redacted"));
        }
        if target.pdu.sender != redaction.sender {
            let create = self.authority(head, state, &StateEventType::RoomCreate, "")?;
            let levels = self.authority(head, state, &StateEventType::RoomPowerLevels, "")?;
            let create =
                create.ok_or_else(|| RoomError::Internal("a room has no create event".to_owned()))?;
            let levels = levels.as_ref().map(|event| &*event.pdu);
            let may = PowerLevels::new(&room.rules.authorization, &create.pdu, levels)
                .and_then(|levels| levels.may(&redaction.sender, RoomPowerLevelsIntField::Redact))
                .map_err(|denied| RoomError::Forbidden(denied.0))?;
            if !may {
                return Err(RoomError::forbidden("you may not redact other users' events in this room"));
            }
        }
        Ok(target.meta.redacted_by.is_none().then_some(target))
    }

    /// An event of the room by its ID, also one that is not written yet: it is waited for by the next batch.
    fn staged_or_stored(
        &self,
        room: &Room,
        event_id: &EventId,
    ) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let (_, recent) = room.recent();
        if let Some(entry) = recent.iter().rev().find(|entry| entry.event.pdu.event_id == event_id) {
            return Ok(Some(entry.event.clone()));
        }
        Ok(self.inner.events.by_id(event_id)?.map(|(event, _)| event))
    }

    fn apply_redaction(
        &self,
        room: &Arc<Room>,
        target: &StoredEvent,
        redaction: u64,
        set: &mut WriteSet,
    ) -> Result<(), RoomError> {
        let redacted = self.inner.events.redact(target, redaction, &room.rules, set)?;
        let (room, events) = (room.clone(), self.inner.events.clone());
        set.on_commit(move |_| {
            room.replace(&redacted);
            events.keep(redacted);
        });
        Ok(())
    }
}

impl Clone for Proposal {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            event_type: self.event_type.clone(),
            state_key: self.state_key.clone(),
            content: self.content.clone(),
            origin_server_ts: self.origin_server_ts,
            redacts: self.redacts.clone(),
            sent_by: self.sent_by.clone(),
        }
    }
}

fn answered(event_id: String) -> Result<OwnedEventId, StoreError> {
    event_id.try_into().map_err(|_| StoreError::damaged("the answer to a request"))
}

/// Whose membership a member event gives, and which.
pub(super) fn member_of(event: &StoredEvent) -> Option<(OwnedUserId, Member)> {
    if event.pdu.event_type != TimelineEventType::RoomMember {
        return None;
    }
    let user_id = event.pdu.state_key.as_deref()?.try_into().ok()?;
    let content: MemberContent = serde_json::from_str(event.pdu.content.get()).ok()?;
    let text = |value: serde_json::Value| value.as_str().map(Into::into);
    let member = Member {
        membership: content.membership,
        number: event.number,
        displayname: text(content.displayname),
        avatar_url: text(content.avatar_url),
    };
    Some((user_id, member))
}

/// Writes that an event relates to another.
fn put_relation(event: &StoredEvent, set: &mut WriteSet) {
    // Most events relate to nothing, and are not parsed to find that out.
    if !event.pdu.content.get().contains("m.relates_to") {
        return;
    }
    let Ok(RelatesTo { relates_to: Some(relation) }) = serde_json::from_str(event.pdu.content.get()) else {
        return;
    };
    if let (Some(rel_type), Some(parent)) = (relation.rel_type, relation.event_id) {
        let event_type = event.pdu.event_type.to_string();
        let row_key = key([parent.as_str(), &rel_type, &event_type]).number(event.number);
        set.put(Tree::Relation, row_key, Vec::new());
    }
}

/// Writes where an event is. The position is in the cell when the set is staged.
fn put_timeline(
    room: &Room,
    event: &StoredEvent,
    state_after: Root,
    set: &mut WriteSet,
) -> Arc<OnceLock<Position>> {
    let cell = Arc::new(OnceLock::new());
    let (given, number, room) = (cell.clone(), event.number, room.number);
    let event_id = event.pdu.event_id.clone();
    set.positioned(move |position, rows| {
        let _ = given.set(position);
        rows.put(
            Tree::Timeline,
            load::timeline_key(room).position(position),
            load::timeline_value(number, state_after),
        );
        let index = [number.to_be_bytes(), position.to_bytes()].concat();
        rows.put(Tree::EventId, event_id.as_bytes(), index);
    });
    cell
}

impl Authorities {
    /// Takes over a state event that is now in place.
    fn update(&mut self, event: &Arc<StoredEvent>) {
        let slot = match (&event.pdu.event_type, event.pdu.state_key.as_deref()) {
            (TimelineEventType::RoomCreate, Some("")) => &mut self.create,
            (TimelineEventType::RoomPowerLevels, Some("")) => &mut self.power_levels,
            (TimelineEventType::RoomJoinRules, Some("")) => &mut self.join_rules,
            // Members are found by the number that the room's list of members has.
            _ => return,
        };
        *slot = Some(event.clone());
    }
}
