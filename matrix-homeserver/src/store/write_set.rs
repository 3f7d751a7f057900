//! What is written together.

use std::fmt;

use super::{Position, Tree};

/// Whether it takes a position, and what it writes.
type Positioned = (bool, Box<dyn FnOnce(Position, &mut Rows) + Send>);
type Hook = Box<dyn FnOnce(Position) + Send>;

/// A key of the engine, and the value to write; without one, the row is deleted.
pub(super) type Row = (Vec<u8>, Option<Vec<u8>>);

/// What to write, given what a row holds.
type Change = Box<dyn FnOnce(Option<&[u8]>, &mut Rows) + Send>;

/// Something to write.
pub(super) enum Write {
    Row(Row),
    /// What to write is known only when it is written: the key of a row, and what follows from its value.
    Change(Vec<u8>, Change),
}

/// Rows to write and to delete. A later row for the same key replaces an earlier one.
#[derive(Default)]
pub(crate) struct Rows(pub(super) Vec<Write>);

impl Rows {
    /// Writes a row, over what is there.
    pub(crate) fn put(&mut self, tree: Tree, key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) {
        self.0.push(Write::Row((tree.key(key.as_ref()), Some(value.into()))));
    }

    /// Deletes a row, if it is there.
    pub(crate) fn delete(&mut self, tree: Tree, key: impl AsRef<[u8]>) {
        self.0.push(Write::Row((tree.key(key.as_ref()), None)));
    }

    /// Writes what follows from the value that a row has when everything before is written. Sets that were staged and
    /// are not written yet are seen, which no reader does: this is how something is counted.
    ///
    /// `change` runs on the thread that writes, between writes: it only puts bytes together.
    pub(crate) fn change(
        &mut self,
        tree: Tree,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(Option<&[u8]>, &mut Self) + Send + 'static,
    ) {
        self.0.push(Write::Change(tree.key(key.as_ref()), Box::new(change)));
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rows({})", self.0.len())
    }
}

/// Rows that are written as a whole or not at all, and what is to happen when they are.
#[derive(Default)]
pub(crate) struct WriteSet {
    pub(super) rows: Rows,
    pub(super) positioned: Vec<Positioned>,
    pub(super) on_commit: Vec<Hook>,
    pub(super) on_visible: Vec<Hook>,
    pub(super) generation: Option<u64>,
}

impl WriteSet {
    /// An empty set.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Writes a row, over what is there.
    pub(crate) fn put(&mut self, tree: Tree, key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) {
        self.rows.put(tree, key, value);
    }

    /// Deletes a row, if it is there.
    pub(crate) fn delete(&mut self, tree: Tree, key: impl AsRef<[u8]>) {
        self.rows.delete(tree, key);
    }

    /// As [`Rows::change`].
    pub(crate) fn change(
        &mut self,
        tree: Tree,
        key: impl AsRef<[u8]>,
        change: impl FnOnce(Option<&[u8]>, &mut Rows) + Send + 'static,
    ) {
        self.rows.change(tree, key, change);
    }

    /// Takes a position in the stream, and writes rows that contain it.
    ///
    /// Every call takes one position of its own, in the order of the calls. `build` runs when the set is
    /// staged, under the lock that gives the order: it only puts bytes together.
    pub(crate) fn positioned(&mut self, build: impl FnOnce(Position, &mut Rows) + Send + 'static) {
        self.positioned.push((true, Box::new(build)));
    }

    /// Writes rows that contain the position that the last call of [`WriteSet::positioned`] took, without
    /// taking one.
    pub(crate) fn at_last_position(&mut self, build: impl FnOnce(Position, &mut Rows) + Send + 'static) {
        self.positioned.push((false, Box::new(build)));
    }

    /// Calls back when the set is written, in the order of the stream, with the last position of the set,
    /// **before** [`Store::frontier`](super::Store::frontier) reaches it: for what is kept in memory beside the rows. Must be quick; not
    /// called when the write fails.
    pub(crate) fn on_commit(&mut self, hook: impl FnOnce(Position) + Send + 'static) {
        self.on_commit.push(Box::new(hook));
    }

    /// As [`WriteSet::on_commit`], but **after** the frontier has reached the set: to wake those who wait.
    pub(crate) fn on_visible(&mut self, hook: impl FnOnce(Position) + Send + 'static) {
        self.on_visible.push(Box::new(hook));
    }

    /// Says that the set is built on what was staged before it: it is refused with
    /// [`StoreError::Superseded`](super::StoreError::Superseded) when a commit has failed since
    /// [`Store::generation`](super::Store::generation) returned this number.
    pub(crate) fn built_on(&mut self, generation: u64) {
        self.generation = Some(generation);
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.0.is_empty() && self.positioned.is_empty()
    }
}

impl fmt::Debug for WriteSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteSet")
            .field("rows", &self.rows)
            .field("positions", &self.positioned.len())
            .finish_non_exhaustive()
    }
}
