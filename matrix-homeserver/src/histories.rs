//! Random histories of rooms that fork and merge, with what this server says of each event, to be compared with what
//! another implementation says.
//!
//! The same version and seed make the same history. Nothing is stored and nothing is waited for: events are built,
//! judged and resolved by the functions that rooms use.
//!
//! Nothing happens where there are no join rules, which a fork can bring about: servers differ in whether somebody may
//! join once more there, and the specification does not say ([what holds without join rules]).
//!
//! [what holds without join rules]: https://github.com/matrix-org/matrix-spec/issues/657

use std::{collections::HashMap, sync::Arc};

use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UInt,
    events::StateEventType,
    room_version_rules::{EventIdFormatVersion, RoomVersionRules},
    server_name,
};
use serde_json::json;

use crate::{
    event::{Draft, Pdu, Reference, ServerKey, canonical_content},
    room::Rooms,
    rules::{self, StateIds},
};

mod deed;

#[cfg(test)]
pub(crate) use self::deed::{Deed, deed};
pub(crate) use self::deed::{Done, Step, USERS, steps};

/// How many steps a history takes.
const STEPS: std::ops::Range<usize> = 30..60;
/// How many of the newest events may be followed by the next one.
const RECENT: usize = 8;
/// The place of the first event that several may follow: the join rules.
const FIRST_FORK: usize = 2;
/// A key that signs nothing but histories; always the same, so that events always have the same IDs.
const KEY: &[u8; 48] =
    b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20 a key that signs histories only";

/// The room versions that there are histories of.
pub fn versions() -> Vec<RoomVersionId> {
    Rooms::supported_versions()
}

/// A history, and what this server says of it. Events are known by their place in [`events`](Self::events).
#[derive(Debug)]
#[non_exhaustive]
pub struct History {
    /// The version of the room.
    pub version: RoomVersionId,
    /// Every event after those that it follows, also the events that are not allowed; those are followed by none.
    pub events: Vec<JudgedEvent>,
    /// What follows from the states after some events.
    pub merges: Vec<Merge>,
    /// How often states had to be resolved that were not the same.
    pub disputes: usize,
}

/// An event, and what this server says of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct JudgedEvent {
    /// The ID of the event.
    pub event_id: OwnedEventId,
    /// The event in the form that servers exchange.
    pub json: String,
    /// Why it is not allowed, if it is not.
    pub denied: Option<String>,
    /// The state before it: events in ascending order.
    pub before: Vec<usize>,
}

/// Several events, and the state that follows from the states after them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Merge {
    /// The events.
    pub of: Vec<usize>,
    /// The state: events in ascending order.
    pub state: Vec<usize>,
}

impl History {
    /// The history of this version and seed.
    ///
    /// # Panics
    ///
    /// If this server cannot build an event or resolve states, which is a fault.
    pub fn random(version: &RoomVersionId, seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..].iter_mut().zip(version.as_str().bytes()).for_each(|(byte, of_version)| *byte = of_version);
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let plan = (steps(STEPS), vec(vec(any::<Index>(), 2..5), 6));
        let tree = plan.new_tree(&mut runner).expect("the plan refuses nothing");
        let (steps, merges) = tree.current();
        let mut author = Author::new(version);
        author.begin();
        for step in &steps {
            author.take(step);
        }
        let merges = merges.iter().map(|of| author.merge(of)).collect();
        let disputes = author.disputes;
        Self { version: version.clone(), events: author.judged, merges, disputes }
    }
}

/// Writes a history.
struct Author {
    rules: RoomVersionRules,
    version: RoomVersionId,
    key: ServerKey,
    /// Known once there is a create event.
    room_id: Option<OwnedRoomId>,
    judged: Vec<JudgedEvent>,
    pdus: HashMap<OwnedEventId, Arc<Pdu>>,
    places: HashMap<OwnedEventId, usize>,
    /// The allowed events, in the order in which they came, and the state after each.
    allowed: Vec<OwnedEventId>,
    after: HashMap<OwnedEventId, StateIds>,
    disputes: usize,
}

