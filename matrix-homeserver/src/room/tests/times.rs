use proptest::prelude::*;

use super::*;
use crate::{room::times::sent_at, store::Tree};

const START: u64 = 1_700_000_000_000;

fn millis(time: u64) -> MilliSecondsSinceUnixEpoch {
    MilliSecondsSinceUnixEpoch(UInt::try_from(time).unwrap())
}

#[derive(Debug, Clone)]
enum Step {
    Send,
    /// Sent at another time than now, in seconds since the start.
    SendAt(u64),
    Join,
    Leave,
    ShowHistory(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        4 => (0..60_u64).prop_map(Step::SendAt),
        1 => Just(Step::Join),
        1 => Just(Step::Leave),
        1 => prop::sample::select(vec!["joined", "invited", "shared"]).prop_map(Step::ShowHistory),
    ]
}

async fn play(fixture: &Fixture, room: &OwnedRoomId, step: &Step) {
    let sent = |time| Append { origin_server_ts: Some(millis(time)), ..Fixture::message(room, "alice", "x") };
    match step {
        Step::Send => drop(fixture.send(room, "alice", "x").await.unwrap()),
        Step::SendAt(second) => drop(fixture.rooms.append(sent(START + second * 1000)).await.unwrap()),
        Step::Join => drop(fixture.join(room, "bob").await),
        Step::Leave => drop(fixture.change(room, "bob", MembershipAction::Leave, "bob").await),
        Step::ShowHistory(whom) => {
            let content = json!({ "history_visibility": whom });
            drop(fixture.set_state(room, "alice", "m.room.history_visibility", content).await.unwrap());
        }
    }
}

/// The nearest of all events that the viewer sees.
fn nearest_of_all(
    rooms: &Rooms,
    room: &RoomId,
    viewer: &UserId,
    time: u64,
    direction: Direction,
) -> Option<OwnedEventId> {
    let access = rooms.access(room, viewer).ok()?;
    let mut visibility = rooms.visibility(&access, viewer).unwrap();
    let entries = rooms.timeline_rows(&access.room, Position::ZERO, access.upto).map(Result::unwrap);
    let seen = entries.filter(|entry| visibility.sees(&entry.event).unwrap());
    let sent = |entry: &TimelineEntry| sent_at(&entry.event);
    let nearest = match direction {
        Direction::Forward => {
            seen.filter(|entry| sent(entry) >= time).min_by_key(|entry| (sent(entry), entry.position))
        }
        Direction::Backward => {
            seen.filter(|entry| sent(entry) <= time).max_by_key(|entry| (sent(entry), entry.position))
        }
    };
    nearest.map(|entry| entry.event.event_id().to_owned())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_nearest_event_is_the_one_that_reading_everything_finds(
        steps in prop::collection::vec(step(), 0..40),
        times in prop::collection::vec(0..70_u64, 8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let fixture = Fixture::new();
        let room = runtime.block_on(async {
            let room = fixture.room("alice").await;
            for step in &steps {
                play(&fixture, &room, step).await;
            }
            room
        });
        // Also from the rows alone, with what was last in memory.
        for rooms in [&fixture.rooms, &rooms_in(fixture.store.clone())] {
            for viewer in [user("alice"), user("bob")] {
                for time in &times {
                    for direction in [Direction::Forward, Direction::Backward] {
                        let time = START + time * 1000;
                        let found = rooms.event_near(&room, &viewer, millis(time), direction).ok().flatten();
                        prop_assert_eq!(
                            found.map(|event| event.event_id().to_owned()),
                            nearest_of_all(rooms, &room, &viewer, time, direction),
                            "{} {:?} {}", viewer, direction, time
                        );
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn the_nearest_event_is_found_without_reading_the_others() {
    let fixture = Fixture::new();
    let room = fixture.room("alice").await;
    let mut sent = Vec::new();
    for number in 0..200_u64 {
        let at =
            |time| Append { origin_server_ts: Some(millis(time)), ..Fixture::message(&room, "alice", "x") };
        sent.push(fixture.rooms.append(at(2 * START + number)).await.unwrap());
        // And history that is brought in later.
        fixture.rooms.append(at(START / 2)).await.unwrap();
    }
    let wanted = fixture.rooms.events().by_id(&sent[100]).unwrap().unwrap().0;
    let mut writes = WriteSet::new();
    for number in (wanted.number - 150..wanted.number + 150).filter(|number| *number != wanted.number) {
        writes.put(Tree::Event, number.to_be_bytes(), b"not an event");
    }
    fixture.store.commit(writes).await.unwrap();
    let rooms = rooms_in(fixture.store.clone());
    for direction in [Direction::Forward, Direction::Backward] {
        let found = rooms.event_near(&room, &user("alice"), millis(2 * START + 100), direction).unwrap();
        assert_eq!(found.unwrap().event_id(), wanted.event_id(), "{direction:?}");
    }
}
