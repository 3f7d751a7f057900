//! Where the bytes of uploads are.

use std::{collections::HashMap, io, path::PathBuf};

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::io::AsyncWriteExt;

/// Bytes by media ID. IDs are made by this server of letters and digits, so they are safe names of files.
#[derive(Debug)]
pub(super) enum Blobs {
    Memory(RwLock<HashMap<String, Bytes>>),
    Directory(PathBuf),
}

impl Blobs {
    pub(super) fn new(directory: Option<PathBuf>) -> Self {
        directory.map_or_else(|| Self::Memory(RwLock::default()), Self::Directory)
    }

    /// Keeps bytes; when this returns, they are on disk if there is a directory.
    pub(super) async fn put(&self, media_id: &str, bytes: Bytes) -> io::Result<()> {
        let directory = match self {
            Self::Memory(blobs) => {
                blobs.write().insert(media_id.to_owned(), bytes);
                return Ok(());
            }
            Self::Directory(directory) => directory,
        };
        tokio::fs::create_dir_all(directory).await?;
        // Under another name until it is whole.
        let unfinished = directory.join(format!("{media_id}.part"));
        let mut file = tokio::fs::File::create(&unfinished).await?;
        file.write_all(&bytes).await?;
        file.sync_all().await?;
        tokio::fs::rename(&unfinished, directory.join(media_id)).await?;
        tokio::fs::File::open(directory).await?.sync_all().await
    }

    pub(super) async fn get(&self, media_id: &str) -> io::Result<Option<Bytes>> {
        let directory = match self {
            Self::Memory(blobs) => return Ok(blobs.read().get(media_id).cloned()),
            Self::Directory(directory) => directory,
        };
        match tokio::fs::read(directory.join(media_id)).await {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
