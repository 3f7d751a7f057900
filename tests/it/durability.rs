//! The homeserver alone: whatever it acknowledged is there after `kill -9`, and once.

mod writers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use matrix_homeserver::testing::TestUser;
use rand::RngExt as _;
use serde_json::json;
use tests::programs::HomeserverProcess;
use tokio::task::JoinSet;

use self::writers::{Kind, Writer};
use crate::crash::{randomness, timeline};

/// How often the homeserver is killed.
const KILLS: usize = 50;
/// How many write messages; of everything else there is one writer.
const TALKERS: usize = 3;
/// How long the writers write before each kill, in microseconds at most.
const BETWEEN: u64 = 200_000;

/// Users in one room, one for everything that is written.
async fn writers(homeserver: &HomeserverProcess) -> Vec<Writer> {
    let owner = TestUser::register(&homeserver.url(), "owner").await.unwrap();
    let levels = json!({"events": {"org.example.count": 0}});
    let options = json!({"preset": "public_chat", "power_level_content_override": levels});
    let room = owner.create_room(options).await.unwrap().to_string();
    let events = [owner.send_text(&room, "a").await.unwrap(), owner.send_text(&room, "b").await.unwrap()];
    let events = events.map(|event_id| event_id.to_string());
    let kinds = std::iter::repeat_n(Kind::Message, TALKERS - 1).chain(Kind::ALL);
    let mut writers = Vec::new();
    for (number, kind) in kinds.enumerate() {
        let user = TestUser::register(&homeserver.url(), &format!("writer{number}")).await.unwrap();
        user.join(&room).await.unwrap();
        writers.push(Writer::new(kind, user, &room, &events));
    }
    writers
}

/// Everybody writes until the homeserver was killed and has started again, and what was begun is acknowledged.
async fn round(homeserver: &mut HomeserverProcess, writers: Vec<Writer>, before: Duration) -> Vec<Writer> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut writing = JoinSet::new();
    for writer in writers {
        writing.spawn(writer.write(Arc::clone(&stop)));
    }
    tokio::time::sleep(before).await;
    // It starts again only if the rows agree with each other.
    homeserver.kill_and_restart().await;
    stop.store(true, Ordering::Relaxed);
    writing.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_lose_nothing_that_was_acknowledged_whatever_it_is() {
    let mut homeserver = HomeserverProcess::start(&[]).await;
    let mut random = randomness();
    let mut writers = writers(&homeserver).await;
    for _ in 0..KILLS {
        let before = Duration::from_micros(random.random_range(0..BETWEEN));
        writers = round(&mut homeserver, writers, before).await;
        for writer in &mut writers {
            writer.verify().await;
        }
    }
    every_message_is_there_once(&writers).await;
    for kind in Kind::ALL {
        let of_kind = writers.iter().filter(|writer| writer.kind == kind);
        let writes: usize = of_kind.map(|writer| writer.acknowledged.len()).sum();
        assert!(writes >= KILLS, "{kind:?} was written {writes} times");
        println!("{kind:?}: {writes} writes are there after {KILLS} kills");
    }
}

/// The history has every message of the writers exactly once: also one that was repeated because of a kill.
async fn every_message_is_there_once(writers: &[Writer]) {
    let talkers: Vec<_> = writers.iter().filter(|writer| writer.kind == Kind::Message).collect();
    let mut found = BTreeMap::<String, usize>::new();
    for event in timeline(&talkers[0].user, &talkers[0].room).await {
        *found.entry(event["event_id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    for event_id in talkers.iter().flat_map(|writer| &writer.acknowledged) {
        assert_eq!(found.get(event_id), Some(&1), "{event_id}");
    }
    let members = talkers[0].user.joined_members(&talkers[0].room).await.unwrap();
    let inside = |writer: &&Writer| members.contains(&writer.user.user_id().to_string());
    assert_eq!(writers.iter().filter(inside).count(), writers.len() - usize::from(writers_outside(writers)));
}

/// Whether the one who comes and goes has gone.
fn writers_outside(writers: &[Writer]) -> bool {
    writers
        .iter()
        .any(|writer| writer.kind == Kind::Membership && !writer.acknowledged.len().is_multiple_of(2))
}
