//! A data directory as a whole, while no server runs on it: export, import, check.
//!
//! # The format of an export
//!
//! A text of lines, each a JSON object with a `kind`:
//!
//! 1. `header`, once, first: `format` is `matrix-homeserver-export`, `version` that of this format (1), `schema` that of
//!    the rows.
//! 2. `row`: a row of the database: `table`, `key`, `value`. Keys and values are strings where they are UTF-8, else
//!    `{"base64": "…"}`. Most values are JSON or begin with a short header before an event's canonical JSON.
//! 3. `media`: a piece of an uploaded file: `name`, `offset`, `base64`. The pieces of a file follow each other.
//! 4. `end`, once, last: how many `rows` and `files` there were. An export without it is not whole, and is refused.
//!
//! An export holds everything that the server knows, also the hashes of passwords and tokens and the signing key: keep it
//! as you keep the data directory.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    media, room,
    store::{Durability, Store, StoreError},
};

mod bytes;
mod export;
mod import;

use self::bytes::Bytes;
pub use self::{export::export, import::import};

const FORMAT: &str = "matrix-homeserver-export";
const VERSION: u64 = 1;
/// Where the uploaded files are, below the data directory.
const MEDIA: &str = "media";

/// A line of an export.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Header { format: String, version: u64, schema: u64 },
    Row { table: String, key: Bytes, value: Bytes },
    Media { name: String, offset: u64, base64: String },
    End { rows: u64, files: u64 },
}

/// How much was moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows of the database.
    pub rows: u64,
    /// Uploaded files.
    pub files: u64,
}

/// Why a data directory could not be exported, imported or checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The database cannot be read or written.
    #[error("cannot use the database")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file cannot be read or written.
    #[error("cannot read or write a file")]
    Io(#[from] io::Error),
    /// There is something in the directory already.
    #[error("the directory is not empty; import into a new one")]
    NotEmpty,
    /// The export is not one, or of another version.
    #[error("line {line}: {reason}")]
    Malformed {
        /// Counted from one.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
}

impl From<StoreError> for DataError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// Looks for everything that is wrong with a data directory, in words, with what to do about it. Nothing is changed.
///
/// A server looks at a few rows of each room when it starts; this looks at every event and every uploaded file.
///
/// # Errors
/// If there is no database, if a server runs on it, or if it is of another version.
pub fn check(data_dir: &Path) -> Result<Vec<String>, DataError> {
    // Opened without being made.
    drop(crate::store::RawStore::open(data_dir)?);
    let store = Store::open(data_dir, Durability::Flushed)?;
    let mut problems = Vec::new();
    let beyond_repair = "restore the directory from an export or a copy";
    for problem in room::problems(&store)?.into_iter().chain(room::problems_of_events(&store)?) {
        problems.push(format!("{problem}: {beyond_repair}"));
    }
    for media_id in media::missing(&store, &data_dir.join(MEDIA))? {
        problems.push(format!(
            "the file of the upload {media_id} is missing or has another size: restore it from a copy; \
             the server runs without it, and answers requests for it with 404"
        ));
    }
    Ok(problems)
}
