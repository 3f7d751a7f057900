//! Random histories that fork and merge: what holds of every one of them, in every room version.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use ruma::{
    CanonicalJsonObject, EventId, RoomVersionId,
    room_version_rules::EventIdFormatVersion,
    serde::Base64,
    signatures::{Verified, reference_hash, verify_event},
};

use super::*;
use crate::{
    event::Pdu,
    histories::{Deed, Done, Step, USERS, deed, key, steps},
    room::stored::full_json,
    rules::{self, StateIds},
};

fn version() -> impl Strategy<Value = RoomVersionId> {
    proptest::sample::select(Rooms::supported_versions())
}

/// A room, its events in the order in which they came, and the state after each, found out apart from the server.
struct History {
    fixture: Fixture,
    room: Arc<Room>,
    events: Vec<OwnedEventId>,
    after: HashMap<OwnedEventId, StateIds>,
}

impl History {
    /// A public room where the creator and Bob and Carol are, Bob with some power.
    async fn start(version: RoomVersionId) -> Self {
        let fixture = Fixture::new();
        let room_id = fixture.room_of_version("alice", version).await;
        for name in ["bob", "carol"] {
            fixture.join(&room_id, name).await.unwrap();
        }
        let mut levels = fixture.state_of(&room_id, "alice", "m.room.power_levels", "");
        levels["users"]["@bob:hs.test"] = json!(50);
        fixture.set_state(&room_id, "alice", "m.room.power_levels", levels).await.unwrap();
        let room = fixture.rooms.get(&room_id).unwrap().unwrap();
        let rows = fixture.rooms.timeline_rows(&room, Position::ZERO, Position(1 << 60));
        let events: Vec<_> = rows.map(|row| row.unwrap().event.pdu.event_id.clone()).collect();
        let mut history = Self { fixture, room, events: Vec::new(), after: HashMap::new() };
        for event_id in events {
            history.note(event_id);
        }
        history
    }

    fn event(&self, event_id: &EventId) -> Arc<Pdu> {
        self.fixture.rooms.events().by_id(event_id).unwrap().unwrap().0.pdu.clone()
    }

    fn fetch(&self) -> impl Fn(&EventId) -> Option<Arc<Pdu>> {
        |event_id| self.fixture.rooms.events().by_id(event_id).unwrap().map(|(event, _)| event.pdu.clone())
    }

