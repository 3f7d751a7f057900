//! The homeserver alone: whatever it acknowledged is there after `kill -9`, and once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use matrix_homeserver::testing::{TestError, TestUser};
use rand::RngExt as _;
use serde_json::json;
use tests::deadline::observe;
use tests::programs::HomeserverProcess;
use tokio::task::JoinSet;

use crate::crash::{randomness, timeline};

const WRITERS: usize = 8;
const KILLS: usize = 10;
/// How long the writers write before each kill, in microseconds at most.
const BETWEEN: u64 = 300_000;

/// Sends until told to stop, each message under one transaction ID until it is acknowledged.
async fn write(writer: TestUser, room: String, stop: Arc<AtomicBool>) -> Vec<(String, String)> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let text = format!("{} {}", writer.user_id().localpart(), acknowledged.len());
        let txn_id = format!("w{}", acknowledged.len());
        let expectation = format!("{text:?} is acknowledged");
        let event_id = observe(&expectation, || async {
            let content = json!({"msgtype": "m.text", "body": text});
            match writer.send_event_as(&room, "m.room.message", &txn_id, content).await {
                Ok(event_id) => Some(event_id.to_string()),
                Err(TestError::Transport { .. }) => None,
                Err(error) => panic!("{error}"),
            }
        });
        let event_id = event_id.await;
        acknowledged.push((text, event_id));
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_homeserver_acknowledged_survives_kills_while_many_write() {
    let mut homeserver = HomeserverProcess::start(&[]).await;
    let mut random = randomness();
    let mut users = Vec::new();
    for number in 0..WRITERS {
        users.push(TestUser::register(&homeserver.url(), &format!("writer{number}")).await.unwrap());
    }
    let shared =
        users[0].create_room(json!({"preset": "public_chat", "name": "shared"})).await.unwrap().to_string();
    for user in &users[1..] {
        user.join(&shared).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for user in &users {
        writers.spawn(write(user.clone(), shared.clone(), Arc::clone(&stop)));
    }
    for _ in 0..KILLS {
        tokio::time::sleep(std::time::Duration::from_micros(random.random_range(0..BETWEEN))).await;
        homeserver.kill_and_restart().await;
    }
    stop.store(true, Ordering::Relaxed);
    let acknowledged: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    homeserver.kill_and_restart().await;

    let mut found = BTreeMap::<String, Vec<String>>::new();
    for event in timeline(&users[0], &shared).await {
        let body = event["content"]["body"].as_str().unwrap_or_default().to_owned();
        found.entry(body).or_default().push(event["event_id"].as_str().unwrap_or_default().to_owned());
    }
    assert!(acknowledged.len() > WRITERS, "they wrote: {}", acknowledged.len());
    for (text, event_id) in &acknowledged {
        assert_eq!(found.get(text), Some(&vec![event_id.clone()]), "{text}");
    }
    let joined = users[0].joined_members(&shared).await.unwrap();
    assert_eq!(joined.len(), WRITERS);
    println!("{} events were acknowledged and are there after {} kills", acknowledged.len(), KILLS + 1);
}
