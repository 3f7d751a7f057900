//! Smaller versions of pictures ([thumbnails]).
//!
//! [thumbnails]: https://spec.matrix.org/v1.19/client-server-api/#thumbnails

use std::{io::Cursor, num::NonZeroUsize, sync::Arc};

use bytes::Bytes;
use image::{DynamicImage, ImageFormat, ImageReader, Limits, imageops::FilterType};
use lru::LruCache;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::Semaphore;

/// How the picture is made to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Method {
    /// The whole picture, as large as fits into the box.
    #[default]
    Scale,
    /// The middle of the picture, in the proportions of the box.
    Crop,
}

/// A box that a thumbnail fits into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Size {
    width: u32,
    height: u32,
}

/// The boxes of the specification. Others are not made, so that nobody can fill the cache with a thousand sizes.
const SIZES: [Size; 5] = [
    Size { width: 32, height: 32 },
    Size { width: 96, height: 96 },
    Size { width: 320, height: 240 },
    Size { width: 640, height: 480 },
    Size { width: 800, height: 600 },
];

impl Size {
    /// The smallest box that holds what is asked for, else the largest.
    pub(crate) fn for_request(width: u32, height: u32) -> Self {
        let [.., largest] = SIZES;
        SIZES.into_iter().find(|size| size.width >= width && size.height >= height).unwrap_or(largest)
    }
}

/// A thumbnail.
#[derive(Debug, Clone)]
pub(crate) struct Thumbnail {
    pub(crate) bytes: Bytes,
    pub(crate) content_type: &'static str,
}

/// Why there is no thumbnail of some content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ThumbnailError {
    /// It is not a picture in a format that is known.
    #[error("there is no thumbnail of this content")]
    NotAPicture,
    /// Unpacked, it would need too much memory.
    #[error("the picture is too large for a thumbnail")]
    TooLarge,
}

/// The most that a picture may measure on either side, and take up unpacked.
const MAX_SIDE: u32 = 16_384;
const MAX_MEMORY: u64 = 256 << 20;
/// How many are unpacked at a time.
const AT_A_TIME: usize = 2;
const KEPT: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

type Key = (String, Size, Method);

/// Makes thumbnails, and keeps those that were asked for last.
#[derive(Debug)]
pub(crate) struct Thumbnailer {
    kept: Mutex<LruCache<Key, Thumbnail>>,
    turns: Arc<Semaphore>,
}

impl Default for Thumbnailer {
    fn default() -> Self {
        let mut kept = LruCache::unbounded();
        kept.resize(KEPT);
        Self { kept: Mutex::new(kept), turns: Arc::new(Semaphore::new(AT_A_TIME)) }
    }
}

impl Thumbnailer {
    /// A thumbnail of a picture that has the given ID. The picture is loaded when it is its turn: those who wait for
    /// theirs do not fill the memory.
    pub(crate) async fn thumbnail<E: From<ThumbnailError>>(
        &self,
        media_id: &str,
        picture: impl Future<Output = Result<Bytes, E>>,
        size: Size,
        method: Method,
    ) -> Result<Thumbnail, E> {
        let key = (media_id.to_owned(), size, method);
        if let Some(kept) = self.kept.lock().get(&key) {
            return Ok(kept.clone());
        }
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| ThumbnailError::NotAPicture)?;
        let picture = picture.await?;
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            make(&picture, size, method)
        });
        // A decoder that panics has met something that is no picture.
        let thumbnail = made.await.unwrap_or(Err(ThumbnailError::NotAPicture))?;
        self.kept.lock().put(key, thumbnail.clone());
        Ok(thumbnail)
    }
}

fn make(picture: &[u8], size: Size, method: Method) -> Result<Thumbnail, ThumbnailError> {
    let mut reader = ImageReader::new(Cursor::new(picture))
        .with_guessed_format()
        .map_err(|_| ThumbnailError::NotAPicture)?;
    let format = reader.format().ok_or(ThumbnailError::NotAPicture)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| match error {
        image::ImageError::Limits(_) => ThumbnailError::TooLarge,
        _ => ThumbnailError::NotAPicture,
    })?;
    let smaller = fit(&picture, size, method);
    // Photographs stay photographs; everything else may have an alpha channel.
    let (smaller, format, content_type) = if format == ImageFormat::Jpeg {
        (DynamicImage::ImageRgb8(smaller.into_rgb8()), ImageFormat::Jpeg, "image/jpeg")
    } else {
        (DynamicImage::ImageRgba8(smaller.into_rgba8()), ImageFormat::Png, "image/png")
    };
    let mut bytes = Cursor::new(Vec::new());
    smaller.write_to(&mut bytes, format).map_err(|_| ThumbnailError::NotAPicture)?;
    Ok(Thumbnail { bytes: bytes.into_inner().into(), content_type })
}

