//! From lines to a data directory.

use std::{
    fs::{self, File},
    io::{self, BufRead, Write},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{DataError, FORMAT, Line, MEDIA, Summary, VERSION};
use crate::store::{RawRow, RawStore, Tree};

/// How many rows are written together.
const TOGETHER: usize = 1_000;

/// Makes a data directory of an export; see [the format](super). Of an import that fails nothing is left.
///
/// # Errors
/// If the directory is there and not empty, if the export is not whole, of another version or malformed, or if something
/// cannot be written.
pub fn import(data_dir: &Path, input: &mut dyn BufRead) -> Result<Summary, DataError> {
    match fs::read_dir(data_dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Ok(false) => return Err(DataError::NotEmpty),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    fs::create_dir_all(data_dir)?;
    let imported = read(data_dir, input);
    if imported.is_err() {
        fs::remove_dir_all(data_dir)?;
    }
    imported
}

fn read(data_dir: &Path, input: &mut dyn BufRead) -> Result<Summary, DataError> {
    let mut lines = Lines { input, line: 0, text: String::new() };
    let header = lines.next()?;
    check_header(header.as_ref()).map_err(|reason| lines.wrong(reason))?;
    let store = RawStore::create(data_dir)?;
    let (mut rows, mut summary) = (Vec::with_capacity(TOGETHER), Summary::default());
    loop {
        match lines.next()? {
            Some(Line::Row { table, key, value }) => {
                let tree = Tree::from_name(&table);
                let tree = tree.ok_or_else(|| lines.wrong(format!("there is no table {table:?}")))?;
                rows.push(RawRow { tree, key: key.0, value: value.0 });
                summary.rows += 1;
                if rows.len() == TOGETHER {
                    store.write(rows.drain(..))?;
                }
            }
            Some(Line::Media { name, offset, base64 }) => {
                let bytes = STANDARD.decode(base64).map_err(|_| lines.wrong("this is not base64"))?;
                let written = put_piece(&data_dir.join(MEDIA), &name, offset, &bytes)?;
                if !written {
                    return Err(lines.wrong("a piece of a file is not where the one before it ends"));
                }
                summary.files += u64::from(offset == 0);
            }
            Some(Line::End { rows: expected, files }) => {
                if (Summary { rows: expected, files }) != summary {
                    return Err(lines.wrong("the numbers of rows and files are not those before it"));
                }
                break;
            }
            Some(Line::Header { .. }) => return Err(lines.wrong("there is a second header")),
            None => return Err(lines.wrong("the export ends too early")),
        }
    }
    store.write(rows.into_iter())?;
    store.finish()?;
    Ok(summary)
}

fn check_header(header: Option<&Line>) -> Result<(), String> {
    match header {
        Some(Line::Header { format, version, schema }) if format == FORMAT => {
            if *version != VERSION {
                return Err(format!("the format has version {version}, this server reads version {VERSION}"));
            }
            if *schema != RawStore::SCHEMA {
                let expected = RawStore::SCHEMA;
                return Err(format!(
                    "the rows have schema version {schema}, this server reads version {expected}; \
                     import them with the version of the server that exported them"
                ));
            }
            Ok(())
        }
        _ => Err(format!("this is not a header of {FORMAT}")),
    }
}

/// Appends a piece to a file. False if it does not belong there.
fn put_piece(directory: &Path, name: &str, offset: u64, bytes: &[u8]) -> Result<bool, DataError> {
    let is_safe = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_safe {
        return Ok(false);
    }
    fs::create_dir_all(directory)?;
    let path = directory.join(name);
    let mut file =
        if offset == 0 { File::create_new(&path)? } else { File::options().append(true).open(&path)? };
    if file.metadata()?.len() != offset {
        return Ok(false);
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(true)
}

/// The lines of an export.
struct Lines<'a> {
    input: &'a mut dyn BufRead,
    line: u64,
    text: String,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Option<Line>, DataError> {
        self.text.clear();
        self.line += 1;
        match self.input.read_line(&mut self.text) {
            Ok(0) => Ok(None),
            Ok(_) => {
                serde_json::from_str(&self.text).map(Some).map_err(|error| self.wrong(error.to_string()))
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(self.wrong("this is not UTF-8")),
            Err(error) => Err(error.into()),
        }
    }

    fn wrong(&self, reason: impl Into<String>) -> DataError {
        DataError::Malformed { line: self.line, reason: reason.into() }
    }
}
