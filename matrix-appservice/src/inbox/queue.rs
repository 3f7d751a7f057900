//! Queues of rooms: who waits, who is being handled.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Shared, journal::ProgressRow};

/// What one waits behind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum QueueKey {
    /// The events of a room. As the homeserver wrote it: an event whose room makes no sense waits, too.
    #[serde(rename = "r")]
    Room(Arc<str>),
    /// The to-device messages of a user.
    #[serde(rename = "d")]
    Device(Arc<str>),
}

/// What is to be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Event,
    ToDevice,
}

/// A transaction, as long as something of it is not dealt with.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) number: u64,
    pub(super) accepted: u64,
    open: AtomicUsize,
    /// Which events have a progress row.
    touched: Mutex<Vec<u32>>,
}

impl Transaction {
    pub(super) fn new(number: u64, open: usize, accepted: u64) -> Self {
        Self { number, accepted, open: AtomicUsize::new(open), touched: Mutex::default() }
    }

    pub(super) fn touched(&self, indices: impl IntoIterator<Item = u32>) {
        self.touched.lock().extend(indices);
    }

    /// One more event is dealt with. Whether it was the last.
    pub(super) fn close_one(&self) -> bool {
        self.open.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether every event is dealt with.
    pub(super) fn is_closed(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// The events that have a progress row, once no more can get one.
    pub(super) fn take_touched(&self) -> Vec<u32> {
        std::mem::take(&mut *self.touched.lock())
    }
}

/// An event that waits.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) transaction: Arc<Transaction>,
    pub(super) index: u32,
    pub(super) kind: Kind,
    pub(super) queue: QueueKey,
    /// The event ID, or what stands for it.
    pub(super) name: String,
    pub(super) json: Box<RawValue>,
    pub(super) progress: ProgressRow,
    /// Begun by an earlier process.
    pub(super) interrupted: bool,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Arc<Item>>,
    /// Accepted, but not yet on disk.
    announced: usize,
    running: bool,
}

/// All queues that are not empty.
#[derive(Default)]
pub(super) struct Queues {
    queues: HashMap<QueueKey, Queue>,
    /// Announced, waiting or being handled, in all queues.
    pub(super) waiting: usize,
}

impl Queues {
    /// Notes that an event is about to come. Whether it will be the first of its queue.
    pub(super) fn announce(&mut self, key: &QueueKey) -> bool {
        self.waiting += 1;
        let queue = match self.queues.get_mut(key) {
            Some(queue) => queue,
            None => self.queues.entry(key.clone()).or_default(),
        };
        queue.announced += 1;
        queue.announced == 1 && queue.items.is_empty()
    }

    /// Takes in an event that was announced. Whether its queue needs a task.
    fn push(&mut self, item: Item) -> bool {
        let queue = self.queues.entry(item.queue.clone()).or_default();
        queue.announced = queue.announced.saturating_sub(1);
        queue.items.push_back(Arc::new(item));
        !std::mem::replace(&mut queue.running, true)
    }

    /// The first event of a queue, which stays there while it is handled; `None` ends the queue's task.
    fn front(&mut self, key: &QueueKey) -> Option<Arc<Item>> {
        let Entry::Occupied(mut entry) = self.queues.entry(key.clone()) else { return None };
        if let Some(item) = entry.get().items.front() {
            return Some(Arc::clone(item));
        }
        entry.get_mut().running = false;
        if entry.get().announced == 0 {
            entry.remove();
        }
        None
    }

    /// Changes how far the first event has come.
    pub(super) fn update_front(&mut self, key: &QueueKey, progress: ProgressRow) {
        if let Some(item) = self.queues.get_mut(key).and_then(|queue| queue.items.front_mut()) {
            let item = Arc::make_mut(item);
            item.progress = progress;
            item.interrupted = false;
        }
    }

    /// Removes the first event, which is dealt with. Marks the next one as begun and returns it, if wanted.
    pub(super) fn pop(
        &mut self,
        key: &QueueKey,
        begin_next: bool,
    ) -> Option<(Arc<Transaction>, u32, ProgressRow)> {
        self.waiting = self.waiting.saturating_sub(1);
        let queue = self.queues.get_mut(key)?;
        queue.items.pop_front();
        let next = queue.items.front_mut().filter(|next| begin_next && !next.progress.begun)?;
        let next = Arc::make_mut(next);
        next.progress.begun = true;
        Some((Arc::clone(&next.transaction), next.index, next.progress))
    }
}

impl Shared {
    /// Puts events that an earlier process left into their queues.
    pub(super) fn admit(self: &Arc<Self>, items: Vec<Item>) {
        let mut queues = self.queues.lock();
        for item in &items {
            queues.announce(&item.queue);
        }
        drop(queues);
        self.admit_announced(items);
    }

    /// Puts events that were announced, and are on disk now, into their queues.
    pub(super) fn admit_announced(self: &Arc<Self>, items: Vec<Item>) {
        self.metrics.inbox_events.inc_by(i64::try_from(items.len()).unwrap_or(i64::MAX));
        let mut idle = Vec::new();
        let mut queues = self.queues.lock();
        for item in items {
            let key = item.queue.clone();
            if queues.push(item) {
                idle.push(key);
            }
        }
        drop(queues);
        self.start(idle);
    }

    fn start(self: &Arc<Self>, idle: Vec<QueueKey>) {
        for key in idle {
            let shared = Arc::clone(self);
            self.tasks.spawn(async move { shared.work(&key).await });
        }
    }

    /// Handles what waits in a queue, one after the other, until it is empty or the inbox stops.
    async fn work(self: &Arc<Self>, key: &QueueKey) {
        loop {
            let Some(item) = self.queues.lock().front(key) else { return };
            let goes_on = tokio::select! {
                biased;
                () = self.stop.cancelled() => false,
                () = self.until_due(&item) => self.attempt(key, item).await,
            };
            if !goes_on {
                return;
            }
        }
    }
}
