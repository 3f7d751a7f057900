//! Responses as clients see them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use proptest::prelude::*;
use ruma::{DeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Value, json, value::RawValue};

use super::*;
use crate::{
    room::{
        CreateRoom, MembershipAction, Preset,
        tests::{Fixture, raw, user},
    },
    store::WriteSet,
};

/// What tests tell beside rooms.
#[derive(Default)]
struct TestExtras {
    typing: Mutex<BTreeMap<OwnedRoomId, (Position, Vec<OwnedUserId>)>>,
    ignored: Mutex<Vec<OwnedUserId>>,
}

impl SyncExtras for TestExtras {
    fn account_data(&self, _: &UserId, window: Window) -> Vec<Box<RawValue>> {
        let rules = raw(&json!({ "type": "m.push_rules", "content": {} }));
        if window.since.is_none() { vec![rules] } else { Vec::new() }
    }

    fn room_account_data(&self, _: &UserId, _: &RoomId, _: Window) -> Vec<Box<RawValue>> {
        Vec::new()
    }

    fn receipts(&self, _: &RoomId, _: &UserId, _: Window) -> Option<Box<RawValue>> {
        None
    }

    fn typing(&self, room_id: &RoomId, _: &UserId, window: Window) -> Option<Vec<OwnedUserId>> {
        let typing = self.typing.lock();
        typing.get(room_id).filter(|(at, _)| window.contains(*at)).map(|(_, users)| users.clone())
    }

    fn presence(&self, _: &UserId, _: Window) -> Vec<Box<RawValue>> {
        Vec::new()
    }

    fn to_device(&self, _: &UserId, _: Option<&DeviceId>, _: Window) -> Vec<(Position, Box<RawValue>)> {
        Vec::new()
    }

    fn direct_rooms(&self, _: &UserId) -> HashSet<OwnedRoomId> {
        HashSet::new()
    }

    fn tags(&self, _: &UserId, _: &RoomId) -> Vec<String> {
        Vec::new()
    }

    fn device_lists(&self, _: &UserId, _: Window) -> DeviceLists {
        DeviceLists::default()
    }

    fn key_counts(&self, _: &UserId, _: Option<&DeviceId>) -> KeyCounts {
        KeyCounts::default()
    }

    fn unread(&self, _: &UserId, _: &RoomId) -> Unread {
        Unread { notifications: 1, highlights: 0, threads: [("$t".to_owned(), (2, 1))].into() }
    }

    fn ignored_users(&self, _: &UserId) -> Vec<OwnedUserId> {
        self.ignored.lock().clone()
    }
}

/// A client that remembers its token.
struct Client {
    sync: Sync,
    request: SyncRequest,
}

pub(super) struct Server {
    pub(super) fixture: Fixture,
    extras: Arc<TestExtras>,
}

impl Server {
    pub(super) fn sync(&self) -> Sync {
        Sync::new(self.fixture.rooms.clone(), self.extras.clone())
    }

    pub(super) fn new() -> Self {
        Self { fixture: Fixture::new(), extras: Arc::default() }
    }

    fn client(&self, name: &str) -> Client {
        self.client_with(name, json!({}))
    }

    fn client_with(&self, name: &str, filter: Value) -> Client {
        let request = SyncRequest {
            user_id: user(name),
            device_id: None,
            since: None,
            filter: serde_json::from_value(filter).unwrap(),
            full_state: false,
            timeout: Duration::ZERO,
            use_state_after: false,
        };
        Client { sync: self.sync(), request }
    }
}

impl Client {
    async fn next(&mut self) -> Value {
        let response = self.sync.sync(Arc::new(self.request.clone())).await.unwrap();
        let response = serde_json::to_value(&response).unwrap();
        let token = response["next_batch"].as_str().unwrap().strip_prefix('s').unwrap();
        self.request.since = Some(Position(token.parse().unwrap()));
        response
    }

    /// The next response, as the part for a room.
    async fn room(&mut self, room_id: &OwnedRoomId) -> Value {
        self.next().await["rooms"]["join"][room_id.as_str()].clone()
    }
}

