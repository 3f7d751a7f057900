use std::{
    collections::{HashMap, HashSet},
    sync::atomic::AtomicU32,
};

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore};

use super::*;
use crate::service::{EventContext, Outcome, RoomEvent, ToDevice};

const DEADLINE: Duration = Duration::from_secs(20);

/// Remembers what it was given; answers what the script says, else [`Outcome::Done`].
#[derive(Default)]
struct Script {
    handled: Mutex<Vec<(String, EventContext)>>,
    outcomes: Mutex<HashMap<String, Vec<Outcome>>>,
    /// Events that never end, as in a process that is about to die.
    stuck: Mutex<HashSet<String>>,
    panics: AtomicU32,
    records: bool,
    changed: Notify,
    gate: Option<Semaphore>,
}

impl Script {
    fn names(&self) -> Vec<String> {
        self.handled.lock().iter().map(|(name, _)| name.clone()).collect()
    }

    async fn until(&self, count: usize) -> Vec<String> {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                if self.handled.lock().len() >= count {
                    return;
                }
                changed.await;
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, wait).await.is_ok();
        assert!(in_time, "only {:?} of {count} came", self.names());
        self.names()
    }

    async fn handle(&self, name: &str, cx: &EventContext) -> Outcome {
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        self.handled.lock().push((name.to_owned(), cx.clone()));
        self.changed.notify_waiters();
        if self.stuck.lock().contains(name) {
            std::future::pending::<()>().await;
        }
        assert!(
            self.panics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err(),
            "as the test wants it"
        );
        let mut outcomes = self.outcomes.lock();
        outcomes.get_mut(name).and_then(Vec::pop).unwrap_or(Outcome::Done)
    }
}

#[async_trait]
impl AppserviceHandler for Script {
    async fn event(&self, cx: &EventContext, event: RoomEvent) -> Outcome {
        self.handle(event.event_id.as_str(), cx).await
    }

    async fn to_device(&self, cx: &EventContext, message: ToDevice) -> Outcome {
        self.handle(&message.event_type, cx).await
    }

    fn records_attempts(&self) -> bool {
        self.records
    }
}

fn open(store: &Store, handler: &Arc<Script>) -> Inbox {
    let config = InboxConfig {
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        ..InboxConfig::default()
    };
    open_with(store, handler, config, Arc::new(|_| {}))
}

fn open_with(store: &Store, handler: &Arc<Script>, config: InboxConfig, on_reject: RejectHook) -> Inbox {
    Inbox::open(store.clone(), config, Arc::clone(handler) as _, Metrics::default(), on_reject).unwrap()
}

fn event(room: &str, id: &str) -> Value {
    json!({"event_id": format!("${id}"), "room_id": format!("!{room}:hs"), "sender": "@a:hs",
           "type": "m.room.message", "content": {"body": id}, "origin_server_ts": 1})
}

fn body(events: &[Value]) -> Bytes {
    json!({"events": events}).to_string().into()
}

async fn accept(inbox: &Inbox, txn_id: &str, events: &[Value]) {
    inbox.accept(txn_id.to_owned(), body(events)).await.unwrap();
}

/// Ends an inbox as `kill -9` would: attempts do not end.
async fn die(inbox: Inbox) {
    inbox.stop(Duration::ZERO).await;
}

