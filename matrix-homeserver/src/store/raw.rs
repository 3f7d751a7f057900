//! All rows as they are, of whatever kind: for exports and imports.

use std::path::Path;

use super::{SCHEMA_VERSION, StoreError, Tree, key, open_engine};

/// A row of any kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawRow {
    pub(crate) tree: Tree,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// A database that no server runs on.
#[derive(Debug)]
pub(crate) struct RawStore {
    db: sled::Db,
}

impl RawStore {
    /// The layout of the rows that this version reads and writes.
    pub(crate) const SCHEMA: u64 = SCHEMA_VERSION;

    /// Opens the database in a directory; there has to be one.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.join("db").is_file() {
            return Err(StoreError::Missing);
        }
        let db = open_engine(&config(path))?;
        super::check_schema(&db)?;
        Ok(Self { db })
    }

    /// Makes a database in an empty directory.
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { db: open_engine(&config(path))? })
    }

    /// Every row, kind by kind in the order of the keys.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Result<RawRow, StoreError>> {
        self.db.iter().map(|row| {
            let (key, value) = row?;
            let (tag, key) = key.split_first().ok_or_else(|| StoreError::damaged("an empty key"))?;
            let tree = Tree::from_tag(*tag).ok_or_else(|| StoreError::damaged("a row of no known kind"))?;
            Ok(RawRow { tree, key: key.to_vec(), value: value.to_vec() })
        })
    }

    /// Writes rows, over what is there.
    pub(crate) fn write(&self, rows: impl Iterator<Item = RawRow>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for RawRow { tree, key, value } in rows {
            batch.insert(tree.key(&key), value);
        }
        self.db.apply_batch(batch)?;
        Ok(())
    }

    /// Makes sure that what was written is on disk, and that a server can start on it.
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        if !self.db.contains_key(Tree::Meta.key(key::SCHEMA))? {
            return Err(StoreError::damaged("it does not say which schema it has"));
        }
        super::check_schema(&self.db)?;
        self.db.flush()?;
        Ok(())
    }
}

fn config(path: &Path) -> sled::Config {
    sled::Config::new().path(path).flush_every_ms(None).cache_capacity(super::TEMPORARY_CACHE_BYTES)
}
