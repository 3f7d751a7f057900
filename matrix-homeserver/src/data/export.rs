//! From a data directory to lines.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Bytes, DataError, FORMAT, Line, MEDIA, Summary, VERSION};
use crate::store::RawStore;

/// How many bytes of a file are in one line.
const PIECE: usize = 1 << 20;

/// Writes everything in a data directory as lines; see [the format](super).
///
/// # Errors
/// If there is no database in the directory, if a server runs on it, or if something cannot be read or written.
pub fn export(data_dir: &Path, out: &mut dyn Write) -> Result<Summary, DataError> {
    let store = RawStore::open(data_dir)?;
    let mut summary = Summary::default();
    let header = Line::Header { format: FORMAT.to_owned(), version: VERSION, schema: RawStore::SCHEMA };
    put(out, &header)?;
    for row in store.rows() {
        let row = row?;
        let table = row.tree.name().to_owned();
        put(out, &Line::Row { table, key: Bytes(row.key), value: Bytes(row.value) })?;
        summary.rows += 1;
    }
    for (name, path) in files(&data_dir.join(MEDIA))? {
        put_file(out, &name, &path)?;
        summary.files += 1;
    }
    put(out, &Line::End { rows: summary.rows, files: summary.files })?;
    out.flush()?;
    Ok(summary)
}

/// The uploaded files, by their names. What was not uploaded to the end is left away.
fn files(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_none()
            && entry.file_type()?.is_file()
            && let Ok(name) = entry.file_name().into_string()
        {
            files.push((name, path));
        }
    }
    files.sort();
    Ok(files)
}

fn put_file(out: &mut dyn Write, name: &str, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    let (mut piece, mut offset) = (Vec::with_capacity(PIECE), 0);
    loop {
        piece.clear();
        Read::by_ref(&mut file).take(PIECE as u64).read_to_end(&mut piece)?;
        // A file without content has one piece, too.
        if piece.is_empty() && offset > 0 {
            return Ok(());
        }
        put(out, &Line::Media { name: name.to_owned(), offset, base64: STANDARD.encode(&piece) })?;
        if piece.is_empty() {
            return Ok(());
        }
        offset += piece.len() as u64;
    }
}

fn put(out: &mut dyn Write, line: &Line) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}