async fn until_empty(inbox: &Inbox) {
    let wait = async {
        while inbox.waiting() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the inbox becomes empty");
}

#[tokio::test]
async fn events_of_a_room_are_handled_in_the_order_of_their_arrival() {
    let (store, handler) = (Store::temporary().unwrap(), Arc::new(Script::default()));
    let inbox = open(&store, &handler);
    let ids: Vec<_> = (0..50).map(|n| format!("e{n:02}")).collect();
    for (txn, pair) in ids.chunks(2).enumerate() {
        accept(&inbox, &txn.to_string(), &pair.iter().map(|id| event("r", id)).collect::<Vec<_>>()).await;
    }
    let expected: Vec<_> = ids.iter().map(|id| format!("${id}")).collect();
    assert_eq!(handler.until(50).await, expected);
}

#[tokio::test]
async fn transactions_at_the_same_time_keep_the_order_in_which_they_were_journalled() {
    let (store, handler) = (Store::temporary().unwrap(), Arc::new(Script::default()));
    let inbox = open(&store, &handler);
    let accepts = (0..40).map(|n| {
        let inbox = inbox.clone();
        async move { accept(&inbox, &n.to_string(), &[event("r", &format!("{n}"))]).await }
    });
    futures_util::future::join_all(accepts).await;
    let handled = handler.until(40).await;
    assert_eq!(handled.iter().collect::<HashSet<_>>().len(), 40);
    until_empty(&inbox).await;
}

#[tokio::test]
async fn an_event_is_handled_once_however_often_and_wherever_it_is_sent() {
    let (store, handler) = (Store::temporary().unwrap(), Arc::new(Script::default()));
    let inbox = open(&store, &handler);
    accept(&inbox, "1", &[event("r", "a"), event("r", "b"), event("r", "a")]).await;
    accept(&inbox, "1", &[event("r", "a"), event("r", "b"), event("r", "a")]).await;
    accept(&inbox, "2", &[event("r", "b"), event("r", "c")]).await;
    assert_eq!(handler.until(3).await, ["$a", "$b", "$c"]);
    until_empty(&inbox).await;
    assert_eq!(handler.names().len(), 3);
}

#[tokio::test]
async fn a_server_that_counts_from_one_again_loses_nothing() {
    let (store, handler) = (Store::temporary().unwrap(), Arc::new(Script::default()));
    let inbox = open(&store, &handler);
    accept(&inbox, "1", &[event("r", "a")]).await;
    accept(&inbox, "1", &[event("r", "b")]).await;
    assert_eq!(handler.until(2).await, ["$a", "$b"]);
}

#[tokio::test]
async fn events_without_id_are_new_in_every_transaction_but_not_in_its_repetition() {
    let (store, handler) = (Store::temporary().unwrap(), Arc::new(Script::default()));
    let inbox = open(&store, &handler);
    let draft =
        json!({"room_id": "!r:hs", "user_id": "@a:hs", "type": "m.room.message", "content": {"body": "hi"}});
    for txn_id in ["1", "1", "2"] {
        accept(&inbox, txn_id, std::slice::from_ref(&draft)).await;
    }
    handler.until(2).await;
    until_empty(&inbox).await;
    assert_eq!(handler.names().len(), 2);
}

#[tokio::test]
async fn what_was_accepted_is_handled_by_the_next_process() {
    let store = Store::temporary().unwrap();
    let first = Arc::new(Script { gate: Some(Semaphore::new(1)), ..Script::default() });
    let inbox = open(&store, &first);
    accept(&inbox, "1", &[event("r", "a"), event("r", "b"), event("s", "c")]).await;
    first.until(1).await;
    die(inbox).await;
    let done = first.names();

    let second = Arc::new(Script::default());
    let inbox = open(&store, &second);
    accept(&inbox, "1", &[event("r", "a"), event("r", "b"), event("s", "c"), event("r", "d")]).await;
    until_empty(&inbox).await;
    let all: HashSet<_> = done.iter().cloned().chain(second.names()).collect();
    assert_eq!(all.len(), 4, "{done:?} {:?}", second.names());
    let in_room: Vec<_> = second.names().into_iter().filter(|name| name != "$c").collect();
    assert!(in_room.ends_with(&["$b".to_owned(), "$d".to_owned()]), "{in_room:?}");
}

#[tokio::test]
async fn an_attempt_that_a_dead_process_began_is_known_and_no_other() {
    let store = Store::temporary().unwrap();
    let first = Arc::new(Script { records: true, ..Script::default() });
    first.stuck.lock().insert("$b".to_owned());
    let inbox = open(&store, &first);
    accept(&inbox, "1", &[event("r", "a"), event("r", "b"), event("r", "c")]).await;
    first.until(2).await;
    die(inbox).await;

    let second = Arc::new(Script { records: true, ..Script::default() });
    let _inbox = open(&store, &second);
    assert_eq!(second.until(2).await, ["$b", "$c"]);
    let interrupted: Vec<_> = second.handled.lock().iter().map(|(_, cx)| cx.interrupted).collect();
    assert_eq!(interrupted, [true, false]);
}

#[tokio::test]
async fn a_room_whose_event_fails_waits_and_the_others_do_not() {
    let (store, handler) = (Store::temporary().unwrap(), Arc::new(Script::default()));
    let retry = || Outcome::Retry { after: Duration::ZERO, reason: "the test".to_owned() };
    handler.outcomes.lock().insert("$a".to_owned(), vec![retry(), retry(), retry()]);
    let inbox = open(&store, &handler);
    accept(&inbox, "1", &[event("r", "a"), event("r", "b"), event("s", "c")]).await;
    let handled = handler.until(6).await;
    let in_room: Vec<_> = handled.iter().filter(|name| *name != "$c").collect();
    assert_eq!(in_room, ["$a", "$a", "$a", "$a", "$b"]);
    let attempts: Vec<_> =
        handler.handled.lock().iter().filter(|(name, _)| name == "$a").map(|(_, cx)| cx.attempt).collect();
    assert_eq!(attempts, [0, 1, 2, 3]);
    assert_ne!(handled.last().map(String::as_str), Some("$c"));
}

#[tokio::test]
async fn a_parked_event_keeps_its_attempts_across_a_restart_and_is_not_interrupted() {
    let store = Store::temporary().unwrap();
    let first = Arc::new(Script { records: true, ..Script::default() });
    let later = Outcome::Retry { after: Duration::from_secs(2), reason: "the test".to_owned() };
    first.outcomes.lock().insert("$a".to_owned(), vec![later]);
    let inbox = open(&store, &first);
    accept(&inbox, "1", &[event("r", "a")]).await;
    first.until(1).await;
    while inbox.shared.metrics.rooms_parked.get() == 0 {
        tokio::task::yield_now().await;
    }
    die(inbox).await;
    let second = Arc::new(Script { records: true, ..Script::default() });
    let _inbox = open(&store, &second);
    second.until(1).await;
    let cx = second.handled.lock()[0].1.clone();
    assert_eq!((cx.attempt, cx.interrupted), (1, false));
}

#[tokio::test]
async fn a_rejected_event_is_kept_and_reported_and_the_next_one_goes_on() {
    let (store, handler) = (Store::temporary().unwrap(), Arc::new(Script::default()));
    let reject = Outcome::Reject { reason: "no such channel".to_owned(), notify: true };
    handler.outcomes.lock().insert("$a".to_owned(), vec![reject]);
    let reported = Arc::new(Mutex::new(Vec::new()));
    let hook: RejectHook = {
        let reported = Arc::clone(&reported);
        Arc::new(move |rejected| reported.lock().push((rejected.event_id, rejected.reason)))
    };
    let inbox = open_with(&store, &handler, InboxConfig::default(), hook);
    accept(&inbox, "1", &[event("r", "a"), event("r", "b")]).await;
    handler.until(2).await;
    until_empty(&inbox).await;
    assert_eq!(*reported.lock(), [("$a".to_owned(), "no such channel".to_owned())]);
    let letters = store.scan(crate::store::Tree::DeadLetters, &[]).unwrap();
    let letter: Value = serde_json::from_slice(&letters[0].1).unwrap();
    assert_eq!((letters.len(), &letter["event"]["event_id"]), (1, &json!("$a")));
}

#[tokio::test]
async fn an_event_that_fails_for_too_long_is_given_up() {
    let (store, handler) = (Store::temporary().unwrap(), Arc::new(Script::default()));
    let retry = Outcome::Retry { after: Duration::from_millis(1), reason: "the test".to_owned() };
    handler.outcomes.lock().insert("$a".to_owned(), vec![retry; 10_000]);
    let config = InboxConfig { give_up_after: Duration::from_millis(20), ..InboxConfig::default() };
    let inbox = open_with(&store, &handler, config, Arc::new(|_| {}));
    accept(&inbox, "1", &[event("r", "a"), event("r", "b")]).await;
    until_empty(&inbox).await;
    assert_eq!(handler.names().last().map(String::as_str), Some("$b"));
    assert_eq!(inbox.shared.metrics.dead_letters.get(), 1);
}

#[tokio::test]
async fn a_handler_that_panics_is_called_again() {
    let (store, handler) = (Store::temporary().unwrap(), Arc::new(Script::default()));
    handler.panics.store(2, Ordering::Relaxed);
    let inbox = open(&store, &handler);
    accept(&inbox, "1", &[event("r", "a")]).await;
    until_empty(&inbox).await;
    assert_eq!(handler.names(), ["$a", "$a", "$a"]);
}

#[tokio::test]
async fn malformed_events_become_dead_letters_and_hold_nobody_up() {
    let (store, handler) = (Store::temporary().unwrap(), Arc::new(Script::default()));
    let inbox = open(&store, &handler);
    let events = [json!(5), json!({}), json!({"event_id": "$x", "room_id": 7}), event("r", "a")];
    accept(&inbox, "1", &events).await;
    until_empty(&inbox).await;
    assert_eq!(handler.names(), ["$a"]);
    assert_eq!(store.scan(crate::store::Tree::DeadLetters, &[]).unwrap().len(), 3);
}

#[tokio::test]
async fn a_full_inbox_refuses_and_takes_the_transaction_later() {
    let store = Store::temporary().unwrap();
    let handler = Arc::new(Script { gate: Some(Semaphore::new(0)), ..Script::default() });
    let config = InboxConfig { capacity: 2, ..InboxConfig::default() };
    let inbox = open_with(&store, &handler, config, Arc::new(|_| {}));
    accept(&inbox, "1", &[event("r", "a"), event("r", "b")]).await;
    let more = body(&[event("r", "c")]);
    assert_eq!(inbox.accept("2".to_owned(), more.clone()).await, Err(AcceptError::Full));
    handler.gate.as_ref().unwrap().add_permits(10);
    until_empty(&inbox).await;
    inbox.accept("2".to_owned(), more).await.unwrap();
    assert_eq!(handler.until(3).await, ["$a", "$b", "$c"]);
}

#[tokio::test]
async fn to_device_messages_come_before_the_events_of_their_transaction() {
    let (store, handler) = (Store::temporary().unwrap(), Arc::new(Script::default()));
    let inbox = open(&store, &handler);
    let key = json!({"type": "m.room_key", "sender": "@a:hs", "to_user_id": "@b:hs", "to_device_id": "D", "content": {}});
    let body = json!({"events": [], "to_device": [key]}).to_string();
    inbox.accept("1".to_owned(), body.clone().into()).await.unwrap();
    inbox.accept("1".to_owned(), body.into()).await.unwrap();
    until_empty(&inbox).await;
    assert_eq!(handler.names(), ["m.room_key"]);
}

#[tokio::test]
async fn nothing_is_left_on_disk_of_what_is_dealt_with() {
    let (store, handler) =
        (Store::temporary().unwrap(), Arc::new(Script { records: true, ..Script::default() }));
    let inbox = open(&store, &handler);
    for txn in 0..5 {
        let events: Vec<_> = (0..7).map(|n| event(&format!("r{}", n % 3), &format!("{txn}-{n}"))).collect();
        accept(&inbox, &txn.to_string(), &events).await;
    }
    handler.until(35).await;
    until_empty(&inbox).await;
    inbox.stop(DEADLINE).await;
    assert!(store.scan_keys(crate::store::Tree::Inbox, &[]).unwrap().is_empty());
    assert!(store.scan_keys(crate::store::Tree::InboxProgress, &[]).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the transactions, their repetitions, the failures and the moments of death: every event is handled, in
    /// its room's order, and none again after an attempt whose end was recorded.
    #[test]
    fn every_accepted_event_is_handled_in_order_across_deaths(
        rooms in proptest::collection::vec(0_usize..4, 1..40),
        size in 1_usize..6,
        deaths in proptest::collection::vec(1_usize..40, 0..4),
        failing in proptest::collection::hash_set(0_usize..40, 0..5),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::temporary().unwrap();
            let handler = Arc::new(Script::default());
            for n in &failing {
                let retry = Outcome::Retry { after: Duration::from_millis(1), reason: "the test".to_owned() };
                handler.outcomes.lock().insert(format!("$e{n:03}"), vec![retry]);
            }
            let events: Vec<_> =
                rooms.iter().enumerate().map(|(n, room)| event(&format!("r{room}"), &format!("e{n:03}"))).collect();
            let mut inbox = open(&store, &handler);
            for (txn, chunk) in events.chunks(size).enumerate() {
                accept(&inbox, &txn.to_string(), chunk).await;
                if deaths.contains(&txn) {
                    die(inbox).await;
                    inbox = open(&store, &handler);
                    accept(&inbox, &txn.to_string(), chunk).await;
                }
            }
            until_empty(&inbox).await;
            for room in 0..4 {
                let expected: Vec<_> = rooms.iter().enumerate().filter(|(_, r)| **r == room)
                    .map(|(n, _)| format!("$e{n:03}")).collect();
                let mut handled: Vec<_> =
                    handler.names().into_iter().filter(|name| expected.contains(name)).collect();
                handled.dedup();
                assert_eq!(handled, expected);
            }
        });
    }
}