pub(crate) fn user(of: usize) -> OwnedUserId {
    OwnedUserId::try_from(format!("@{}:hs.test", USERS[of])).expect("it is a user ID")
}

/// The key of histories.
pub(crate) fn key() -> ServerKey {
    ServerKey::from_der(server_name!("hs.test").to_owned(), KEY, "a_test").expect("it is a key")
}

impl Author {
    fn new(version: &RoomVersionId) -> Self {
        let rules = version.rules().expect("a supported version has rules");
        let room_id = RoomId::parse("!history:hs.test").expect("it is a room ID");
        Self {
            room_id: (!rules.authorization.room_create_event_id_as_room_id).then_some(room_id),
            rules,
            version: version.clone(),
            key: key(),
            judged: Vec::new(),
            pdus: HashMap::new(),
            places: HashMap::new(),
            allowed: Vec::new(),
            after: HashMap::new(),
            disputes: 0,
        }
    }

    /// A public room where the creator and Bob and Carol are, Bob with some power.
    fn begin(&mut self) {
        let creator = json!({ "creator": user(0), "room_version": self.version });
        let create = if self.rules.authorization.use_room_create_sender {
            json!({ "room_version": self.version })
        } else {
            creator
        };
        let mut users = json!({ user(1).as_str(): 50 });
        if !self.rules.authorization.explicitly_privilege_room_creators {
            users[user(0).as_str()] = json!(100);
        }
        let joined = json!({ "membership": "join" });
        for (sender, event_type, state_key, content) in [
            (0, "m.room.create", String::new(), create),
            (0, "m.room.member", user(0).to_string(), joined.clone()),
            (0, "m.room.join_rules", String::new(), json!({ "join_rule": "public" })),
            (0, "m.room.power_levels", String::new(), json!({ "users": users, "events": {} })),
            (1, "m.room.member", user(1).to_string(), joined.clone()),
            (2, "m.room.member", user(2).to_string(), joined),
        ] {
            let parents: Vec<_> = self.allowed.last().cloned().into_iter().collect();
            let before = self.resolve(&parents);
            let done = Done { event_type, state_key: Some(state_key), content };
            let denied = self.send(sender, &parents, before, done);
            assert_eq!(denied, None, "a room begins with what is allowed");
        }
    }

    fn take(&mut self, step: &Step) {
        let recent = &self.allowed[self.allowed.len().saturating_sub(RECENT).max(FIRST_FORK)..];
        let mut parents: Vec<_> = step.parents.iter().map(|index| index.get(recent).clone()).collect();
        parents.sort_unstable();
        parents.dedup();
        let before = self.resolve(&parents);
        if !before.contains_key(&(StateEventType::RoomJoinRules, String::new())) {
            return;
        }
        let levels = self.after[&parents[0]]
            .get(&(StateEventType::RoomPowerLevels, String::new()))
            .map(|event_id| serde_json::from_str(self.pdus[event_id].content.get()).expect("it is JSON"))
            .unwrap_or_default();
        let done = step.deed.done(step.sender, &levels, &self.key);
        self.send(step.sender, &parents, before, done);
    }

    /// Adds an event, and says why it is not allowed.
    fn send(
        &mut self,
        sender: usize,
        parents: &[OwnedEventId],
        before: StateIds,
        done: Done,
    ) -> Option<String> {
        let (pdu, json) = self.build(sender, parents, &before, done);
        let denied = self.judge(&pdu, &before).err();
        let place = self.judged.len();
        self.judged.push(JudgedEvent {
            event_id: pdu.event_id.clone(),
            json,
            denied: denied.clone(),
            before: self.as_places(&before),
        });
        if denied.is_none() {
            let mut after = before;
            if let Some(state_key) = &pdu.state_key {
                after.insert((pdu.event_type.to_string().into(), state_key.clone()), pdu.event_id.clone());
            }
            self.room_id.get_or_insert_with(|| pdu.room_id.clone());
            self.places.insert(pdu.event_id.clone(), place);
            self.allowed.push(pdu.event_id.clone());
            self.after.insert(pdu.event_id.clone(), after);
            self.pdus.insert(pdu.event_id.clone(), Arc::new(pdu));
        }
        denied
    }

