//! The commands that work on a data directory while no server runs on it.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Subcommand;
use matrix_homeserver::data;

#[derive(Debug, Subcommand)]
pub(crate) enum Tool {
    /// Write everything in a data directory to a file, as lines of JSON
    ///
    /// The file holds secrets, as the directory does: hashes of passwords and tokens, and the signing key.
    Export {
        /// The data directory; no server may run on it
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// The file to make; it must not be there yet
        file: PathBuf,
    },
    /// Make a data directory of what `export` wrote
    Import {
        /// The data directory to make; it must be empty or not there yet
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// The file to read
        file: PathBuf,
    },
    /// Look for what is wrong with a data directory, and say what to do about it
    Check {
        /// The data directory; no server may run on it
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
}

impl Tool {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut out = io::stdout();
        match self {
            Self::Export { data_dir, file } => {
                let context = || format!("cannot export to {}", file.display());
                let mut lines = BufWriter::new(new_file(&file).with_context(context)?);
                let moved = data::export(&data_dir, &mut lines);
                if moved.is_err() {
                    // What is there is not whole.
                    let _ = std::fs::remove_file(&file);
                }
                let moved = moved.with_context(|| format!("cannot export {}", data_dir.display()))?;
                lines.get_ref().sync_all().with_context(context)?;
                writeln!(out, "exported {} rows and {} files", moved.rows, moved.files)?;
            }
            Self::Import { data_dir, file } => {
                let lines = File::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
                let moved = data::import(&data_dir, &mut BufReader::new(lines))
                    .with_context(|| format!("cannot import {}", file.display()))?;
                writeln!(out, "imported {} rows and {} files", moved.rows, moved.files)?;
            }
            Self::Check { data_dir } => {
                let problems =
                    data::check(&data_dir).with_context(|| format!("cannot check {}", data_dir.display()))?;
                for problem in &problems {
                    writeln!(out, "{problem}")?;
                }
                if !problems.is_empty() {
                    return Ok(ExitCode::FAILURE);
                }
                writeln!(out, "nothing is wrong")?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A file that only its owner can read.
fn new_file(path: &std::path::Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