    /// The resolution of the states after some events, from the last to the first.
    fn resolve<'e>(&self, ends: impl DoubleEndedIterator<Item = &'e OwnedEventId>) -> StateIds {
        let mut states: Vec<_> = ends.rev().map(|event_id| self.after[event_id].clone()).collect();
        match states.len() {
            0 => StateIds::new(),
            1 => states.remove(0),
            _ => rules::resolve(&self.room.rules, &states, self.fetch()).unwrap(),
        }
    }

    /// Follows an event that the server accepted.
    fn note(&mut self, event_id: OwnedEventId) -> StateIds {
        let pdu = self.event(&event_id);
        let before = self.resolve(pdu.prev_events.iter());
        let mut after = before.clone();
        if let Some(state_key) = &pdu.state_key {
            let event_type = pdu.event_type.to_string().into();
            after.insert((event_type, state_key.clone()), event_id.clone());
        }
        self.after.insert(event_id.clone(), after);
        self.events.push(event_id);
        before
    }

    /// What a state of the server holds, as IDs.
    fn ids(&self, tree: &StateTree) -> BTreeMap<(String, String), OwnedEventId> {
        let entries = tree.entries(&self.fixture.store).unwrap();
        let id = |number| self.fixture.rooms.events().expect(number).unwrap().pdu.event_id.clone();
        entries
            .into_iter()
            .map(|entry| ((entry.event_type.to_string(), entry.state_key.to_string()), id(entry.number)))
            .collect()
    }

    /// Takes a step; false when the rules do not allow it there.
    async fn take(&mut self, step: &Step) -> bool {
        let recent = &self.events[self.events.len().saturating_sub(8)..];
        let mut parents: Vec<&EventId> = step.parents.iter().map(|index| &**index.get(recent)).collect();
        parents.sort_unstable();
        parents.dedup();
        let levels = self.after[parents[0]]
            .get(&("m.room.power_levels".into(), String::new()))
            .map(|event_id| serde_json::from_str(self.event(event_id).content.get()).unwrap())
            .unwrap_or_default();
        let Done { event_type, state_key, content } = step.deed.done(step.sender, &levels, &key());
        let (room_id, sender) = (&self.room.room_id, USERS[step.sender]);
        let sent = self
            .fixture
            .send_after(room_id, &parents, sender, event_type, state_key.as_deref(), content)
            .await;
        match sent {
            Ok(event_id) => {
                self.note(event_id);
                true
            }
            Err(RoomError::Forbidden(_) | RoomError::BadJson(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The state of the room is what follows from the ends of its graph, whatever their order.
    fn check_current(&self) {
        let view = self.room.view();
        let ends: Vec<_> =
            view.extremities.iter().map(|extremity| extremity.event.event_id.clone()).collect();
        let expected = as_map(self.resolve(ends.iter()));
        assert_eq!(as_map(self.resolve(ends.iter().rev())), expected, "the order of the ends matters");
        let doubled = ends.iter().chain(&ends);
        assert_eq!(as_map(self.resolve(doubled)), expected, "an end counts twice");
        assert_eq!(self.ids(&view.state), expected);
    }

    /// Everything that is claimed about a stored event.
    fn check_event(&self, event_id: &EventId) {
        let (event, _) = self.fixture.rooms.events().by_id(event_id).unwrap().unwrap();
        let (pdu, rules) = (&event.pdu, &self.room.rules);
        let json = full_json(&self.fixture.store, event.number, false).unwrap().unwrap();
        let object: CanonicalJsonObject = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&object).unwrap(), json, "the stored form is canonical");
        assert_eq!(verify_event(&self.keys(), &object, rules).unwrap(), Verified::All);
        let hash = reference_hash(&object, rules).unwrap();
        if rules.event_id_format == EventIdFormatVersion::V1 {
            assert_eq!(object["event_id"].as_str(), Some(event_id.as_str()));
            let wire: Value = serde_json::from_str(&json).unwrap();
            for reference in
                ["prev_events", "auth_events"].iter().flat_map(|list| wire[list].as_array().unwrap())
            {
                let named = self.event(<&EventId>::try_from(reference[0].as_str().unwrap()).unwrap());
                assert_eq!(reference[1]["sha256"].as_str(), named.reference_hash.as_deref());
            }
        } else {
            assert_eq!(event_id.localpart(), hash);
        }
        let depths = pdu.prev_events.iter().map(|parent| self.event(parent).depth);
        assert_eq!(pdu.depth, depths.max().unwrap_or_default() + 1);

        let before = self.resolve(pdu.prev_events.iter());
        let stored = StateTree::at(event.meta.state_before);
        assert_eq!(
            self.ids(&stored),
            as_map(before.clone()),
            "the state before {pdu} is that of its parents"
        );
        rules::check_auth_events(rules, pdu, self.fetch()).unwrap();
        let fetch = self.fetch();
        rules::authorize(rules, pdu, |kind, key| fetch(before.get(&(kind.clone(), key.to_owned()))?))
            .unwrap();
        let mut named: Vec<_> = pdu.auth_events.iter().map(|event_id| self.event(event_id)).collect();
        if rules.authorization.room_create_event_id_as_room_id {
            named.push(self.event(&self.events[0]));
        }
        let sufficient = rules::authorize(rules, pdu, |kind, key| {
            named.iter().find(|event| event.is_state(&kind.to_string(), key)).cloned()
        });
        assert!(sufficient.is_ok(), "{pdu} does not name what allows it: {sufficient:?}");
    }

    fn keys(&self) -> BTreeMap<String, BTreeMap<String, Base64>> {
        let public = Base64::new(self.fixture.rooms.key().pair().public_key().to_vec());
        BTreeMap::from([("hs.test".to_owned(), BTreeMap::from([("ed25519:a_test".to_owned(), public)]))])
    }

    /// The members that are kept beside the state are those of the state.
    fn check_members(&self) {
        let view = self.room.view();
        let mut joined = 0;
        for (key, event_id) in self.ids(&view.state).into_iter().filter(|(key, _)| key.0 == "m.room.member") {
            let membership = self.event(&event_id).content_text("membership").unwrap();
            let member = &view.members[&*key.1];
            assert_eq!(member.membership.as_str(), membership);
            joined += usize::from(membership == "join");
        }
        assert_eq!(view.joined, joined);
    }
}

fn as_map(state: StateIds) -> BTreeMap<(String, String), OwnedEventId> {
    state.into_iter().map(|((event_type, key), event_id)| ((event_type.to_string(), key), event_id)).collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn every_history_is_a_sound_graph_whose_state_follows_from_it(version in version(), steps in steps(1..40)) {
        block_on(async {
            let mut history = History::start(version).await;
            for step in &steps {
                if history.take(step).await {
                    history.check_current();
                }
            }
            for event_id in &history.events {
                history.check_event(event_id);
            }
            history.check_members();
            // The same from the rows alone; opening checks that they agree.
            let again = rooms_in(history.fixture.store.clone());
            let reread = again.get(&history.room.room_id).unwrap().unwrap();
            prop_assert_eq!(reread.view().state.root(), history.room.view().state.root());
            prop_assert_eq!(&reread.view().members, &history.room.view().members);
            prop_assert_eq!(&reread.view().extremities, &history.room.view().extremities);
            Ok(())
        })?;
    }

    #[test]
    fn who_is_banned_meanwhile_has_done_nothing(version in version(), deeds in proptest::collection::vec(deed(), 1..12)) {
        block_on(async {
            let mut history = History::start(version).await;
            let room_id = history.room.room_id.clone();
            for (event_type, key) in [("m.room.topic", ""), ("org.example.note", "0"), ("org.example.note", "1"), ("org.example.note", "2")] {
                let fork = history.events.last().unwrap().clone();
                let sent = history.fixture.send_after(&room_id, &[&fork], "alice", event_type, Some(key), json!({})).await;
                history.note(sent.unwrap());
            }
            let fork = history.events.last().unwrap().clone();
            let agreed = history.after[&fork].clone();
            let mut last = fork.clone();
            for deed in deeds {
                let levels = agreed[&("m.room.power_levels".into(), String::new())].clone();
                let levels = serde_json::from_str(history.event(&levels).content.get()).unwrap();
                let Done { event_type, state_key: key, content } = deed.done(1, &levels, &key());
                // Whatever Bob may do; his own leaving and coming is between him and the one who bans him.
                if event_type == "m.room.member" && key.as_deref() == Some("@bob:hs.test") {
                    continue;
                }
                // The rules ask who has made the offer, and not whether that one is still there.
                if matches!(deed, Deed::Redeem(_)) {
                    continue;
                }
                let parents = [&*last];
                let sent = history.fixture.send_after(&room_id, &parents, "bob", event_type, key.as_deref(), content);
                if let Ok(event_id) = sent.await {
                    history.note(event_id.clone());
                    last = event_id;
                }
            }
            let ban = json!({ "membership": "ban" });
            let parents = [&*fork];
            let ban = history.fixture.send_after(&room_id, &parents, "alice", "m.room.member", Some("@bob:hs.test"), ban);
            let ban = ban.await.unwrap();
            history.note(ban.clone());
            history.check_current();
            let mut expected = agreed;
            expected.insert(("m.room.member".into(), "@bob:hs.test".to_owned()), ban.clone());
            let now = history.ids(&history.room.view().state);
            for (key, event_id) in as_map(expected) {
                prop_assert_eq!(&now[&key], &event_id, "{:?}", key);
            }
            Ok(())
        })?;
    }

    #[test]
    fn who_is_demoted_meanwhile_gives_no_power_whoever_is_heard_first(version in version(), bob_first in any::<bool>(), dave in 1_i64..75) {
        block_on(async {
            let history = History::start(version).await;
            let room_id = history.room.room_id.clone();
            let fixture = &history.fixture;
            let mut levels = fixture.state_of(&room_id, "alice", "m.room.power_levels", "");
            levels["users"]["@bob:hs.test"] = json!(75);
            levels["events"]["m.room.power_levels"] = json!(75);
            let fork = fixture.set_state(&room_id, "alice", "m.room.power_levels", levels.clone()).await.unwrap();
            let (mut demotion, mut promotion) = (levels.clone(), levels);
            demotion["users"]["@bob:hs.test"] = json!(0);
            promotion["users"]["@dave:hs.test"] = json!(dave);
            let mut sides = [("alice", demotion.clone()), ("bob", promotion)];
            if bob_first {
                sides.reverse();
            }
            for (sender, content) in sides {
                let parents = [&*fork];
                let sent = fixture.send_after(&room_id, &parents, sender, "m.room.power_levels", Some(""), content);
                sent.await.unwrap();
            }
            prop_assert_eq!(fixture.state_of(&room_id, "alice", "m.room.power_levels", ""), demotion);
            Ok(())
        })?;
    }
}
