//! Telling clients what has happened ([syncing]).
//!
//! [syncing]: https://spec.matrix.org/v1.19/client-server-api/#syncing

mod extras;

pub(crate) use self::extras::{DeviceLists, KeyCounts, SyncExtras, Unread, Window};