fn bodies(room: &Value) -> Vec<String> {
    let events = room["timeline"]["events"].as_array().cloned().unwrap_or_default();
    events.iter().filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)).collect()
}

/// The state events of a part, as `type|key`.
fn state(room: &Value, section: &str) -> Vec<String> {
    let events = room[section]["events"].as_array().cloned().unwrap_or_default();
    let mut places: Vec<_> = events
        .iter()
        .map(|event| format!("{}|{}", event["type"].as_str().unwrap(), event["state_key"].as_str().unwrap()))
        .collect();
    places.sort();
    places
}

#[tokio::test]
async fn the_first_response_has_the_state_before_the_timeline_and_the_next_one_what_is_new() {
    let server = Server::new();
    let room = server.fixture.room("alice").await;
    for n in 0..20 {
        server.fixture.send(&room, "alice", &n.to_string()).await.unwrap();
    }
    let mut client = server.client("alice");
    let first = client.next().await;
    assert_eq!(first["account_data"]["events"][0]["type"], "m.push_rules");
    assert_eq!(first["device_unused_fallback_key_types"], json!([]));
    let joined = &first["rooms"]["join"][room.as_str()];
    assert_eq!(bodies(joined), (10..20).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(joined["timeline"]["limited"], true);
    assert_eq!(joined["timeline"]["events"][0].get("room_id"), None);
    assert_eq!(
        joined["summary"],
        json!({ "m.heroes": [], "m.joined_member_count": 1, "m.invited_member_count": 0 })
    );
    assert_eq!(joined["unread_notifications"], json!({ "highlight_count": 1, "notification_count": 3 }));
    assert_eq!(state(joined, "state").len(), 6);
    // The token leads back to what is before the timeline.
    let from = joined["timeline"]["prev_batch"].as_str().unwrap()[1..].parse().unwrap();
    let alice = user("alice");
    let filter = crate::room::RoomEventFilter::default();
    let request = crate::room::PageRequest {
        from: Some(Position(from)),
        to: None,
        direction: crate::room::Direction::Backward,
        limit: 1,
        filter: &filter,
    };
    let viewer = crate::room::tests::viewer_of(&alice);
    let page = server.fixture.rooms.messages(&room, &viewer, request).unwrap();
    assert_eq!(crate::room::tests::value(&page.chunk[0])["content"]["body"], "9");

    assert_eq!(client.next().await["rooms"], Value::Null);
    server.fixture.send(&room, "alice", "new").await.unwrap();
    server.fixture.set_state(&room, "alice", "m.room.name", json!({ "name": "n" })).await.unwrap();
    let joined = client.room(&room).await;
    assert_eq!(bodies(&joined), ["new"]);
    assert_eq!(joined["timeline"]["limited"], false);
    assert_eq!(state(&joined, "state"), [""; 0]);
}

#[tokio::test]
async fn a_gap_is_limited_and_told_with_the_state_that_it_hides() {
    let server = Server::new();
    let room = server.fixture.room("alice").await;
    let mut client = server.client_with("alice", json!({ "room": { "timeline": { "limit": 2 } } }));
    client.next().await;
    server.fixture.set_state(&room, "alice", "m.room.name", json!({ "name": "hidden" })).await.unwrap();
    for n in 0..3 {
        server.fixture.send(&room, "alice", &n.to_string()).await.unwrap();
    }
    server.fixture.set_state(&room, "alice", "m.room.topic", json!({ "topic": "shown" })).await.unwrap();
    let joined = client.room(&room).await;
    assert_eq!(joined["timeline"]["limited"], true);
    assert_eq!(bodies(&joined), ["2"]);
    assert_eq!(state(&joined, "state"), ["m.room.name|"]);

    let mut after = server.client("alice");
    after.request.use_state_after = true;
    let joined = after.room(&room).await;
    assert!(joined.get("state").is_none());
    let places = state(&joined, "state_after");
    assert!(places.contains(&"m.room.topic|".to_owned()) && places.contains(&"m.room.name|".to_owned()));
    server.fixture.set_state(&room, "alice", "m.room.topic", json!({ "topic": "again" })).await.unwrap();
    assert_eq!(state(&after.room(&room).await, "state_after"), ["m.room.topic|"]);
}

#[tokio::test]
async fn a_request_waits_until_something_happens_and_no_longer() {
    let server = Server::new();
    let room = server.fixture.room("alice").await;
    let other = server.fixture.room("carol").await;
    let mut client = server.client("alice");
    client.next().await;
    client.request.timeout = Duration::from_secs(20);
    let waiting = tokio::spawn(async move { (client.next().await, client) });
    while server.fixture.rooms.wakers().requests() == 0 {
        tokio::task::yield_now().await;
    }
    server.fixture.send(&other, "carol", "not for alice").await.unwrap();
    assert!(!waiting.is_finished());
    server.fixture.send(&room, "alice", "hello").await.unwrap();
    let (response, mut client) =
        tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    assert_eq!(bodies(&response["rooms"]["join"][room.as_str()]), ["hello"]);
    assert_eq!(server.fixture.rooms.wakers().requests(), 0);
    client.request.timeout = Duration::from_millis(20);
    assert_eq!(client.next().await["rooms"], Value::Null);
}

#[tokio::test]
async fn an_invitation_is_shown_stripped_then_joined_then_left() {
    let server = Server::new();
    let request = CreateRoom {
        preset: Preset::PrivateChat,
        name: Some("Name".to_owned()),
        ..Fixture::request("alice")
    };
    let room = server.fixture.rooms.create(request).await.unwrap();
    server.fixture.send(&room, "alice", "before").await.unwrap();
    let mut bob = server.client("bob");
    assert_eq!(bob.next().await["rooms"], Value::Null);
    server.fixture.change(&room, "alice", MembershipAction::Invite, "bob").await.unwrap();
    let response = bob.next().await;
    let invited = &response["rooms"]["invite"][room.as_str()];
    let places = state(invited, "invite_state");
    assert_eq!(
        places,
        [
            "m.room.create|",
            "m.room.join_rules|",
            "m.room.member|@alice:hs.test",
            "m.room.member|@bob:hs.test",
            "m.room.name|"
        ]
    );
    assert!(invited["invite_state"]["events"][0].get("event_id").is_none());
    assert_eq!(bob.next().await["rooms"], Value::Null);
    assert!(server.client("bob").next().await["rooms"]["invite"][room.as_str()].is_object());

    server.fixture.join(&room, "bob").await.unwrap();
    let joined = bob.room(&room).await;
    assert_eq!(bodies(&joined), ["before"]);
    assert_eq!(joined["summary"]["m.joined_member_count"], 2);
    server.fixture.send(&room, "alice", "seen").await.unwrap();
    server.fixture.change(&room, "alice", MembershipAction::Kick, "bob").await.unwrap();
    server.fixture.send(&room, "alice", "unseen").await.unwrap();
    let response = bob.next().await;
    assert!(response["rooms"].get("join").is_none());
    let left = &response["rooms"]["leave"][room.as_str()];
    assert_eq!(bodies(left), ["seen"]);
    let last = left["timeline"]["events"].as_array().unwrap().last().unwrap();
    assert_eq!(last["content"]["membership"], "leave");
    assert_eq!(bob.next().await["rooms"], Value::Null);
    assert_eq!(server.client("bob").next().await["rooms"], Value::Null);
    let mut with_left = server.client_with("bob", json!({ "room": { "include_leave": true } }));
    assert!(with_left.next().await["rooms"]["leave"][room.as_str()].is_object());
}

#[tokio::test]
async fn a_rejected_invitation_shows_nothing_of_the_room() {
    let server = Server::new();
    let room = server.fixture.room("alice").await;
    server.fixture.send(&room, "alice", "secret").await.unwrap();
    server.fixture.change(&room, "alice", MembershipAction::Invite, "bob").await.unwrap();
    let mut bob = server.client("bob");
    bob.next().await;
    server.fixture.change(&room, "bob", MembershipAction::Leave, "bob").await.unwrap();
    let response = bob.next().await;
    let left = &response["rooms"]["leave"][room.as_str()];
    assert_eq!(left["timeline"]["events"].as_array().unwrap().len(), 1, "{left}");
    assert_eq!(state(left, "state"), [""; 0]);
}

#[tokio::test]
async fn who_was_kicked_and_declines_to_come_back_learns_nothing_of_the_time_between() {
    let server = Server::new();
    let room = server.fixture.room("alice").await;
    server.fixture.join(&room, "bob").await.unwrap();
    server.fixture.send(&room, "alice", "heard").await.unwrap();
    let mut bob = server.client("bob");
    bob.next().await;
    server.fixture.change(&room, "alice", MembershipAction::Kick, "bob").await.unwrap();
    bob.next().await;
    server.fixture.send(&room, "alice", "behind his back").await.unwrap();
    server.fixture.change(&room, "alice", MembershipAction::Invite, "bob").await.unwrap();
    bob.next().await;
    server.fixture.change(&room, "bob", MembershipAction::Leave, "bob").await.unwrap();
    let response = bob.next().await;
    let left = &response["rooms"]["leave"][room.as_str()];
    assert_eq!(left["timeline"]["events"].as_array().unwrap().len(), 1, "{left}");
    assert_eq!(left["timeline"]["limited"], false);
    let mut with_left = server.client_with("bob", json!({ "room": { "include_leave": true } }));
    let all = with_left.next().await;
    assert_eq!(bodies(&all["rooms"]["leave"][room.as_str()]), ["heard"]);
}

#[tokio::test]
async fn state_that_a_filter_keeps_out_of_the_timeline_is_told_as_state() {
    let server = Server::new();
    let room = server.fixture.room("alice").await;
    server.fixture.send(&room, "alice", "hello").await.unwrap();
    let filter = json!({ "room": { "timeline": { "types": ["m.room.message"] } } });
    let joined = server.client_with("alice", filter).room(&room).await;
    assert_eq!(bodies(&joined), ["hello"]);
    let told = state(&joined, "state");
    assert!(told.iter().any(|place| place == "m.room.create|"), "{told:?}");
    assert!(told.iter().any(|place| place == "m.room.member|@alice:hs.test"), "{told:?}");
}

#[tokio::test]
async fn lazily_loaded_members_are_those_who_speak() {
    let server = Server::new();
    let room = server.fixture.room("alice").await;
    for name in ["bob", "carol", "dave"] {
        server.fixture.join(&room, name).await.unwrap();
    }
    for n in 0..10 {
        server.fixture.send(&room, "bob", &n.to_string()).await.unwrap();
    }
    let filter = json!({ "room": { "state": { "lazy_load_members": true } } });
    let mut client = server.client_with("alice", filter);
    let members = |room: &Value| -> Vec<String> {
        state(room, "state").into_iter().filter(|place| place.starts_with("m.room.member")).collect()
    };
    let joined = client.room(&room).await;
    assert_eq!(members(&joined), ["m.room.member|@alice:hs.test", "m.room.member|@bob:hs.test"]);
    assert_eq!(joined["summary"]["m.joined_member_count"], 4);
    let heroes = json!(["@bob:hs.test", "@carol:hs.test", "@dave:hs.test"]);
    assert_eq!(joined["summary"]["m.heroes"], heroes);
    server.fixture.send(&room, "carol", "x").await.unwrap();
    assert_eq!(members(&client.room(&room).await), ["m.room.member|@carol:hs.test"]);
}

#[tokio::test]
async fn filters_leave_out_what_a_client_does_not_want() {
    let server = Server::new();
    let room = server.fixture.room("alice").await;
    let other = server.fixture.room("alice").await;
    server.fixture.join(&room, "bob").await.unwrap();
    server.fixture.send(&room, "bob", "from bob").await.unwrap();
    server.fixture.send(&room, "alice", "from alice").await.unwrap();
    let filter = json!({
        "event_fields": ["type", "content.body"],
        "room": {
            "not_rooms": [other],
            "timeline": { "types": ["m.room.mess*"], "not_senders": ["@bob:hs.test"] },
            "state": { "types": [] },
        },
        "account_data": { "not_types": ["*"] },
    });
    let response = server.client_with("alice", filter).next().await;
    assert!(response.get("account_data").is_none());
    assert!(response["rooms"]["join"].get(other.as_str()).is_none());
    let joined = &response["rooms"]["join"][room.as_str()];
    let shown = json!([{ "type": "m.room.message", "content": { "body": "from alice" } }]);
    assert_eq!(joined["timeline"]["events"], shown);
    assert_eq!(state(joined, "state"), [""; 0]);

    server.extras.ignored.lock().push(user("bob"));
    assert_eq!(bodies(&server.client("alice").room(&room).await), ["from alice"]);
}

#[tokio::test]
async fn typing_wakes_and_is_told_once() {
    let server = Server::new();
    let room = server.fixture.room("alice").await;
    let mut client = server.client("alice");
    client.next().await;
    let mut set = WriteSet::new();
    set.positioned(|_, _| {});
    let (extras, typed) = (server.extras.clone(), room.clone());
    set.on_commit(move |position| {
        extras.typing.lock().insert(typed, (position, vec![user("bob")]));
    });
    server.fixture.store.commit(set).await.unwrap();
    let joined = client.room(&room).await;
    let typing = json!([{ "type": "m.typing", "content": { "user_ids": ["@bob:hs.test"] } }]);
    assert_eq!(joined["ephemeral"]["events"], typing);
    assert_eq!(client.next().await["rooms"], Value::Null);
}

#[tokio::test]
async fn a_token_of_before_a_loss_of_memory_does_not_hold_up_the_client() {
    let server = Server::new();
    let room = server.fixture.room("alice").await;
    let mut client = server.client("alice");
    client.request.since = Some(Position(1_000_000));
    client.next().await;
    server.fixture.send(&room, "alice", "x").await.unwrap();
    assert_eq!(bodies(&client.room(&room).await), ["x"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever happens and whenever a client looks, it has in the end every event once, and the state that holds.
    #[test]
    fn a_client_that_follows_ends_up_knowing_the_room(
        steps in proptest::collection::vec((0_u8..6, 0_u8..3), 1..60), limit in 1_u64..6, after in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::new();
            let room = server.fixture.room("alice").await;
            let filter = json!({ "room": { "timeline": { "limit": limit } } });
            let mut client = server.client_with("alice", filter);
            client.request.use_state_after = after;
            let mut known: BTreeMap<String, String> = BTreeMap::new();
            let mut seen: Vec<String> = Vec::new();
            let mut gap = false;
            for (n, (step, who)) in steps.iter().chain(&[(5, 0)]).enumerate() {
                match step {
                    0 | 1 => drop(server.fixture.send(&room, "alice", &n.to_string()).await.unwrap()),
                    2 => drop(server.fixture.set_state(&room, "alice", "m.room.topic", json!({ "topic": n.to_string() })).await.unwrap()),
                    3 => drop(server.fixture.join(&room, &format!("u{who}")).await.unwrap()),
                    4 => drop(server.fixture.change(&room, &format!("u{who}"), MembershipAction::Leave, &format!("u{who}")).await),
                    _ => {
                        let joined = client.room(&room).await;
                        gap |= joined["timeline"]["limited"] == true;
                        let section = if after { "state_after" } else { "state" };
                        let events = |part: &Value| part["events"].as_array().cloned().unwrap_or_default();
                        let timeline = events(&joined["timeline"]);
                        seen.extend(timeline.iter().map(|event| event["event_id"].as_str().unwrap().to_owned()));
                        let told = events(&joined[section]);
                        let all = if after { told } else { told.into_iter().chain(timeline).collect() };
                        for event in all.iter().filter(|event| event["state_key"].is_string()) {
                            let place = format!("{}|{}", event["type"], event["state_key"]);
                            known.insert(place, event["event_id"].as_str().unwrap().to_owned());
                        }
                    }
                }
            }
            let live = server.fixture.rooms.get(&room).unwrap().unwrap();
            let rows: Vec<_> = server.fixture.rooms.timeline_rows(&live, Position::ZERO, Position(1 << 40)).map(Result::unwrap).collect();
            let expected: BTreeMap<String, String> = rows
                .iter()
                .filter_map(|row| {
                    let pdu = &row.event.pdu;
                    let place = format!("{}|{}", json!(pdu.event_type.to_string()), json!(pdu.state_key.as_ref()?));
                    Some((place, pdu.event_id.to_string()))
                })
                .collect();
            assert_eq!(known, expected);
            let mut once = seen.clone();
            once.sort();
            once.dedup();
            assert_eq!(once.len(), seen.len());
            if !gap {
                assert_eq!(seen, rows.iter().map(|row| row.event.pdu.event_id.to_string()).collect::<Vec<_>>());
            }
        });
    }
}

#[test]
fn a_waiting_request_is_small() {
    let server = Server::new();
    let client = server.client("alice");
    let waiting = client.sync.sync(Arc::new(client.request.clone()));
    assert!(size_of_val(&waiting) < 1024, "{}", size_of_val(&waiting));
}

#[tokio::test]
async fn who_came_back_and_left_between_two_requests_is_shown_the_history_from_its_start() {
    let server = Server::new();
    let room = server.fixture.room("alice").await;
    let mut client = server.client_with("bob", json!({ "room": { "timeline": { "limit": 1000 } } }));
    client.next().await;
    for text in ["once", "again"] {
        server.fixture.join(&room, "bob").await.unwrap();
        server.fixture.send(&room, "bob", text).await.unwrap();
        server.fixture.change(&room, "bob", MembershipAction::Leave, "bob").await.unwrap();
        let response = client.next().await;
        let left = &response["rooms"]["leave"][room.as_str()];
        assert_eq!(bodies(left).last().map(String::as_str), Some(text));
        assert_eq!(left["timeline"]["limited"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_follows_a_busy_room_misses_nothing_and_gets_nothing_twice() {
    let server = Arc::new(Server::new());
    let room = server.fixture.room("alice").await;
    let mut client = server.client_with("bob", json!({ "room": { "timeline": { "limit": 1000 } } }));
    client.next().await;
    let (writing, target) = (server.clone(), room.clone());
    let writer = tokio::spawn(async move {
        for n in 0..300 {
            // A membership comes and goes while messages are sent.
            match n % 10 {
                0 => drop(writing.fixture.join(&target, "bob").await.unwrap()),
                9 => drop(
                    writing.fixture.change(&target, "bob", MembershipAction::Leave, "bob").await.unwrap(),
                ),
                _ => drop(writing.fixture.send(&target, "bob", &n.to_string()).await.unwrap()),
            }
        }
        writing.fixture.join(&target, "bob").await.unwrap();
        writing.fixture.send(&target, "bob", "last").await.unwrap();
    });
    let mut seen = Vec::new();
    let mut told = std::collections::BTreeSet::new();
    client.request.timeout = Duration::from_secs(5);
    while seen.last().is_none_or(|body| body != "last") {
        let response = client.next().await;
        for section in ["join", "leave"] {
            let part = &response["rooms"][section][room.as_str()];
            for body in bodies(part) {
                // Who comes back is shown again what he had seen before he left.
                if part["timeline"]["limited"] == true || told.insert(body.clone()) {
                    told.insert(body.clone());
                    seen.push(body);
                } else {
                    panic!("{body} was told twice");
                }
            }
        }
    }
    writer.await.unwrap();
    let expected = (0..300).filter(|n| !matches!(n % 10, 0 | 9)).count() + 1;
    assert_eq!(told.len(), expected);
}
