//! The thread that writes.
//!
//! Sets wait in a queue; the order in which they enter it is the order of the stream. The committer takes as
//! many as there are, up to a bound, and writes them as one batch. Where the store promises
//! [`Durability::Flushed`], it flushes the batch and only then shows it: what is staged meanwhile shares the
//! next batch and the next flush.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    thread::JoinHandle,
    time::Instant,
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{
    CommitMetrics, Durability, Position, StoreError, Tree, WriteSet, key,
    write_set::{Rows, Write},
};

/// How many sets are written as one batch. Reads wait while a batch is applied.
const MAX_SETS: usize = 64;
/// How many rows are written as one batch, unless a single set has more.
const MAX_ROWS: usize = 4096;

/// The future of a staged set: its last position, when it is written.
#[derive(Debug)]
pub(crate) struct Pending {
    answer: oneshot::Receiver<Result<Position, StoreError>>,
}

impl Future for Pending {
    type Output = Result<Position, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(answer.unwrap_or(Err(StoreError::Closed)))
    }
}

/// A set with its positions given, waiting to be written.
struct Staged {
    set: WriteSet,
    last: Position,
    answer: oneshot::Sender<Result<Position, StoreError>>,
}

/// Something that one thread fills and another empties.
struct Queue<T> {
    items: Mutex<(VecDeque<T>, bool)>,
    filled: Condvar,
}

impl<T> Queue<T> {
    fn new() -> Self {
        Self { items: Mutex::new((VecDeque::new(), false)), filled: Condvar::new() }
    }

    fn close(&self) {
        self.items.lock().1 = true;
        self.filled.notify_all();
    }

    /// Waits for items and takes some by `take`. `None` when the queue is closed and empty.
    fn next<R>(&self, take: impl FnOnce(&mut VecDeque<T>) -> R) -> Option<R> {
        let mut items = self.items.lock();
        while items.0.is_empty() {
            if items.1 {
                return None;
            }
            self.filled.wait(&mut items);
        }
        Some(take(&mut items.0))
    }
}

struct Shared {
    db: sled::Db,
    staged: Queue<Staged>,
    /// Positions are given under the lock of `staged`.
    last_position: AtomicU64,
    /// Counted up when a commit fails, under the lock of `staged`.
    generation: AtomicU64,
    durability: Durability,
    frontier: AtomicU64,
    metrics: CommitMetrics,
    #[cfg(test)]
    fail_next: std::sync::atomic::AtomicBool,
}