    fn build(&self, sender: usize, parents: &[OwnedEventId], before: &StateIds, done: Done) -> (Pdu, String) {
        let content = serde_json::value::to_raw_value(&done.content).expect("it is JSON");
        let sender = user(sender);
        let event_type = done.event_type.into();
        let state_key = done.state_key;
        // An event that names too little is refused for something else.
        let selection =
            rules::auth_selection(&self.rules, &event_type, &sender, state_key.as_deref(), &content)
                .unwrap_or_default();
        let authorities = selection.iter().filter_map(|key| before.get(key));
        let place = self.judged.len() as u64;
        let draft = Draft {
            room_id: self.room_id.clone(),
            sender,
            event_type,
            state_key,
            content: canonical_content(&content).expect("contents are canonical"),
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(1_700_000_000_000 + place)),
            redacts: None,
            prev_events: self.references(parents.iter()),
            auth_events: self.references(authorities),
            depth: 1 + parents.iter().map(|parent| self.pdus[parent].depth).max().unwrap_or_default(),
        };
        let chosen = (self.rules.event_id_format == EventIdFormatVersion::V1)
            .then(|| EventId::parse(format!("${place}:hs.test")).expect("it is an event ID"));
        draft.sign_as(chosen, &self.rules, &self.key).expect("the event can be signed")
    }

    fn references<'e>(&self, events: impl Iterator<Item = &'e OwnedEventId>) -> Vec<Reference> {
        events.map(|event_id| self.pdus[event_id].reference()).collect()
    }

    /// All that a server checks of an event that came to it.
    fn judge(&self, pdu: &Pdu, before: &StateIds) -> Result<(), String> {
        rules::check_auth_events(&self.rules, pdu, self.fetch()).map_err(|denied| denied.0)?;
        if pdu.event_type.to_string() == "m.room.create" {
            return Ok(());
        }
        let mut named: Vec<_> = pdu.auth_events.iter().map(|event_id| self.pdus[event_id].clone()).collect();
        if self.rules.authorization.room_create_event_id_as_room_id {
            named.push(self.pdus[&self.allowed[0]].clone());
        }
        rules::authorize(&self.rules, pdu, |kind, key| {
            named.iter().find(|event| event.is_state(&kind.to_string(), key)).cloned()
        })
        .map_err(|denied| denied.0)?;
        let fetch = self.fetch();
        rules::authorize(&self.rules, pdu, |kind, key| fetch(before.get(&(kind.clone(), key.to_owned()))?))
            .map_err(|denied| denied.0)
    }

    fn fetch(&self) -> impl Fn(&EventId) -> Option<Arc<Pdu>> {
        |event_id| self.pdus.get(event_id).cloned()
    }

    /// The state that follows from the states after some events.
    fn resolve(&mut self, events: &[OwnedEventId]) -> StateIds {
        let states: Vec<_> = events.iter().map(|event_id| self.after[event_id].clone()).collect();
        self.disputes += usize::from(states.windows(2).any(|pair| pair[0] != pair[1]));
        match &states[..] {
            [] => StateIds::new(),
            [state] => state.clone(),
            states => rules::resolve(&self.rules, states, self.fetch()).expect("states can be resolved"),
        }
    }

    fn merge(&mut self, of: &[Index]) -> Merge {
        let mut of: Vec<_> = of.iter().map(|index| index.get(&self.allowed[FIRST_FORK..]).clone()).collect();
        of.sort_unstable();
        of.dedup();
        let state = self.resolve(&of);
        let state = self.as_places(&state);
        Merge { of: of.iter().map(|event_id| self.places[event_id]).collect(), state }
    }

    fn as_places(&self, state: &StateIds) -> Vec<usize> {
        let mut places: Vec<_> = state.values().map(|event_id| self.places[event_id]).collect();
        places.sort_unstable();
        places
    }
}
