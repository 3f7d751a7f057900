//! Uploaded content ([content repository]): what it is, where its bytes are, and smaller versions of pictures.
//!
//! What is known about an upload is a row in the store. The bytes are a file of their own in the data directory,
//! written before the row, or in memory where nothing is to survive.
//!
//! [content repository]: https://spec.matrix.org/v1.19/client-server-api/#content-repository

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{
    store::{KeyBuf, Store, StoreError, Tree, WriteSet, key},
    user::{now_ms, random_text},
};

mod blobs;
mod disposition;
mod thumbnail;

use self::blobs::Blobs;
pub(crate) use self::{
    disposition::content_disposition,
    thumbnail::{Method, Size, ThumbnailError, Thumbnailer},
};

/// How long an ID that was given out waits for its content.
const UNUSED_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How many IDs without content one user may have.
const MAX_UNUSED: usize = 64;

/// What is known about an upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) owner: OwnedUserId,
    /// Milliseconds since 1970.
    pub(crate) created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) filename: Option<String>,
    /// The number of bytes; none while the content has not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
}

impl Upload {
    /// When an ID without content is given up, in milliseconds since 1970.
    pub(crate) fn unused_expires_at(&self) -> u64 {
        self.created.saturating_add(u64::try_from(UNUSED_LIFETIME.as_millis()).unwrap_or(u64::MAX))
    }

    fn is_expired(&self) -> bool {
        self.size.is_none() && self.unused_expires_at() <= now_ms()
    }
}

/// An upload with its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) upload: Upload,
    pub(crate) bytes: Bytes,
}

/// What comes with the bytes of an upload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Described {
    pub(crate) content_type: Option<String>,
    pub(crate) filename: Option<String>,
}

