use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ruma::{OwnedEventId, owned_room_id, owned_user_id, user_id};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Outbox, OutboxError, OutboxEvent};
use crate::{
    client::{Client, RetryPolicy},
    fake::{Answer, Asked, Fake},
    intent::Intents,
    metrics::Metrics,
    registration::{NamespaceSet, Namespaces, Secret},
    store::Store,
};

fn outbox(fake: &Fake, store: Store) -> (Outbox, CancellationToken) {
    let policy = RetryPolicy::default()
        .pauses(Duration::from_millis(1), Duration::from_millis(2))
        .deadline(Duration::from_secs(1));
    let client = Client::with(&fake.url, Secret::new("as"), policy, Metrics::default()).expect("it is valid");
    let set = NamespaceSet::new(&Namespaces::default()).expect("it is empty");
    let intents = Intents::new(client, store.clone(), user_id!("@bot:hs").to_owned(), set);
    let shutdown = CancellationToken::new();
    let outbox = Outbox::open(intents, store, Metrics::default(), shutdown.clone()).expect("it opens");
    (outbox, shutdown)
}

fn event(room: &str, key: &str) -> OutboxEvent {
    let room = room.try_into().expect("it is a room ID");
    OutboxEvent::new(owned_user_id!("@irc_bob:hs"), room, "m.x", json!({"body": key}), key)
}

/// A homeserver on which everything works; an event's ID is its transaction ID.
fn works(asked: &Asked) -> Answer {
    let last = asked.path.rsplit('/').next().unwrap_or_default();
    Answer::ok(&json!({"event_id": format!("${last}"), "room_id": "!a:hs", "user_id": "@irc_bob:hs"}))
}

fn bodies(fake: &Fake) -> Vec<String> {
    let sends = fake.asked().into_iter().filter(|asked| asked.path.contains("/send/"));
    sends.map(|asked| asked.json()["body"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn deliver(outbox: &Outbox, event: OutboxEvent) -> Result<OwnedEventId, OutboxError> {
    outbox.push(event).await?.event_id().await
}

#[tokio::test]
async fn events_of_a_room_are_sent_in_the_order_in_which_they_were_pushed() {
    let fake = Fake::start(works).await;
    let (outbox, _shutdown) = outbox(&fake, Store::temporary().expect("there is room"));
    let pushed: Vec<_> = (0..50).map(|number| outbox.push(event("!a:hs", &format!("k{number}")))).collect();
    for push in pushed {
        push.await.expect("it is stored").event_id().await.expect("it is sent");
    }
    assert_eq!(bodies(&fake), (0..50).map(|number| format!("k{number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_key_that_was_delivered_is_not_sent_again() {
    let fake = Fake::start(works).await;
    let (outbox, _shutdown) = outbox(&fake, Store::temporary().expect("there is room"));
    let first = deliver(&outbox, event("!a:hs", "k")).await.expect("it is sent");
    let second = deliver(&outbox, event("!a:hs", "k")).await.expect("it was sent");
    assert_eq!(first, second);
    let (one, two) = (outbox.push(event("!a:hs", "j")), outbox.push(event("!a:hs", "j")));
    let one = one.await.expect("it is stored").event_id().await.expect("it is sent");
    let two = two.await.expect("it is stored").event_id().await.expect("it was sent");
    assert_eq!(one, two);
    assert_eq!(bodies(&fake), ["k", "j"]);
}

#[tokio::test]
async fn what_a_process_left_is_sent_by_the_next_under_the_same_transaction() {
    let directory = tempfile::tempdir().expect("there is room");
    let down =
        Fake::start(|asked| if asked.path.contains("/send/") { Answer::text(502, "") } else { works(asked) })
            .await;
    {
        let (outbox, shutdown) = outbox(&down, Store::open(directory.path()).expect("it opens"));
        let delivery = outbox.push(event("!a:hs", "k1")).await.expect("it is stored");
        outbox.push(event("!a:hs", "k2")).await.map(drop).expect("it is stored");
        shutdown.cancel();
        outbox.stopped().await;
        assert!(matches!(outbox.push(event("!a:hs", "k3")).await, Err(OutboxError::Stopping)));
        drop(outbox);
        assert!(matches!(delivery.event_id().await, Err(OutboxError::Stopping)));
    }
    let up = Fake::start(works).await;
    let (outbox, _shutdown) = outbox(&up, Store::open(directory.path()).expect("it opens again"));
    assert_eq!(outbox.resume().expect("it is read"), 2);
    let event_id = deliver(&outbox, event("!a:hs", "k2")).await.expect("it is sent");
    let txn = crate::intent::transaction_id(Some("k2"));
    assert_eq!(event_id, format!("${txn}"));
    assert_eq!(bodies(&up), ["k1", "k2"]);
    assert_eq!(outbox.resume().expect("it is read"), 0);
}

#[tokio::test]
async fn a_homeserver_that_limits_is_asked_again_and_nothing_overtakes() {
    let limited = AtomicU32::new(0);
    let fake = Fake::start(move |asked| {
        if asked.path.contains("/send/") && limited.fetch_add(1, Ordering::SeqCst) < 3 {
            return Answer::new(
                429,
                &json!({"errcode": "M_LIMIT_EXCEEDED", "error": "", "retry_after_ms": 30}),
            );
        }
        works(asked)
    })
    .await;
    let (outbox, _shutdown) = outbox(&fake, Store::temporary().expect("there is room"));
    let first = outbox.push(event("!a:hs", "k1"));
    let second = outbox.push(event("!a:hs", "k2"));
    second.await.expect("it is stored").event_id().await.expect("it is sent");
    first.await.expect("it is stored").event_id().await.expect("it is sent");
    assert_eq!(bodies(&fake), ["k1", "k1", "k1", "k1", "k2"]);
}

#[tokio::test]
async fn what_is_refused_is_kept_as_a_dead_letter_and_holds_up_nothing() {
    let fake = Fake::start(|asked| {
        if asked.json()["body"] == "bad" { Answer::error(413, "M_TOO_LARGE") } else { works(asked) }
    })
    .await;
    let (outbox, _shutdown) = outbox(&fake, Store::temporary().expect("there is room"));
    let error = deliver(&outbox, event("!a:hs", "bad")).await.expect_err("it is refused");
    assert!(matches!(error, OutboxError::Refused(_)));
    deliver(&outbox, event("!a:hs", "good")).await.expect("it is sent");
    let dead = outbox.dead_letters().expect("they are read");
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].0.key, "bad");
    assert!(dead[0].1.contains("M_TOO_LARGE"), "{}", dead[0].1);
}

#[tokio::test]
async fn a_room_that_fails_holds_up_no_other() {
    let fake = Fake::start(|asked| {
        if asked.path.contains("/rooms/!a:hs/send") { Answer::text(502, "") } else { works(asked) }
    })
    .await;
    let (outbox, shutdown) = outbox(&fake, Store::temporary().expect("there is room"));
    let _stuck = outbox.push(event("!a:hs", "stuck")).await.expect("it is stored");
    deliver(&outbox, event("!b:hs", "free")).await.expect("it is sent");
    shutdown.cancel();
    outbox.stopped().await;
    assert_eq!(Arc::strong_count(&outbox.shared), 1);
    assert_eq!(outbox.shared.queues.lock().keys().cloned().collect::<Vec<_>>(), [owned_room_id!("!a:hs")]);
}
