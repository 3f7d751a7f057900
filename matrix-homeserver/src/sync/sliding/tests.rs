//! A client that follows, whatever happens.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ruma::OwnedRoomId;
use serde_json::{Value, json};

use super::*;
use crate::{
    room::{
        MembershipAction,
        tests::{Fixture, user},
    },
    store::Position,
    sync::tests::Server,
};

/// What a client makes of what it is told of a room.
#[derive(Debug, Default, PartialEq)]
struct Known {
    /// Type and state key → event.
    state: BTreeMap<(String, String), String>,
    /// The last events and who sent them.
    timeline: Vec<(String, String)>,
}

/// A client with one list of everything.
struct Client {
    sync: Sync,
    is_lazy: bool,
    pos: Option<String>,
    last: usize,
    limit: usize,
    rooms: BTreeMap<String, Known>,
}

fn text(event: &Value, field: &str) -> String {
    event[field].as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

impl Client {
    async fn ask(&self) -> Value {
        let members =
            if self.is_lazy { json!([["*", "*"], ["m.room.member", "$LAZY"]]) } else { json!([["*", "*"]]) };
        let list =
            json!({ "ranges": [[0, self.last]], "timeline_limit": self.limit, "required_state": members });
        let request = SlidingRequest {
            user_id: user("bob"),
            device_id: None,
            pos: self.pos.clone(),
            timeout: Duration::ZERO,
            body: serde_json::from_value(json!({ "lists": { "all": list } })).unwrap(),
        };
        let answer = self.sync.sliding(Arc::new(request)).await.unwrap();
        serde_json::to_value(answer.expect("the position is known")).unwrap()
    }

    async fn next(&mut self) {
        let answer = self.ask().await;
        self.pos = Some(text(&answer, "pos"));
        for (room_id, told) in answer["rooms"].as_object().unwrap() {
            let known = self.rooms.entry(room_id.clone()).or_default();
            if told["initial"] == true {
                *known = Known::default();
            }
            if told["limited"] == true || told["unstable_expanded_timeline"] == true {
                known.timeline.clear();
            }
            if told["limited"] == true && self.is_lazy {
                known.state.retain(|(kind, _), _| kind != "m.room.member");
            }
            for event in list(&told["required_state"]) {
                known.state.insert((text(event, "type"), text(event, "state_key")), text(event, "event_id"));
            }
            let events = list(&told["timeline"]);
            known
                .timeline
                .extend(events.iter().map(|event| (text(event, "event_id"), text(event, "sender"))));
        }
    }

    /// Compares with what there is.
    fn check(&self, fixture: &Fixture, room_id: &OwnedRoomId) {
        let known = &self.rooms[room_id.as_str()];
        let room = fixture.rooms.get(room_id).unwrap().unwrap();
        let rows = fixture.rooms.timeline_rows(&room, Position::ZERO, Position(1 << 40));
        let mut actual = Known::default();
        for row in rows {
            let pdu = row.unwrap().event.pdu.clone();
            let id = pdu.event_id.to_string();
            if let Some(state_key) = &pdu.state_key {
                actual.state.insert((pdu.event_type.to_string(), state_key.clone()), id.clone());
            }
            actual.timeline.push((id, pdu.sender.to_string()));
        }
        let wanted = known.timeline.len();
        assert!(wanted >= self.limit.min(actual.timeline.len()), "{wanted} events");
        assert_eq!(known.timeline, actual.timeline[actual.timeline.len() - wanted..]);
        if self.is_lazy {
            let speaks = |user_id: &String| known.timeline.iter().any(|(_, sender)| sender == user_id);
            actual.state.retain(|(kind, key), _| kind != "m.room.member" || speaks(key));
            for (place, event) in &actual.state {
                assert_eq!(known.state.get(place), Some(event), "{place:?}");
            }
        } else {
            assert_eq!(known.state, actual.state);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However a client moves its window, and whatever answers it loses, it has in the end the last events of every room in
    /// their order, each once, and the state that holds.
    #[test]
    fn a_client_that_follows_ends_up_knowing_the_rooms(
        steps in proptest::collection::vec((0_u8..12, 0_usize..3, 0_usize..4), 1..80), is_lazy in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::new();
            let fixture = &server.fixture;
            let mut rooms = Vec::new();
            for _ in 0..3 {
                let room = fixture.room("alice").await;
                fixture.join(&room, "bob").await.unwrap();
                rooms.push(room);
            }
            let rooms_of_client = BTreeMap::new();
            let mut client = Client { sync: server.sync(), is_lazy, pos: None, last: 0, limit: 1, rooms: rooms_of_client };
            for (n, (step, room, number)) in steps.iter().enumerate() {
                let (room, other) = (&rooms[*room], format!("u{number}"));
                match step {
                    0..3 => drop(fixture.send(room, "alice", &n.to_string()).await.unwrap()),
                    3 => drop(fixture.send(room, &other, &n.to_string()).await),
                    4 => drop(fixture.set_state(room, "alice", "m.room.topic", json!({ "topic": n.to_string() })).await.unwrap()),
                    5 => drop(fixture.join(room, &other).await),
                    6 => drop(fixture.change(room, &other, MembershipAction::Leave, &other).await),
                    7 if *number == 0 => drop(fixture.change(room, "bob", MembershipAction::Leave, "bob").await),
                    7 => drop(fixture.join(room, "bob").await),
                    8 => client.last = *number,
                    9 => client.limit = number + 1,
                    // The answer is lost.
                    10 => drop(client.ask().await),
                    _ => client.next().await,
                }
            }
            for room in &rooms {
                drop(fixture.join(room, "bob").await);
            }
            client.last = 9;
            client.next().await;
            for room in &rooms {
                client.check(fixture, room);
            }
        });
    }
}