/// The picture in the box, never larger than it was.
fn fit(picture: &DynamicImage, size: Size, method: Method) -> DynamicImage {
    let (width, height) = (picture.width(), picture.height());
    match method {
        Method::Scale if width <= size.width && height <= size.height => picture.clone(),
        Method::Scale => picture.resize(size.width, size.height, FilterType::Triangle),
        Method::Crop if width < size.width || height < size.height => {
            let (width, height) = (width.min(size.width), height.min(size.height));
            picture.crop_imm((picture.width() - width) / 2, (picture.height() - height) / 2, width, height)
        }
        Method::Crop => picture.resize_to_fill(size.width, size.height, FilterType::Triangle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::new_rgb8(width, height).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn measures(thumbnail: &Thumbnail) -> (u32, u32) {
        let picture = image::load_from_memory(&thumbnail.bytes).unwrap();
        (picture.width(), picture.height())
    }

    #[test]
    fn a_picture_is_made_to_fit_and_is_never_enlarged() {
        let table = [
            ((1000, 500), (320, 240), Method::Scale, (320, 160)),
            ((1000, 500), (96, 96), Method::Crop, (96, 96)),
            ((50, 20), (96, 96), Method::Scale, (50, 20)),
            ((200, 20), (96, 96), Method::Crop, (96, 20)),
            ((1000, 500), (100, 10), Method::Scale, (320, 160)),
            ((3000, 3000), (4000, 4000), Method::Scale, (600, 600)),
        ];
        for ((width, height), (asked_width, asked_height), method, expected) in table {
            let size = Size::for_request(asked_width, asked_height);
            let made = make(&picture(width, height, ImageFormat::Png), size, method).unwrap();
            assert_eq!(measures(&made), expected, "{width}x{height} {method:?}");
        }
    }

    #[test]
    fn every_format_that_clients_upload_is_read() {
        for (format, expected) in [
            (ImageFormat::Png, "image/png"),
            (ImageFormat::Jpeg, "image/jpeg"),
            (ImageFormat::Gif, "image/png"),
            (ImageFormat::WebP, "image/png"),
        ] {
            let made = make(&picture(100, 100, format), Size::for_request(32, 32), Method::Crop).unwrap();
            assert_eq!((made.content_type, measures(&made)), (expected, (32, 32)));
        }
    }

    #[test]
    fn what_is_no_picture_or_would_fill_the_memory_is_refused() {
        let size = Size::for_request(32, 32);
        assert_eq!(make(b"not a picture", size, Method::Scale).unwrap_err(), ThumbnailError::NotAPicture);
        assert_eq!(make(b"", size, Method::Scale).unwrap_err(), ThumbnailError::NotAPicture);
        let whole = picture(64, 64, ImageFormat::Png);
        assert_eq!(make(&whole[..40], size, Method::Scale).unwrap_err(), ThumbnailError::NotAPicture);
        // The header of a picture of 60,000 by 60,000 pixels.
        let mut bomb = whole;
        bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
        assert!(make(&bomb, size, Method::Scale).is_err());
    }

    #[tokio::test]
    async fn pictures_are_loaded_when_it_is_their_turn() {
        let thumbnailer = Thumbnailer::default();
        let others = thumbnailer.turns.clone().acquire_many_owned(2).await.unwrap();
        let loaded = std::cell::Cell::new(false);
        let load = async {
            loaded.set(true);
            Ok::<_, ThumbnailError>(picture(100, 100, ImageFormat::Png).into())
        };
        let size = Size::for_request(32, 32);
        let mut made = Box::pin(thumbnailer.thumbnail("id", load, size, Method::Scale));
        assert!(futures_util::poll!(&mut made).is_pending() && !loaded.get());
        drop(others);
        assert_eq!(measures(&made.await.unwrap()), (32, 32));
    }
}