/// Why something could not be done to an upload.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum MediaError {
    #[error("there is no such content")]
    NotFound,
    #[error("the content has not been uploaded yet")]
    NotYetUploaded,
    #[error("the content was made by somebody else")]
    NotOwner,
    #[error("the content was uploaded already")]
    Uploaded,
    #[error("too many contents of this user wait to be uploaded")]
    TooManyUnused,
    /// The file of an upload could not be written or read.
    #[error("a file of the content repository failed")]
    File(#[source] std::io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The uploads of this server.
#[derive(Debug)]
pub(crate) struct Media {
    store: Store,
    blobs: Blobs,
    /// Rung whenever content comes for an ID that was given out before.
    arrived: Arc<Notify>,
    /// One at a time decides whether an ID is still free for its content.
    completing: tokio::sync::Mutex<()>,
    pub(crate) thumbnails: Thumbnailer,
}

impl Media {
    /// Keeps the bytes in a directory, or in memory if there is none.
    pub(crate) fn new(store: Store, directory: Option<PathBuf>) -> Self {
        Self {
            store,
            blobs: Blobs::new(directory),
            arrived: Arc::default(),
            completing: tokio::sync::Mutex::default(),
            thumbnails: Thumbnailer::default(),
        }
    }

    /// Keeps content under a new ID.
    pub(crate) async fn upload(
        &self,
        owner: &UserId,
        described: Described,
        bytes: Bytes,
    ) -> Result<String, MediaError> {
        let media_id = random_text(24);
        self.keep(&media_id, Upload::empty(owner), described, bytes).await?;
        Ok(media_id)
    }

    /// Gives out an ID whose content comes later.
    pub(crate) async fn create(&self, owner: &UserId) -> Result<(String, Upload), MediaError> {
        let _one = self.completing.lock().await;
        let mut writes = WriteSet::new();
        let mut waiting = 0;
        for row in self.store.scan_prefix(Tree::Media, key(["unused", owner.as_str()])) {
            let (unused, _) = row?;
            let Some([_, _, media_id]) = KeyBuf::read::<3>(&unused) else { continue };
            match self.row(media_id)? {
                Some(upload) if upload.size.is_none() && !upload.is_expired() => waiting += 1,
                upload => {
                    if upload.is_some_and(|upload| upload.is_expired()) {
                        writes.delete(Tree::Media, row_key(media_id));
                    }
                    writes.delete(Tree::Media, &*unused);
                }
            }
        }
        if waiting >= MAX_UNUSED {
            return Err(MediaError::TooManyUnused);
        }
        let media_id = random_text(24);
        let upload = Upload::empty(owner);
        writes.put(Tree::Media, row_key(&media_id), encode(&upload));
        writes.put(Tree::Media, unused_key(owner, &media_id), []);
        self.store.commit(writes).await?;
        Ok((media_id, upload))
    }

    /// Keeps the content for an ID that was given out.
    pub(crate) async fn complete(
        &self,
        owner: &UserId,
        media_id: &str,
        described: Described,
        bytes: Bytes,
    ) -> Result<(), MediaError> {
        let _one = self.completing.lock().await;
        let upload = self.completable(owner, media_id)?;
        self.keep(media_id, upload, described, bytes).await?;
        self.arrived.notify_waiters();
        Ok(())
    }

    /// The ID, if its content may still come from this user.
    pub(crate) fn completable(&self, owner: &UserId, media_id: &str) -> Result<Upload, MediaError> {
        match self.row(media_id)? {
            None => Err(MediaError::NotFound),
            Some(upload) if upload.owner != owner => Err(MediaError::NotOwner),
            Some(upload) if upload.size.is_some() => Err(MediaError::Uploaded),
            Some(upload) if upload.is_expired() => Err(MediaError::NotFound),
            Some(upload) => Ok(upload),
        }
    }

    async fn keep(
        &self,
        media_id: &str,
        upload: Upload,
        described: Described,
        bytes: Bytes,
    ) -> Result<(), MediaError> {
        let size = Some(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.blobs.put(media_id, bytes).await.map_err(MediaError::File)?;
        let Described { content_type, filename } = described;
        let upload = Upload { content_type, filename, size, ..upload };
        let mut writes = WriteSet::new();
        writes.put(Tree::Media, row_key(media_id), encode(&upload));
        writes.delete(Tree::Media, unused_key(&upload.owner, media_id));
        self.store.commit(writes).await?;
        Ok(())
    }

    /// An upload with its bytes. Waits for content that has not come yet.
    pub(crate) async fn content(&self, media_id: &str, patience: Duration) -> Result<Content, MediaError> {
        let upload = self.uploaded(media_id, patience).await?;
        Ok(Content { upload, bytes: self.bytes(media_id).await? })
    }

    /// The bytes of an upload that is there.
    pub(crate) async fn bytes(&self, media_id: &str) -> Result<Bytes, MediaError> {
        self.blobs.get(media_id).await.map_err(MediaError::File)?.ok_or(MediaError::NotFound)
    }

    /// An upload, once its content is there.
    pub(crate) async fn uploaded(&self, media_id: &str, patience: Duration) -> Result<Upload, MediaError> {
        let deadline = Instant::now() + patience;
        loop {
            // Before looking, so that nothing is missed that comes between looking and waiting.
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            let upload = self.row(media_id)?.filter(|upload| !upload.is_expired());
            let upload = upload.ok_or(MediaError::NotFound)?;
            if upload.size.is_some() {
                return Ok(upload);
            }
            if timeout_at(deadline, arrived).await.is_err() {
                return Err(MediaError::NotYetUploaded);
            }
        }
    }

    fn row(&self, media_id: &str) -> Result<Option<Upload>, StoreError> {
        let Some(row) = self.store.get(Tree::Media, row_key(media_id))? else { return Ok(None) };
        serde_json::from_slice(&row).map(Some).map_err(|_| StoreError::damaged("a row about an upload"))
    }
}

impl Upload {
    fn empty(owner: &UserId) -> Self {
        Self { owner: owner.to_owned(), created: now_ms(), content_type: None, filename: None, size: None }
    }
}

fn encode(upload: &Upload) -> Vec<u8> {
    serde_json::to_vec(upload).expect("an upload is plain text and numbers")
}

/// The uploads whose file is not in the directory, or not whole.
pub(crate) fn missing(store: &Store, directory: &Path) -> Result<Vec<String>, StoreError> {
    let mut missing = Vec::new();
    for row in store.scan_prefix(Tree::Media, key(["media"])) {
        let (row_key, row) = row?;
        let Some([_, media_id]) = KeyBuf::read::<2>(&row_key) else { continue };
        let upload: Upload =
            serde_json::from_slice(&row).map_err(|_| StoreError::damaged("a row about an upload"))?;
        let found = std::fs::metadata(directory.join(media_id)).ok().map(|file| file.len());
        if upload.size.is_some_and(|size| found != Some(size)) {
            missing.push(media_id.to_owned());
        }
    }
    Ok(missing)
}

fn row_key(media_id: &str) -> KeyBuf {
    key(["media", media_id])
}

fn unused_key(owner: &UserId, media_id: &str) -> KeyBuf {
    key(["unused", owner.as_str(), media_id])
}
