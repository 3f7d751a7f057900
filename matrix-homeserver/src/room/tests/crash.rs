//! What is left when the process is killed.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use super::*;
use crate::store::{Durability, Position, StoreError, Tree, WriteSet};

/// Says to the program of the tests that it is a child, and where its data is.
const DIRECTORY: &str = "MATRIX_HOMESERVER_CRASH_TEST_DIRECTORY";
const ROUNDS: usize = 6;

fn open(dir: &Path) -> Fixture {
    let store = Store::open(dir, Durability::Flushed).unwrap();
    Fixture { rooms: rooms_in(store.clone()), store }
}

/// Not a test of its own, and empty without a directory: what the child does until it is killed.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let fixture = Arc::new(open(Path::new(&dir)));
        let tasks = (0..8).map(|task| {
            let fixture = fixture.clone();
            tokio::spawn(async move {
                let room = fixture.room("alice").await;
                for n in 0.. {
                    let event_id = match n % 4 {
                        0 => fixture.join(&room, &format!("u{n}")).await,
                        1 => {
                            fixture
                                .set_state(&room, "alice", "m.room.topic", json!({ "topic": n.to_string() }))
                                .await
                        }
                        _ => fixture.send(&room, "alice", &format!("{task} {n}")).await,
                    };
                    let line = format!("acked {room} {}\n", event_id.unwrap());
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            })
        });
        futures_util::future::join_all(tasks.collect::<Vec<_>>()).await;
    });
}

#[test]
fn a_killed_server_has_lost_nothing_that_it_acknowledged_and_its_rows_agree() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "room::tests::crash::child_that_writes_until_it_is_killed", "--nocapture"])
            .env(DIRECTORY, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acked = Vec::new();
        // At another moment in every round.
        while acked.len() < 40 + round * 37 {
            let line = lines.next().unwrap().unwrap();
            acked.extend(line.split_once("acked ").map(|(_, ids)| ids.to_owned()));
        }
        child.kill().unwrap();
        acked.extend(
            lines.map_while(Result::ok).filter_map(|line| Some(line.split_once("acked ")?.1.to_owned())),
        );
        child.wait().unwrap();

        // Opening checks that the rows agree.
        let fixture = open(dir.path());
        let mut rooms = BTreeSet::new();
        for ids in acked {
            let Some((room, event_id)) = ids.split_once(' ') else { continue };
            // The last line may be cut off.
            let Ok(event_id) = OwnedEventId::try_from(event_id) else { continue };
            if event_id.as_str().len() < 44 {
                continue;
            }
            let room = OwnedRoomId::try_from(room).unwrap();
            let found = fixture.rooms.events().by_id(&event_id).unwrap();
            let (event, position) = found.unwrap_or_else(|| panic!("round {round}: {event_id} is lost"));
            assert_eq!(event.pdu.room_id, room);
            assert!(position <= fixture.store.frontier());
            rooms.insert(room);
        }
        for room in &rooms {
            check_chain(&fixture, room);
            runtime.block_on(fixture.send(room, "alice", "still here")).unwrap();
        }
    }
}

/// Every event of a room follows the one before it, and the members are those of the state.
fn check_chain(fixture: &Fixture, room_id: &OwnedRoomId) {
    let room = fixture.rooms.get(room_id).unwrap().unwrap();
    let rows: Vec<_> =
        fixture.rooms.timeline_rows(&room, Position::ZERO, Position(1 << 60)).map(Result::unwrap).collect();
    for pair in rows.windows(2) {
        assert_eq!(pair[1].event.pdu.prev_events, [pair[0].event.pdu.event_id.clone()]);
        assert_eq!(pair[1].event.meta.state_before, pair[0].state_after);
    }
    let view = room.view();
    let entries = view.state.entries(&fixture.store).unwrap();
    let members: BTreeSet<_> = entries
        .iter()
        .filter(|entry| &*entry.event_type == "m.room.member")
        .map(|entry| (entry.state_key.to_string(), entry.number))
        .collect();
    let kept: BTreeSet<_> =
        view.members.iter().map(|(user_id, member)| (user_id.to_string(), member.number)).collect();
    assert_eq!(members, kept);
}

#[tokio::test]
async fn a_store_whose_rows_disagree_is_not_started_on() {
    let damage = |tree: Tree, wanted: &'static str, what: &'static str| async move {
        let fixture = Fixture::new();
        let room = fixture.room("alice").await;
        fixture.send(&room, "alice", "x").await.unwrap();
        let (key, _) = fixture.store.scan_prefix(tree, wanted).next_back().unwrap().unwrap();
        let mut set = WriteSet::new();
        set.delete(tree, &*key);
        fixture.store.commit(set).await.unwrap();
        let error = super::super::check::check(&fixture.store).unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { what: text } if text.contains(what)), "{error}");
    };
    damage(Tree::Timeline, "", "not where its timeline ends").await;
    damage(Tree::Event, "", "last event is missing").await;
}