/// The handle to the thread; dropping it finishes what is staged.
pub(super) struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(
        db: sled::Db,
        durability: Durability,
        frontier: Position,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            db,
            staged: Queue::new(),
            last_position: AtomicU64::new(frontier.0),
            generation: AtomicU64::new(0),
            durability,
            frontier: AtomicU64::new(frontier.0),
            metrics: CommitMetrics::default(),
            #[cfg(test)]
            fail_next: std::sync::atomic::AtomicBool::new(false),
        });
        let committing = shared.clone();
        let thread = std::thread::Builder::new()
            .name("store-commit".to_owned())
            .spawn(move || commit_loop(&committing))
            .map_err(sled::Error::from)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    pub(super) fn stage(&self, mut set: WriteSet) -> Pending {
        let (answer, receiver) = oneshot::channel();
        let mut items = self.shared.staged.items.lock();
        let generation = self.shared.generation.load(Ordering::Acquire);
        if items.1 {
            drop(items);
            let _ = answer.send(Err(StoreError::Closed));
        } else if set.generation.is_some_and(|expected| expected != generation) {
            drop(items);
            let _ = answer.send(Err(StoreError::Superseded));
        } else {
            let last = self.shared.place(&mut set);
            items.0.push_back(Staged { set, last, answer });
            self.shared.staged.filled.notify_one();
        }
        Pending { answer: receiver }
    }

    pub(super) fn frontier(&self) -> Position {
        Position(self.shared.frontier.load(Ordering::Acquire))
    }

    pub(super) fn metrics(&self) -> &CommitMetrics {
        &self.shared.metrics
    }

    pub(super) fn waiting(&self) -> usize {
        self.shared.staged.items.lock().0.len()
    }

    pub(super) fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::Acquire)
    }

    #[cfg(test)]
    pub(super) fn fail_next(&self) {
        self.shared.fail_next.store(true, Ordering::SeqCst);
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.staged.close();
        // A callback may hold the last handle to the store; a thread cannot wait for itself.
        let own = std::thread::current().id();
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != own) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Gives the set its positions. Under the lock of `staged`.
    fn place(&self, set: &mut WriteSet) -> Position {
        let mut last = self.last_position.load(Ordering::Relaxed);
        for (takes, build) in set.positioned.drain(..) {
            last += u64::from(takes);
            build(Position(last), &mut set.rows);
        }
        self.last_position.store(last, Ordering::Relaxed);
        Position(last)
    }

    fn apply(&self, batch: &mut [Staged]) -> Result<(), StoreError> {
        #[cfg(test)]
        if self.fail_next.swap(false, Ordering::SeqCst) {
            return Err(StoreError::damaged("a test asked for it"));
        }
        let frontier = batch.last().map(|staged| staged.last).unwrap_or_default();
        let rows = batch.iter_mut().flat_map(|staged| std::mem::take(&mut staged.set.rows).0);
        let frontier = (Tree::Meta.key(key::FRONTIER), Some(frontier.to_bytes().to_vec()));
        let rows = rows.chain([Write::Row(frontier)]);
        match self.durability {
            Durability::Memory => self.apply_singly(rows),
            Durability::Flushed => self.apply_batch(rows),
        }
    }

    /// Writes rows as a whole, and to the disk.
    fn apply_batch(&self, rows: impl Iterator<Item = Write>) -> Result<(), StoreError> {
        let mut whole = HashMap::new();
        for write in rows {
            self.gather(write, &mut whole)?;
        }
        let mut batch = sled::Batch::default();
        for (key, value) in whole {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        Ok(())
    }

    /// Adds a row to a batch, or what follows from the batch and the rows before it.
    fn gather(&self, write: Write, whole: &mut HashMap<Vec<u8>, Option<Vec<u8>>>) -> Result<(), StoreError> {
        match write {
            Write::Row((key, value)) => drop(whole.insert(key, value)),
            Write::Change(key, change) => {
                let mut rows = Rows::default();
                match whole.get(&key) {
                    Some(value) => change(value.as_deref(), &mut rows),
                    None => change(self.db.get(&key)?.as_deref(), &mut rows),
                }
                for write in rows.0 {
                    self.gather(write, whole)?;
                }
            }
        }
        Ok(())
    }

    /// Writes rows one after the other, in the order of the sets. Of what does not survive the process no part
    /// can survive it either, and a batch wakes every thread of the engine.
    fn apply_singly(&self, rows: impl Iterator<Item = Write>) -> Result<(), StoreError> {
        for write in rows {
            match write {
                Write::Row((key, Some(value))) => drop(self.db.insert(key, value)?),
                Write::Row((key, None)) => drop(self.db.remove(key)?),
                Write::Change(key, change) => {
                    let mut rows = Rows::default();
                    change(self.db.get(&key)?.as_deref(), &mut rows);
                    self.apply_singly(rows.0.into_iter())?;
                }
            }
        }
        Ok(())
    }

    /// Shows the sets, in their order: first to what is kept in memory, then to those who wrote them, then to those who
    /// wait. A client that learns of its own message by `/sync` before the answer to its request has to match the two,
    /// and not every client does that everywhere.
    fn publish(&self, batch: Vec<Staged>) {
        let mut answers = Vec::with_capacity(batch.len());
        let mut visible = Vec::with_capacity(batch.len());
        for Staged { set, last, answer } in batch {
            for hook in set.on_commit {
                hook(last);
            }
            answers.push((answer, last));
            visible.push((set.on_visible, last));
        }
        let Some((_, frontier)) = visible.last() else { return };
        self.frontier.store(frontier.0, Ordering::Release);
        for (answer, last) in answers {
            let _ = answer.send(Ok(last));
        }
        for (hooks, last) in visible {
            for hook in hooks {
                hook(last);
            }
        }
    }

    /// Fails a batch, and with it everything that is built on it.
    fn fail(&self, batch: Vec<Staged>, error: &StoreError) {
        tracing::error!(%error, sets = batch.len(), "a write to the database failed");
        let superseded = {
            let mut items = self.staged.items.lock();
            self.generation.fetch_add(1, Ordering::AcqRel);
            let (superseded, kept): (VecDeque<_>, VecDeque<_>) =
                items.0.drain(..).partition(|staged| staged.set.generation.is_some());
            items.0 = kept;
            superseded
        };
        for staged in batch {
            let _ = staged.answer.send(Err(error.clone()));
        }
        for staged in superseded {
            let _ = staged.answer.send(Err(StoreError::Superseded));
        }
    }
}

fn commit_loop(shared: &Shared) {
    while let Some(mut batch) = shared.staged.next(take_batch) {
        let began = Instant::now();
        let applied = shared.apply(&mut batch);
        shared.metrics.seconds.observe(began.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch has at most a few dozen sets")]
        shared.metrics.batch.observe(batch.len() as f64);
        match applied {
            Ok(()) => shared.publish(batch),
            Err(error) => shared.fail(batch, &error),
        }
    }
}

fn take_batch(items: &mut VecDeque<Staged>) -> Vec<Staged> {
    let mut rows = 0;
    let count = items
        .iter()
        .take(MAX_SETS)
        .take_while(|staged| {
            rows += staged.set.rows.0.len();
            rows <= MAX_ROWS
        })
        .count();
    items.drain(..count.max(1)).collect()
}
